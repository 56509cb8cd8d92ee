package netapp

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/snapshot/reference"
)

// What the filer can do in its own place, where berth would else send every name or
// every byte over the network. Neither is asked for beforehand: a refusal comes
// before anything has happened, and the way back is the work over NFS.

// How long one call is waited for. A job that takes longer goes on, and so does
// berth over NFS: it makes no name twice, and deletes what is there.
const (
	deletedIn = 10 * time.Minute
	clonedIn  = time.Minute
)

// trial is an offer that is found out by trying, one call at a time.
type trial struct {
	offer
	turn chan struct{} // has a place for whoever has the turn
}

// try has the filer do it, and waits for it no longer than limit. While the filer
// is not asked, because it has refused or did not come to an end, the error matches
// errors.ErrUnsupported.
func (t *trial) try(ctx context.Context, f *Filer, limit time.Duration, do func(context.Context) error) error {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if has, why := t.holds(func() (bool, error) { return true, nil }); !has {
		return fmt.Errorf("%w: %v", errors.ErrUnsupported, why)
	}
	call, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(call)
	if refusal(err) || err != nil && call.Err() != nil && ctx.Err() == nil {
		t.refused(filerError(err))
	}
	return f.failed(err) // which matches errors.ErrUnsupported no more
}

// Delete deletes a directory of the export with all below it
// (DELETE /storage/volumes/{volume.uuid}/files/{path}?recurse=true, 9.8), and waits
// for the job. After any error a part may be left, or may still be going. The
// error matches errors.ErrUnsupported while the filer is not asked, because it has
// refused.
func (f *Filer) Delete(ctx context.Context, dir string) error {
	x, err := f.where(ctx)
	if err != nil {
		return err
	}
	return f.deleting.try(ctx, f, deletedIn, func(ctx context.Context) error {
		return f.client.DirectoryDelete(ctx, x.Volume.UUID, path.Join(x.Sub, dir))
	})
}

// CloneFile makes the file dst of the export of src, which is in a snapshot,
// without copying it (POST /storage/file/clone, 9.6), and waits for the job. No
// file may have the name dst. After any error a part may be at dst. The error
// matches errors.ErrUnsupported while the filer is not asked, because it has
// refused, and for names that JSON cannot carry.
func (f *Filer) CloneFile(ctx context.Context, src, dst string) error {
	rest, ok := strings.CutPrefix(src, reference.Dir+"/")
	snap, name, below := strings.Cut(rest, "/")
	if !ok || !below || !utf8.ValidString(src) || !utf8.ValidString(dst) {
		return errors.ErrUnsupported
	}
	x, err := f.where(ctx)
	if err != nil {
		return err
	}
	return f.cloning.try(ctx, f, clonedIn, func(ctx context.Context) error {
		return f.client.FileClone(ctx, ontap.Ref{UUID: x.Volume.UUID, Name: x.Volume.Name}, path.Join(reference.Dir, snap, x.Sub, name), path.Join(x.Sub, dst))
	})
}
