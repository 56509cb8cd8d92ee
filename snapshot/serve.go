package snapshot

import (
	"context"
	"errors"
	"fmt"
)

// DeleteTree has the filer delete a directory of the export with all below it. An
// error, errors.ErrUnsupported where no filer is asked, means that a part or all
// of it may be left.
func (v *Versions) DeleteTree(ctx context.Context, dir string) error {
	if filer := v.tuned.Load().Filer; filer != nil {
		return filer.Delete(ctx, dir)
	}
	return errors.ErrUnsupported
}

// CloneFile has the filer make a file of one in a snapshot, without copying it, and
// says whether it did. Otherwise a part of it may be there. warn is told of what
// the filer has refused or failed to do, not of what it is not asked for.
func (v *Versions) CloneFile(ctx context.Context, src, dst string, warn func(string)) bool {
	filer := v.tuned.Load().Filer
	if filer == nil {
		return false
	}
	err := filer.CloneFile(ctx, src, dst)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) && ctx.Err() == nil {
		warn(fmt.Sprintf("%s is copied, since the filer has not cloned it: %v", src, err))
	}
	return err == nil
}
