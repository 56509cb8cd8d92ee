# An IPv4 or IPv6 address, without a prefix's length.
type Berth::Address = Pattern[/\A[0-9]{1,3}(\.[0-9]{1,3}){3}\z/, /\A[0-9a-fA-F:]*:[0-9a-fA-F:.]*\z/]
