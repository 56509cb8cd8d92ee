// Package uml runs hosts with a kernel of their own for tests: User Mode Linux
// with a real NFSv3 client, file locks (rpcbind and rpc.statd) and a real
// dockerd, beside an nfs-ganesha that exports a directory of the test.
//
//	func TestMain(m *testing.M) { uml.Main(m) }
//
//	func TestSecondHostReads(t *testing.T) {
//		l := uml.New(t, 2)
//		l.Hosts[0].Docker(t, "volume", "create", "-d", "berth", "site1")
//	}
//
// All of it lives in one set of namespaces (network, mounts, processes) whose
// first process is the test binary, started again by [Main]. That process ends
// when the test process is gone, however that went, and the kernel then takes
// hosts, server, taps, bridge and mounts with it. What stays of a killed run
// is a directory, which the next run of package lab removes.
//
// A host's root is the machine's, read-only, below a disk of its own; its first
// process is the test binary too. A host sees a file of the machine as it was
// when it first read it, so what a host is to read has to be there before it
// boots.
//
// Where [lab] suffices it is the better choice: it is five times faster. This
// package is for what needs mount(2) of NFS.
package uml
