// Package cluster says who is alive and who holds what on an export that
// several nodes share: heartbeats, the uses of volumes, the holder of a
// single-writer volume, and the locks of operations. There is no leader and no
// lock service; everything is in files on the export.
//
// # One clock rule
//
// A node is judged by what this node has observed of it, and by nothing else.
// Its silence is time between two looks at its heartbeat: from the end of the
// one to the beginning of the next, both of them answered. Time inside a look
// does not count, since the export may have stalled in it, and no pause between
// two looks counts for more than one third of the lease TTL, since nobody knows
// whether the export answered meanwhile. What time it is now is never asked to
// judge another node.
//
// # One mechanism
//
// Epochs and locks are files with numbers, made by LINK. The highest number
// counts. Its maker gives it back by a write through the file's own handle.
// Nothing is removed or renamed by name to take it away from a dead maker: the
// next number does that.
//
// # Who sees whom
//
// A Mount writes its lease first and looks for a lock afterwards. An operation
// takes the lock first and reads the leases afterwards. One of the two always
// sees the other.
package cluster
