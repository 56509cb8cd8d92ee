# An address or a network, as firewalls and NGINX write it.
type Berth::Network = Pattern[/\A[0-9]{1,3}(\.[0-9]{1,3}){3}(\/[0-9]{1,2})?\z/, /\A[0-9a-fA-F:]*:[0-9a-fA-F:.]*(\/[0-9]{1,3})?\z/]
