# A proxy node: NGINX with the sites that 'berth proxy render' wrote into this
# repository, and keepalived with the pair's floating address. docs/proxy.md.
#
#   class { 'berth::proxy':
#     sites       => 'puppet:///modules/profile/proxy',
#     own         => '192.0.2.11',
#     other       => '192.0.2.12',
#     floating    => '192.0.2.10/32',
#     priority    => 150,
#     admins      => ['192.0.2.128/26'],
#     campus      => ['192.0.2.0/24', '198.51.100.0/24'],
#   }
#
# A file that NGINX refuses changes nothing: apply.sh tests it first, and the run
# of Puppet fails with NGINX's words.
#
# @param sites
#   Where the files of 'berth proxy render --out DIR' are: DIR as a Puppet source.
# @param own, other
#   This node's address and the other proxy's, crosswise on the two nodes.
# @param floating
#   The address that clients know.
# @param priority
#   The higher one wins a tie; not the same on both.
# @param router_id
#   The pair's number, no other pair's in this network.
# @param interface
#   Where the floating address is put.
# @param campus, status
#   Who may see sites with berth.access=campus, and /nginx-status.
# @param balancers
#   Whose X-Forwarded-For is believed, besides the two proxies': a balancer in front.
# @param certificates
#   A Puppet source with NAME/fullchain.pem and NAME/privkey.pem, if Puppet brings
#   them. Otherwise whoever renews them runs 'systemctl reload nginx'.
# @param firewall
#   false leaves the firewall alone.
# @param admins
#   Addresses or networks, for the firewall only; see docs/ports.md.
class berth::proxy (
  Pattern[/\Apuppet:\/\/\/\S+\z/]     $sites,
  Berth::Address                      $own,
  Berth::Address                      $other,
  Berth::Network                      $floating,
  Integer[1, 254]                     $priority,
  Integer[1, 255]                     $router_id = 51,
  Pattern[/\A[A-Za-z0-9_.@:-]{1,15}\z/] $interface = $facts['networking']['primary'],
  Array[Berth::Network]               $campus = [],
  Array[Berth::Network]               $status = [],
  Array[Berth::Network]               $balancers = [],
  Optional[Pattern[/\Apuppet:\/\/\/\S+\z/]] $certificates = undef,
  Boolean                             $firewall = true,
  Array[Berth::Network]               $admins = [],
) {
  package { ['nginx', 'keepalived', 'curl']:
    ensure => installed,
  }

  # ---- What apply.sh makes NGINX's configuration from. Only it touches
  # /etc/nginx/nginx.conf.
  $from = '/etc/nginx/berth'
  File {
    owner => 'root',
    group => 'root',
  }
  file { [$from, "${from}/local"]:
    ensure  => directory,
    require => Package['nginx'],
  }
  file { "${from}/nginx.conf":
    mode   => '0644',
    source => 'puppet:///modules/berth/proxy/nginx.conf',
  }
  file { "${from}/snippets":
    ensure  => directory,
    recurse => true,
    purge   => true,
    source  => 'puppet:///modules/berth/proxy/snippets',
  }
  file { "${from}/sites":
    ensure  => directory,
    recurse => true,
    purge   => true,
    source  => "${sites}/sites",
  }
  file { "${from}/manifest":
    mode   => '0644',
    source => "${sites}/manifest",
  }
  $local = {
    'proxies' => ([$own, $other] + $balancers).map |$a| { "set_real_ip_from ${a};" },
    'status'  => $status.map |$a| { "allow ${a};" },
    'campus'  => $campus.map |$a| { "allow ${a};" },
  }
  $local.each |$name, $lines| {
    file { "${from}/local/${name}.conf":
      mode    => '0644',
      content => (['# Made by Puppet (berth::proxy).'] + $lines + ['']).join("\n"),
    }
  }
  file { '/usr/local/sbin/berth-proxy-apply':
    mode   => '0755',
    source => 'puppet:///modules/berth/proxy/apply.sh',
  }
  file { ['/var/cache/nginx', '/var/www', '/var/www/acme']:
    ensure  => directory,
    require => Package['nginx'],
  }
  file { '/etc/sysctl.d/60-berth-proxy.conf':
    mode   => '0644',
    source => 'puppet:///modules/berth/proxy/sysctl.conf',
  }
  ~> exec { 'berth-proxy-sysctl':
    command     => '/sbin/sysctl -q -p /etc/sysctl.d/60-berth-proxy.conf',
    refreshonly => true,
  }
  if $certificates {
    file { '/etc/nginx/certificates':
      ensure    => directory,
      recurse   => true,
      source    => $certificates,
      mode      => 'u=rwX,go=',
      show_diff => false,
      require   => Package['nginx'],
      before    => Exec['berth-proxy-apply'],
      notify    => Service['nginx'],
    }
  }
  # 3: done, and a site whose certificate is not there yet was left out.
  exec { 'berth-proxy-apply':
    command   => '/usr/local/sbin/berth-proxy-apply',
    unless    => '/bin/bash -c \'{ differs=$(/usr/local/sbin/berth-proxy-apply --dry-run) || [ $? = 3 ]; } && [ -z "$differs" ]\'',
    returns   => [0, 3],
    logoutput => true,
    require   => [
      Package['nginx', 'curl'],
      File["${from}/nginx.conf", "${from}/snippets", "${from}/sites", "${from}/manifest", '/var/cache/nginx'],
      File[$local.keys.map |$name| { "${from}/local/${name}.conf" }],
      File['/usr/local/sbin/berth-proxy-apply'],
    ],
  }
  service { 'nginx':
    ensure  => running,
    enable  => true,
    restart => 'systemctl reload nginx',
    require => Exec['berth-proxy-apply'],
  }

  # ---- The floating address. Both files are the same but for their first block.
  $site = {
    'INTERFACE' => $interface,
    'OWN'       => $own,
    'OTHER'     => $other,
    'FLOATING'  => $floating,
    'ROUTER_ID' => $router_id,
    'PRIORITY'  => $priority,
  }
  $keepalived = $site.reduce(file('berth/proxy/keepalived/proxy1.conf')) |$text, $pair| {
    regsubst($text, "^\\$${pair[0]}=.*$", "\$${pair[0]}=${pair[1]}")
  }
  file { '/etc/keepalived':
    ensure  => directory,
    require => Package['keepalived'],
  }
  file { '/etc/keepalived/keepalived.conf':
    mode    => '0644',
    content => regsubst($keepalived, '\A# keepalived.conf of proxy1,', '# Made by Puppet (berth::proxy): keepalived.conf of'),
    notify  => Service['keepalived'],
  }
  file { '/etc/keepalived/check-nginx':
    mode   => '0755',
    source => 'puppet:///modules/berth/proxy/keepalived/check-nginx',
    before => Service['keepalived'],
  }
  file { '/etc/systemd/system/keepalived.service.d':
    ensure => directory,
  }
  file { '/etc/systemd/system/keepalived.service.d/restart.conf':
    mode   => '0644',
    source => 'puppet:///modules/berth/proxy/keepalived/restart.conf',
    before => Service['keepalived'],
  }
  # A reload takes a change and leaves the address where it is.
  service { 'keepalived':
    ensure  => running,
    enable  => true,
    restart => 'systemctl reload keepalived',
    require => Service['nginx'],
  }

  if $firewall {
    file { '/etc/berth':
      ensure => directory,
      mode   => '0700',
    }
    class { 'berth::firewall':
      rules     => 'proxy-node',
      addresses => {
        'proxies' => [$own, $other],
        'admins'  => $admins,
      },
    }
  }
}
