package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/several"
)

// checkMounts refuses a volume with something mounted in it, or on it: what is
// there is not the volume's, would go where the volume goes, and is not what a
// restore puts in its place. It is this host's mounts that can be seen.
func checkMounts(ctx context.Context, e *export.Export, name string) error {
	l, ok := e.FS.(interface {
		Mounts(ctx context.Context, name string) ([]string, error)
		Path() string
	})
	if !ok {
		return nil
	}
	a, err := e.FS.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	found, err := l.Mounts(ctx, name)
	if err != nil {
		return err
	}
	if a.Mount {
		found = append([]string{name}, found...)
	}
	if len(found) == 0 {
		return nil
	}
	return problem.New(problem.InUse, fmt.Sprintf("unmount it first ('umount %s'), then again", path.Join(l.Path(), found[0])),
		"volume %q has another filesystem mounted in it: %s", name, several.Join(found, ", "))
}
