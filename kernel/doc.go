// Package kernel is what berth wants of this node's kernel beside the mount itself:
// that dirty pages are on the server, and that locks work between nodes.
//
//	flusher := &kernel.Flusher{Root: mounts.current, Tasks: &tasks}
//	err := flusher.Flush(ctx)
//
// It mounts nothing.
package kernel
