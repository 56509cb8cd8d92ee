package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/export"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
)

// Snapshots checks whether .snapshot is reached by name; missing is the state
// if it is not.
func Snapshots(ctx context.Context, fsys tree.FS, missing State) Finding {
	const dir = ".snapshot"
	attr, err := fsys.Stat(ctx, dir)
	switch {
	case err == nil && attr.Kind == tree.Directory:
		listed := ""
		if l, err := lists(ctx, fsys, ".", dir); err == nil && l {
			listed = ", and shown in the export's root, which no container sees"
		}
		return ok("%s is reached by name%s", dir, listed)
	case err == nil:
		return fail("move it away on the export", "%s is a %s and not a directory", dir, attr.Kind)
	case !errors.Is(err, fs.ErrNotExist):
		return failed(err, "")
	case missing == OK:
		return ok("there is none, and none is expected: 'berth snapshot create' makes copies")
	}
	return Finding{State: missing, Evidence: dir + " is not reached by name: without it there is no way back to an older version",
		Next: "on the filer: volume modify -snapdir-access true, vserver nfs modify -v3-hide-snapshot disabled; 'berth ontap status' shows both"}
}

// SnapshotsInside finds volumes that list .snapshot: chown -R and Docker's
// copy-up would walk into it.
func SnapshotsInside(ctx context.Context, fsys tree.FS, volumes []string) Finding {
	const most = 200
	shown := make([]bool, min(most, len(volumes)))
	unread := make([]error, len(shown))
	err := each(ctx, len(shown), func(ctx context.Context, i int) (err error) {
		if shown[i], err = lists(ctx, fsys, volumes[i], ".snapshot"); shown[i] {
			shown[i], err = tree.ShowsSnapshots(ctx, fsys, volumes[i]) // or it is data
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
			return nil
		case err != nil && !export.Ends(ctx, fsys, err):
			unread[i] = err
			return nil
		}
		return err
	})
	if err != nil {
		return failed(err, "")
	}
	var bad []string
	for i, yes := range shown {
		if yes {
			bad = append(bad, volumes[i])
		}
		if unread[i] != nil {
			return warn("look at it on the export", "the directory of volume %s cannot be read: %v", volumes[i], unread[i])
		}
	}
	if bad != nil {
		return warn("mount the export itself, not these directories (berth does so); a directory that somebody made is to be renamed",
			".snapshot is in the listing of %s: chown -R, backups and Docker's copy-up walk into it", some(bad))
	}
	return ok("not in the listing of %s looked at", count(len(shown), "volume"))
}

// errStop ends a listing that has shown enough.
var errStop = errors.New("enough")

func lists(ctx context.Context, fsys tree.FS, dir, name string) (bool, error) {
	err := fsys.ReadDir(ctx, dir, func(d tree.Entry) error {
		if d.Name == name {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return true, nil
	}
	return false, err
}

// NoSnapshot is the finding if there is no snapshot at all; missing is its
// state.
func NoSnapshot(missing State) Finding {
	if missing == OK {
		return ok("none: 'berth snapshot create' makes one")
	}
	return Finding{State: missing, Evidence: "the export has no snapshot: nothing brings a site back",
		Next: "give the volume a snapshot policy; 'berth snapshot create' makes one now"}
}

// skew is how far the clocks of a filer and a node may differ.
const skew = time.Minute

// Age judges the newest snapshot. Its time is zero if nobody knows it, and only
// approximately known if it is the last change of its tree, which is no age. A
// time in the future does not count as young, nor does what is guessed because the
// filer's API did not answer.
func Age(s reference.Snapshot, now time.Time, limit time.Duration) Finding {
	name, t := s.Name, s.Time
	old := now.Sub(t).Round(time.Second)
	next := "berth snapshot create, and look why the policy made none: berth ontap status"
	switch {
	case old < -skew:
		return warn("set BERTH_TZ to the filer's time zone, and compare the clocks of the filer and of this node",
			"the newest snapshot, %s, is of a time that is %s in the future: nobody knows how old it is", name, long(-old))
	case s.WithoutAPI != "" && (t.IsZero() || s.Approximate || old <= limit):
		return warn("berth ontap status", "unknown: the filer's API did not answer (%s); .snapshot shows %s as the newest", s.WithoutAPI, name)
	case t.IsZero(), s.Approximate:
		return warn("set BERTH_ONTAP, or give snapshots names with a time", "nobody says when %s was made", name)
	case old > limit:
		return fail(next, "the newest snapshot, %s, is %s old; the limit is %s", name, long(old), long(limit))
	}
	if s.Hidden {
		return warn("berth ontap status prints the commands that show .snapshot", "the newest, %s, is %s old, and hidden: nothing can be restored from it", name, long(max(0, old)))
	}
	return ok("the newest, %s, is %s old; the limit is %s", name, long(max(0, old)), long(limit))
}

// long is a duration, rounded for people.
func long(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 72*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// each calls fn for 0 to n-1, several at a time.
func each(ctx context.Context, n int, fn func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for i := range n {
		g.Go(func() error { return fn(ctx, i) })
	}
	return g.Wait()
}

// Export says which export it is.
func Export(url, id string) Finding { return ok("%s answers, id %s", url, id) }
