package netapp

import (
	"context"
	"errors"
)

// Size is what the filer has counted below a directory.
type Size struct {
	Bytes int64 // on the disk, of directories too
	Files int64 // what is below the directory, as the filer counts
}

// Sizes are the sizes of the directories in the export's directory, by their names,
// as File System Analytics has counted them: two calls, however many directories
// there are. A directory without a complete count is left out. So is one that is
// on another FlexVol. Where the filer does not count, or has not counted all yet,
// the error matches errors.ErrUnsupported.
func (f *Filer) Sizes(ctx context.Context) (map[string]Size, error) {
	x, err := f.where(ctx)
	if err != nil {
		return nil, err
	}
	// A release before 9.12.1 does not mark a count as incomplete while the first
	// scan runs: the state tells.
	vol, err := f.client.VolumeGet(ctx, x.Volume.UUID)
	if err != nil {
		return nil, f.failed(err)
	}
	if vol.Analytics.State != "on" {
		return nil, errors.ErrUnsupported
	}
	all, err := f.client.AnalyticsList(ctx, x.Volume.UUID, x.Sub)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	if err != nil {
		return nil, f.failed(err)
	}
	out := map[string]Size{}
	for name, a := range all {
		if complete := a.Incomplete == nil || !*a.Incomplete; complete && a.Files != nil {
			out[name] = Size{Bytes: *a.Bytes, Files: *a.Files}
		}
	}
	return out, nil
}
