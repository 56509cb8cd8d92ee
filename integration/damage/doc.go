// Package damage damages control files of an export and looks what that costs.
//
// An export with everything on it (volumes, metadata, leases of living and dead nodes,
// epochs, locks, jobs in each state, trash, undo copies, the audit trail, a cache) is
// built once. Each seed takes a copy, damages one file or a few, lets a node look after
// the export for some rounds, and asks each verb of Docker and of the operator for each
// volume. A copy that nobody has damaged has shown before what becomes of each volume:
//
//   - nothing panics, each request is answered with JSON, and in time;
//   - the node makes no more calls a round, and says no more, than on a whole export;
//   - every volume whose file was not damaged is as on the whole export, with its
//     metadata and with what is in the trash;
//   - doctor names the file that was damaged, its volume and what to type.
//
// A failure says its seed:
//
//	go test ./integration/damage -run TestDamagedFiles -seed 4711 -seeds 1 -v
//	make damage SEEDS=2000
package damage
