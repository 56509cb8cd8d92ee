// Package bound is what a server takes from its callers at most: connections,
// calls at once, and memory. A storm of calls costs time, and is over when it is
// over: nobody whom it does not mean waits for it, and its memory is given back.
//
//	bound.Connections(srv, 4096)
//	release, ok := turns.Take(ctx)
//	go bound.Memory(ctx, 10*time.Second)
//
// It does not tell good callers from bad ones.
package bound
