// Package storm kills, starves and floods real plugin processes, and looks at what
// is left: at the trees, the trash, the locks, the log and the memory.
//
//	go test ./integration/storm -run Killed -seeds 2000 -seed 1
package storm
