package volume

import (
	"context"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
)

// finish ends what a dead owner of a lock began. Any node may do so; each step
// is a RENAME that may be repeated.
func (s *Store) finish(ctx context.Context, e *export.Export, l *cluster.Lock) error {
	switch l.Op {
	case cluster.OpRemove:
		return s.finishRemove(ctx, e, l)
	case cluster.OpUndelete:
		return s.Trash.finishRestore(ctx, e, l)
	case cluster.OpClone:
		return s.finishClone(ctx, e, l)
	case cluster.OpRestore, cluster.OpUndo, cluster.OpTakeover:
		return s.Jobs.Finish(ctx, e, l)
	}
	// Each step of the others leaves a state that the next request understands.
	return nil
}

// Operations lists what is under way on volume, or on all for "".
func (s *Store) Operations(ctx context.Context, volume string) ([]cluster.Lock, error) {
	out := []cluster.Lock{}
	err := s.with(ctx, "list the operations", func(e *export.Export) error {
		all, err := cluster.Locks(ctx, e.FS)
		for _, l := range all {
			if volume == "" || l.Volume == volume {
				out = append(out, *l)
			}
		}
		return err
	})
	return out, err
}

// Cloning lists the locks of clones that copy a version, on all nodes: those
// of nodes that died copy no more.
func (s *Store) Cloning(ctx context.Context) (out []cluster.Lock, err error) {
	err = s.with(ctx, "list the clones", func(e *export.Export) error {
		if err := s.Cluster.Poll(ctx, e); err != nil {
			return err
		}
		all, err := cluster.Locks(ctx, e.FS)
		for _, l := range all {
			if l.Reads != "" && !s.Cluster.Abandoned(l) {
				out = append(out, *l)
			}
		}
		return err
	})
	return out, err
}

// swapping lists the volumes that exist although their directory may be away
// for a moment: a restore, from a snapshot or the trash, has begun.
func (s *Store) swapping(ctx context.Context, e *export.Export) ([]string, error) {
	all, err := cluster.Locks(ctx, e.FS)
	var out []string
	for _, l := range all {
		if l.Op.Swaps() {
			out = append(out, l.Volume)
		}
	}
	return out, err
}
