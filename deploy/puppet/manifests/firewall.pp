# The firewall of deploy/firewall, with this site's addresses, loaded by a service
# of its own: other tables, Docker's among them, are left alone. A file that nft
# does not understand is not installed.
#
# @param rules
#   swarm-node or proxy-node: the file's name.
# @param addresses
#   Addresses by the name that they have in the file. Nobody is 127.0.0.1: a set
#   cannot be empty, and from there nothing comes in by a cable.
class berth::firewall (
  Enum['swarm-node', 'proxy-node']       $rules,
  Hash[String[1], Array[Berth::Network]] $addresses,
) {
  package { 'nftables':
    ensure => installed,
  }
  $text = $addresses.reduce(file("berth/firewall/${rules}.nft")) |$text, $pair| {
    $nobody = empty($pair[1]) ? { true => ['127.0.0.1'], default => $pair[1] }
    regsubst($text, "^define ${pair[0]} = .*$", "define ${pair[0]} = { ${nobody.join(', ')} }")
  }
  file { '/etc/berth/firewall.nft':
    owner        => 'root',
    group        => 'root',
    mode         => '0600',
    content      => $text,
    validate_cmd => '/usr/sbin/nft --check --file %',
    require      => [File['/etc/berth'], Package['nftables']],
    notify       => Service['berth-firewall'],
  }
  file { '/etc/systemd/system/berth-firewall.service':
    owner  => 'root',
    group  => 'root',
    mode   => '0644',
    source => 'puppet:///modules/berth/firewall/berth-firewall.service',
  }
  service { 'berth-firewall':
    ensure  => running,
    enable  => true,
    restart => 'systemctl reload berth-firewall',
    require => File['/etc/systemd/system/berth-firewall.service'],
  }
}
