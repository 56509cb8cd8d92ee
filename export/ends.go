package export

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// asked bounds how long Ends waits for the export.
const asked = 5 * time.Second

// Ends tells whether err, from one item among many, ends the work on all of them:
// the caller's time is over, or the export does not answer, is another one, or takes
// no more writes. Any other error is the item's, and the work goes on with the next.
//
// One name alone may answer as if it were the export: a dead mount in a volume, a
// stale handle, a directory that is too large, an owner whose quota is used up, a
// read-only mount. So the export is asked.
func Ends(ctx context.Context, fsys tree.FS, err error) bool {
	switch {
	case err == nil:
		return false
	case ctx.Err() != nil, errors.Is(err, tree.ErrAway):
		return true
	case !mayBeExport(err):
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, asked)
	defer cancel()
	if root, ok := fsys.(interface{ Check(context.Context) error }); ok && root.Check(ctx) != nil {
		return true
	}
	if _, err := readRecord(ctx, fsys, ""); err != nil {
		return true
	}
	return refusesWrites(err) && !takesWrites(ctx, fsys)
}

// PassOver notes in faults what came of the work on one item among many, which is
// reported once. It returns an error that ends the work on all of them: see Ends.
func PassOver(ctx context.Context, fsys tree.FS, faults *problem.Faults, report func(event string, fields map[string]any), event, item string, err error) error {
	if Ends(ctx, fsys, err) {
		return err
	}
	faults.Note(report, event, item, err)
	return nil
}

// mayBeExport tells the errors that an export gives when it is away or full.
func mayBeExport(err error) bool {
	for _, whole := range []error{tree.ErrAway, context.Canceled, context.DeadlineExceeded, syscall.ESTALE, syscall.ENOTCONN} {
		if errors.Is(err, whole) {
			return true
		}
	}
	return refusesWrites(err) || problem.KindOf(err) == problem.Unreachable
}

func refusesWrites(err error) bool { return tree.IsFull(err) || errors.Is(err, syscall.EROFS) }

// takesWrites tries a private file of one block. It takes nothing from the reserve.
func takesWrites(ctx context.Context, fsys tree.FS) bool {
	e := &Export{FS: fsys, rand: rand.Reader}
	data := make([]byte, reserveSize)
	_, _ = io.ReadFull(e.rand, data)
	name, err := e.newPrivate(ctx, data)
	if err != nil {
		return false
	}
	e.Discard(ctx, name)
	return true
}
