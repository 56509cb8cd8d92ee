package snapshot

import (
	"context"
	"errors"
	"io"
	"syscall"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/archive"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
	"github.com/casit/berth/tree"
)

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// RefRequest names one version.
type RefRequest struct {
	Ref     string           `json:"ref"`                // VOLUME@SNAPSHOT:PATH
	Exact   *reference.Exact `json:"exact,omitempty"`    // instead of Ref, where it is known
	PathB64 []byte           `json:"path_b64,omitempty"` // instead of a path in Ref
}

// Read writes a file of a version to w, or a directory as a tar archive. It writes
// nothing before it has read the first bytes.
func (v *Versions) Read(ctx context.Context, r RefRequest, w io.Writer) error {
	ref, err := reference.Want(r.Ref, r.Exact)
	if err != nil {
		return err
	}
	if r.PathB64 != nil {
		within := string(r.PathB64)
		ref.Within = &within
	}
	return v.volumes.With(ctx, "read "+ref.Volume, func(fsys tree.FS) error {
		sides, err := v.sides(ctx, fsys, ref)
		if err != nil {
			return err
		}
		name := sides[0].path
		defer v.reading("berth snapshot cat", name).done()
		a, err := fsys.Stat(ctx, name)
		if err != nil {
			return err
		}
		switch a.Kind {
		case tree.Regular:
			return tree.Send(ctx, fsys, name, a, w)
		case tree.Directory:
			return archive.Directory(ctx, fsys, name, a, w)
		}
		return problem.New(problem.Invalid, "name a file or a directory", "%s is a %s", text.Quote(sides[0].Ref), a.Kind)
	})
}
