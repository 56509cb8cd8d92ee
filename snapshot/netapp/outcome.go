package netapp

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
)

// A change whose answer is lost is never sent again: berth looks what has become
// of it. It looks several times, because the filer may still be at it.
const (
	looks     = 5
	lookEvery = time.Second
)

// skew is how far the filer's clock may be from ours, for "was it made just now".
const skew = 10 * time.Minute

// look calls seen until it has an answer, looks times at most.
func look(ctx context.Context, seen func() (known bool, err error)) error {
	for n := 1; ; n++ {
		known, err := seen()
		if known || err != nil || n == looks {
			return err
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lookCreated looks for a snapshot that may have been made: CreateTime of want is
// when it was asked for. Without it the outcome stays that of lost.
func (f *Filer) lookCreated(ctx context.Context, volumeUUID string, want ontap.Snapshot, lost error) (ontap.Snapshot, error) {
	var got ontap.Snapshot
	err := look(ctx, func() (bool, error) {
		var err error
		got, err = f.client.SnapshotGetByName(ctx, volumeUUID, want.Name)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	})
	switch {
	case err != nil:
		return got, problem.New(problem.Unreachable, "look for it before you make another one: 'berth snapshot ls VOLUME'", "%v; it could not be looked for: %v", lost, err)
	case got.UUID == "":
		return got, problem.New(problem.Unreachable, "look once more: 'berth snapshot ls VOLUME'; then try again", "%v; the filer has no snapshot %q now", lost, want.Name)
	case got.Comment != want.Comment || got.CreateTime.Before(want.CreateTime.Add(-skew)):
		return got, problem.New(problem.InUse, "choose another name", "%v; a snapshot %q is there that this call has not made", lost, want.Name)
	}
	return got, nil
}

// lookDeleted looks whether a snapshot is gone that may have been deleted.
func (f *Filer) lookDeleted(ctx context.Context, volumeUUID string, s reference.Snapshot, lost error) error {
	gone := false
	err := look(ctx, func() (bool, error) {
		_, err := f.client.SnapshotGet(ctx, volumeUUID, s.UUID)
		if gone = errors.Is(err, fs.ErrNotExist); gone {
			return true, nil
		}
		return false, err
	})
	switch {
	case gone:
		return nil
	case err != nil:
		return problem.New(problem.Unreachable, "look again later: 'berth snapshot ls VOLUME'", "%v; it could not be looked for: %v", lost, err)
	}
	return problem.New(problem.Unreachable, "look again later: 'berth snapshot ls VOLUME'", "%v; the filer still has snapshot %q", lost, s.Name)
}
