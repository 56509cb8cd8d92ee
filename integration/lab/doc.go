// Package lab runs Docker engines of its own for tests: each node is a dockerd
// in its own network, mount, pid, uts and cgroup namespace, joined to the
// others by one bridge in a namespace of the lab's own.
//
//	func TestMain(m *testing.M) { lab.Main(m) }
//
//	func TestVolumeIsSeenEverywhere(t *testing.T) {
//		l := lab.New(t, lab.Options{Nodes: 3})
//		l.Nodes[0].Docker(t, "volume", "create", "-d", "berth", "site1")
//	}
//
// A node's first process is the test binary itself, started again by [Main].
// Killing that process is a power failure: the kernel takes dockerd, containerd
// and every container with it. It also ends by itself when the test process is
// gone, so what a killed run leaves behind is one state directory below
// /var/tmp/berth-lab and empty cgroups; the next run removes both.
//
// What a node sees: a private and, at every boot, empty /run; an /etc of its
// own over the machine's; the lab's shared export at /srv/berth; no default
// route and an empty resolv.conf, so that a lookup fails at once instead of
// timing out. The machine's own engine is never talked to.
//
// It does not promise a kernel of its own: mount(2) of NFS, IPVS and clocks
// are the machine's.
package lab
