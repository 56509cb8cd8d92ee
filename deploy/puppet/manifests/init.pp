# What berth's classes have in common: where things differ between families of
# systems. It does nothing by itself; include berth::node or berth::proxy.
#
# The module needs no other module. It is the folder deploy/puppet of berth's
# repository under the name "berth": files/proxy and files/firewall are links into
# the rest of deploy/, so keep the repository whole (a Git submodule, and
# modules/berth a link to its deploy/puppet, will do).
class berth {
  $nfs_packages = $facts['os']['family'] ? {
    'RedHat' => ['nfs-utils', 'rpcbind'],
    default  => ['nfs-common', 'rpcbind'],
  }
}
