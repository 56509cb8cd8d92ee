// Package simulator is an ONTAP one can run: the REST endpoints that package
// ontap uses, and the collections that other clients read when they start,
// over a directory that plays the FlexVol.
//
// A worked example, in a test:
//
//	sim, err := simulator.New(simulator.Config{
//		Root: t.TempDir(), SVM: "svm1", Volume: "docker_vols", Junction: "/docker_vols",
//		User: "admin", PasswordFile: "pw",
//	})
//	...
//	defer sim.Close()
//	err = sim.Listen("127.0.0.1:0", "ca.pem") // HTTPS; sim.Address() says where
//
// and then any client against https://<sim.Address()>/api. A snapshot taken
// through REST appears in Root/.snapshot/<name>, so an NFS server that exports
// Root shows what a filer would.
//
// Statuses, codes, field names and types are those of the documentation.
// fields.json lists every documented field; the simulator refuses a request with
// another field as ONTAP does. Faults (fault.go) make the simulator late, busy,
// broken or mute.
//
// What the package does not promise:
//
//   - A snapshot is an instant only where Root is a btrfs subvolume. Elsewhere
//     it is a copy, by reflink if possible, of what was there meanwhile.
//   - Snapshots keep their modes, so whoever may write to the original may
//     write to its copy, unless it is a btrfs snapshot or Config.Immutable is
//     set. Names in .snapshot are safe from all but root until Close.
//   - .snapshot is a directory of the root only, and READDIR lists it.
//   - Where Root is the root of a filesystem or a btrfs subvolume, a hidden
//     .snapshot lies in it as .simulator-hidden, which READDIR lists and only root
//     may enter. -v3-hide-snapshot hides it wholly; a filer leaves it out of lists
//     and still opens it by name.
//   - releases.json has the calls and fields whose beginning is known from public
//     pages. What it does not name, every release of the simulator has, which need
//     not be so on a filer.
//   - Jobs do not survive a restart. Scheduled snapshots are taken when
//     Operator.RunSchedule says so.
//   - A real filer may differ: docs/ontap.md lists the checks to make there.
package simulator
