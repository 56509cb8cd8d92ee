package snapshot

import (
	"context"
	"path"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// CloneRequest asks for a new volume that is a version of another.
type CloneRequest struct {
	Ref    string           `json:"ref"`
	Exact  *reference.Exact `json:"exact,omitempty"` // instead of Ref, where it is known
	As     string           `json:"as"`
	DryRun bool             `json:"dry_run"`
	Force  bool             `json:"force,omitempty"` // fill the export
}

// Cloned is the version that a clone is made of.
type Cloned struct {
	Ref   string           `json:"ref"`             // exact
	Exact *reference.Exact `json:"exact,omitempty"` // nil: the live volume
}

// MakeClone makes the new volume as of a version, with the options that the
// volume had then. It takes as long as one request may, answers "cloning" then,
// and goes on: asked again, for the exact version, it answers for the same clone.
func (v *Versions) MakeClone(ctx context.Context, r CloneRequest) (c Cloned, err error) {
	a, err := reference.Want(r.Ref, r.Exact)
	if err != nil {
		return c, err
	}
	if err := volume.CheckName(r.As); err != nil {
		return c, err
	}
	var ref reference.Ref
	options := map[string]string{}
	taken := false
	err = v.volumes.With(ctx, "clone "+a.Volume, func(fsys tree.FS) error {
		sides, err := v.sides(ctx, fsys, a)
		if err != nil {
			return err
		}
		ref = sides[0].ref
		if ref.Path != "" {
			return problem.New(problem.Invalid, "--to puts a part of it beside the live one", "--as makes a volume of a whole volume")
		}
		root := "."
		if sides[0].Snapshot != nil {
			c.Exact = reference.ExactOf(ref, *sides[0].Snapshot)
			root = path.Join(reference.Dir, ref.Snapshot)
		}
		there, err := stat(ctx, fsys, r.As)
		if taken = there != nil; err != nil {
			return err
		}
		m, err := volume.MetaIn(ctx, fsys, root, ref.Volume)
		if m != nil {
			for k, value := range m.Options {
				options[k] = value
			}
		}
		return err
	})
	if err != nil {
		return c, err
	}
	// The tree has its own owner and mode.
	for _, k := range []string{"uid", "gid", "mode"} {
		delete(options, k)
	}
	c.Ref = ref.String()
	options["from"] = c.Ref
	if r.DryRun {
		if taken { // asked again, without it, the volume may be the clone itself
			err = problem.New(problem.InUse, "choose a name that is free", "volume %q exists, and --as overwrites nothing", r.As)
		}
		return c, err
	}
	if r.Force {
		ctx = export.Force(ctx)
	}
	return c, v.volumes.Create(ctx, r.As, options)
}
