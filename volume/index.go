package volume

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume/index"
)

// known is what this node remembers of the export's volumes.
type known struct {
	*index.Index[Meta]
	flight singleflight.Group // one listing at a time
}

// entry is what is remembered of one volume.
type entry = index.Entry[Meta]

// settleTime is how old a directory's mtime must be for a listing made after
// it to be complete, given clocks and timestamps of one second.
const settleTime = 2 * time.Second

// refresh makes the index true: one GETATTR of the root, and a listing if that
// shows a change.
func (s *Store) refresh(ctx context.Context, e *export.Export) error {
	root, err := e.FS.Stat(ctx, ".")
	if err != nil {
		return err
	}
	if s.index.Current(root.Mtime) {
		return nil
	}
	result := s.index.flight.DoChan("list", func() (any, error) {
		// Apart from the request that asked: others wait for it too.
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		return nil, s.relist(ctx, e)
	})
	select {
	case r := <-result:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) relist(ctx context.Context, e *export.Export) error {
	s.index.Listing()
	root, err := e.FS.Stat(ctx, ".")
	if err != nil {
		return err
	}
	server, ok := s.conn.Time()
	settled := ok && server.Sub(root.Mtime) >= settleTime
	names, err := listVolumes(ctx, e.FS)
	if err == nil {
		err = e.Confirm(ctx)
	}
	if err != nil {
		return err
	}
	// A volume whose swap is under way may have no directory for a moment.
	swapped, err := swapping(ctx, e)
	if err != nil {
		return err
	}
	for _, n := range swapped {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	s.index.Replace(names, root.Mtime, settled)
	return nil
}

// listVolumes reads the root: every plain directory with a volume's name,
// except Convoy's own beside its metadata.
func listVolumes(ctx context.Context, fsys tree.FS) ([]string, error) {
	names, err := export.Pick(ctx, fsys, ".", func(d tree.Entry) (string, bool) {
		return d.Name, d.Kind == tree.Directory && export.IsName(d.Name)
	})
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, ConvoyDir) {
		return names, nil
	}
	convoy, err := isConvoyShare(ctx, fsys)
	if export.Ends(ctx, fsys, err) {
		return nil, err
	}
	if convoy { // a directory of that name that cannot be read hides no volume
		names = slices.DeleteFunc(names, isConvoyName)
	}
	return names, nil
}

// isConvoyName tells the directories that are Convoy's own on its share.
func isConvoyName(name string) bool {
	return name == ConvoyDir || strings.HasSuffix(name, ".tmp")
}

// isConvoyShare tells whether config/ holds Convoy's metadata.
func isConvoyShare(ctx context.Context, fsys tree.FS) (bool, error) {
	found := errors.New("found")
	err := fsys.ReadDir(ctx, ConvoyDir, func(d tree.Entry) error {
		if _, ok := ConvoyVolume(d.Name); ok {
			return found
		}
		return nil
	})
	if errors.Is(err, found) {
		return true, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return false, err
}

// checkPlace refuses a name that is Convoy's on this share.
func checkPlace(ctx context.Context, fsys tree.FS, name string) error {
	if !isConvoyName(name) {
		return nil
	}
	convoy, err := isConvoyShare(ctx, fsys)
	if err != nil {
		return err
	}
	if convoy {
		return problem.New(problem.Invalid, "take another name", "%q belongs to Rancher Convoy, whose metadata is in %s/ on this export", name, ConvoyDir)
	}
	return nil
}
