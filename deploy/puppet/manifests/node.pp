# A swarm node: berth's settings and password, the NFS client that the kernel
# mount and its file locks need, the firewall. The plugin itself is installed and
# upgraded one node after the other, which Puppet is not made for:
# deploy/berth-nodes.sh (docs/upgrade.md).
#
#   class { 'berth::node':
#     export         => 'nfs://filer.example.edu/docker_vols',
#     settings       => { 'BERTH_ONTAP' => 'filer-mgmt.example.edu', 'BERTH_ONTAP_USER' => 'berth' },
#     ontap_password => Sensitive(lookup('berth_ontap_password')),
#     filers         => ['192.0.2.5'],
#     nodes          => ['192.0.2.21', '192.0.2.22', '192.0.2.23'],
#     proxies        => ['192.0.2.11', '192.0.2.12'],
#     admins         => ['192.0.2.128/26'],
#   }
#
# @param export
#   BERTH_EXPORT, the same on all nodes.
# @param settings
#   Other settings of docs/settings.md. BERTH_NODE does not belong here: each
#   node's name is its host name.
# @param ontap_password
#   Becomes /etc/berth/password; BERTH_ONTAP_PASSWORD_FILE is set to it.
# @param ontap_ca
#   Certificate authority of the filer's management address, PEM.
# @param firewall
#   false leaves the firewall alone.
# @param filers, nodes, proxies, admins, monitors
#   Addresses or networks, for the firewall only; see docs/ports.md.
class berth::node (
  Pattern[/\A(nfs|file):\/\/\S+\z/]                     $export,
  Hash[Pattern[/\ABERTH_[A-Z_]+\z/], Pattern[/\A[^\n]*\z/]] $settings = {},
  Optional[Sensitive[String[1]]]                        $ontap_password = undef,
  Optional[String[1]]                                   $ontap_ca = undef,
  Boolean                                               $firewall = true,
  Array[Berth::Network]                                 $filers = [],
  Array[Berth::Network]                                 $nodes = [],
  Array[Berth::Network]                                 $proxies = [],
  Array[Berth::Network]                                 $admins = [],
  Array[Berth::Network]                                 $monitors = [],
) {
  include berth

  if 'BERTH_NODE' in $settings {
    fail("berth::node: BERTH_NODE in settings: two nodes must not share a name; leave it out, or set it on one node with 'docker plugin set'")
  }

  # The plugin's mounts: both sources must exist, or the plugin does not start.
  file { '/etc/berth':
    ensure => directory,
    owner  => 'root',
    group  => 'root',
    mode   => '0700',
  }
  # Below it are setuid files and secrets of containers, for no user of the node.
  file { '/srv/berth':
    ensure => directory,
    owner  => 'root',
    group  => 'root',
    mode   => '0700',
  }

  # berth reads them again within 10 s: nothing has to be restarted.
  $password_settings = $ontap_password ? {
    undef   => {},
    default => { 'BERTH_ONTAP_PASSWORD_FILE' => '/etc/berth/password' },
  }
  $ca_settings = $ontap_ca ? {
    undef   => {},
    default => { 'BERTH_ONTAP_CA' => '/etc/berth/ca.pem' },
  }
  file { '/etc/berth/berth.env':
    owner   => 'root',
    group   => 'root',
    mode    => '0600',
    content => epp('berth/berth.env.epp', {
        'settings' => { 'BERTH_EXPORT' => $export } + $password_settings + $ca_settings + $settings,
    }),
  }
  if $ontap_password {
    file { '/etc/berth/password':
      owner     => 'root',
      group     => 'root',
      mode      => '0600',
      show_diff => false,
      content   => Sensitive("${ontap_password.unwrap}\n"),
      before    => File['/etc/berth/berth.env'],
    }
  }
  if $ontap_ca {
    file { '/etc/berth/ca.pem':
      owner   => 'root',
      group   => 'root',
      mode    => '0600',
      content => $ontap_ca,
      before  => File['/etc/berth/berth.env'],
    }
  }

  # File locks. berth mounts by mount(2), without mount.nfs: nobody else starts
  # rpc.statd, whose unit has no [Install] section.
  package { $berth::nfs_packages:
    ensure => installed,
  }
  file { ['/etc/nfs.conf.d', '/etc/systemd/system/rpc-statd.service.d']:
    ensure  => directory,
    require => Package[$berth::nfs_packages],
  }
  # On fixed ports, so that the firewall can name them.
  file { '/etc/modprobe.d/berth-lockd.conf':
    owner  => 'root',
    group  => 'root',
    mode   => '0644',
    source => 'puppet:///modules/berth/firewall/lockd.conf',
  }
  file { '/etc/nfs.conf.d/berth-statd.conf':
    owner  => 'root',
    group  => 'root',
    mode   => '0644',
    source => 'puppet:///modules/berth/firewall/statd.conf',
    notify => Service['rpc-statd'],
  }
  file { '/etc/systemd/system/rpc-statd.service.d/berth.conf':
    owner   => 'root',
    group   => 'root',
    mode    => '0644',
    content => "[Install]\nWantedBy=multi-user.target\n",
  }
  service { 'rpcbind':
    ensure  => running,
    enable  => true,
    require => Package[$berth::nfs_packages],
  }
  service { 'rpc-statd':
    ensure  => running,
    enable  => true,
    require => [Service['rpcbind'], File['/etc/systemd/system/rpc-statd.service.d/berth.conf']],
  }

  if $firewall {
    class { 'berth::firewall':
      rules     => 'swarm-node',
      addresses => {
        'filer'    => $filers,
        'nodes'    => $nodes,
        'proxies'  => $proxies,
        'admins'   => $admins,
        'monitors' => $monitors,
      },
    }
  }
}
