package snapshot

import (
	"context"
	"path"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// Clone makes the new volume as of a version, with the options that the volume
// had then. It returns the exact version. It takes as long as one request may,
// answers "cloning" then, and goes on: asked again it answers for the same clone.
func (v *Versions) Clone(ctx context.Context, spec, as string, dryRun bool) (string, error) {
	ref, err := ParseRef(spec)
	if err != nil {
		return "", err
	}
	if err := volume.CheckName(as); err != nil {
		return "", err
	}
	options := map[string]string{}
	err = v.volumes.With(ctx, "clone "+spec, func(fsys tree.FS) error {
		sides, err := v.sides(ctx, fsys, ref)
		if err != nil {
			return err
		}
		root := "."
		if sides[0].Snapshot != nil {
			ref.Snapshot = sides[0].Snapshot.Name
			root = path.Join(dir, ref.Snapshot)
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
		return "", err
	}
	// The tree has its own owner and mode.
	for _, k := range []string{"uid", "gid", "mode"} {
		delete(options, k)
	}
	options["from"] = ref.String()
	if dryRun {
		return ref.String(), nil
	}
	return ref.String(), v.volumes.Create(ctx, as, options)
}
