package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/rota"
	"github.com/casit/berth/text"
	"github.com/casit/berth/tree"
)

// Trashed is .berth/trash/ID/volume.json: what stands beside it in data/, and
// until when. Nothing is ever deleted in any other place.
type Trashed struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Kind    string `json:"kind"` // removed, undo, fenced or Damaged
	Volume  string `json:"volume"`
	// VolumeID is the id of the volume, which its name may outlive; "" for an
	// adopted one.
	VolumeID string     `json:"volume_id,omitempty"`
	Meta     *Meta      `json:"meta,omitempty"` // nil: it was adopted
	Removed  time.Time  `json:"removed"`        // in the export's time
	By       string     `json:"by"`             // node
	Expires  *time.Time `json:"expires"`        // nil: only by hand
	// Of what a restore or an undo replaced: why, in which job, and where in
	// the volume ("" for all of it).
	Reason string `json:"reason,omitempty"`
	Job    string `json:"job,omitempty"`
	Path   string `json:"path,omitempty"`
	// PathB64 is Path on the export where that is no UTF-8.
	PathB64 []byte `json:"path_b64,omitempty"`
	// From is the node from which a fenced tree was taken over, and Late what
	// has changed in it Since, in the export's time.
	From  string    `json:"from,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Late  *Late     `json:"late,omitempty"`
	// Stays is why this node could not purge the item when its time was over. Never
	// on the export.
	Stays string `json:"stays,omitempty"`
	// Partial: not a tree, but what was replaced or removed of one.
	Partial bool `json:"partial,omitempty"`

	missing time.Duration // since Removed, as of the listing
}

// Fits implements export.Record: the item is the one that its place says, and what
// it says of itself may be done.
func (t *Trashed) Fits(name string) error {
	p := t.Path
	if t.PathB64 != nil {
		p = string(t.PathB64)
	}
	err := cmp.Or(export.CheckVersion(t.Version), export.CheckTime(t.Removed, t.Since))
	switch {
	case err != nil:
		return err
	case t.ID != path.Base(path.Dir(name)):
		return export.Unfit("belongs to item %q", t.ID)
	case t.Kind == Damaged:
		return nil
	case t.Kind != "removed" && t.Kind != "undo" && t.Kind != "fenced", !export.IsName(t.Volume), p != "" && tree.CheckPath(p) != nil:
		return export.Unfit("is a %q of volume %q, path %q, which is none", t.Kind, t.Volume, p)
	case t.Expires != nil && (t.Expires.Before(t.Removed) || export.CheckTime(*t.Expires) != nil):
		return export.Unfit("expires before it was removed, or never")
	case t.Meta != nil:
		return t.Meta.Fits(export.MetaPath(t.Volume))
	}
	return nil
}

// Damaged is the kind of an item that is no volume's tree, but a control file which
// was not what its name says.
const Damaged = "damaged"

// Trash is what was removed or replaced, and may still be brought back.
type Trash struct {
	s   *Store
	ttl atomic.Int64 // in force: it may change while jobs run

	reading rota.Rota // of expire
}

// expired tells whether its time is over, in the export's time.
func (t *Trashed) expired(now time.Time) bool { return t.Expires != nil && !now.Before(*t.Expires) }

// Remove moves a volume into the trash, unless another node uses it. A volume
// that is not there is removed already; a view never changes anything.
func (s *Store) Remove(ctx context.Context, volume string) error {
	ref, err := ParseRef(volume)
	if err != nil || ref.Snapshot != "" {
		return err
	}
	name := ref.Name
	ctx = export.Spend(ctx)
	return s.locked(ctx, cluster.OpRemove, name, func(e *export.Export, lock *cluster.Locking) error {
		err := s.checkDirectory(ctx, e, name)
		if problem.KindOf(err) == problem.NotFound {
			s.index.Drop(name)
			return s.forgetUnfinished(ctx, e, name)
		}
		if err != nil {
			return err
		}
		meta, err := readMeta(ctx, e.FS, name)
		if err != nil {
			return err
		}
		if err := s.checkUnused(ctx, e, name); err != nil {
			return err
		}
		if err := s.silentHolder(ctx, e, name, meta); err != nil {
			return err
		}
		if err := checkMounts(ctx, e, name); err != nil {
			return err
		}
		// Two nodes may remove volumes of one name, one after the other.
		if _, err := e.AskTime(ctx); err != nil {
			return err
		}
		t := s.Trash.newItem("removed", name, meta)
		if err := lock.SetWork(ctx, t.ID); err != nil {
			return err
		}
		if err := s.Trash.put(ctx, e, t); err != nil {
			return err
		}
		s.index.Drop(name)
		detail := "trash " + t.ID
		if meta.deletes() {
			detail += ", deleted at once (on-remove=delete)"
		}
		s.Audit.Write(ctx, e, audit.Record{Op: "remove", Volume: name, Detail: detail})
		if meta.deletes() {
			// It is removed; whatever keeps it now, the next round deletes it.
			if all, err := s.Trash.list(ctx, e); err == nil {
				_ = s.Trash.purgeExpired(ctx, e, []*Trashed{t}, all, map[string]bool{})
			}
			s.sweepSoon()
		}
		return nil
	})
}

// keptInTrash is the event of an item whose time is over and that stays.
const keptInTrash = "what has expired stays in the trash"

// checkUnused refuses while another node uses the volume. dockerd has proven
// that this node does not; an expired lease no longer counts, and is reported.
func (s *Store) checkUnused(ctx context.Context, e *export.Export, name string) error {
	if err := s.Cluster.Poll(ctx, e); err != nil {
		return err
	}
	others, err := s.othersUsing(ctx, e, name)
	if err != nil {
		return err
	}
	for _, u := range others {
		if u.State.Holds() {
			return problem.New(problem.InUse, fmt.Sprintf("stop its containers there first; 'berth volume ps %s' lists them", name),
				"volume %q is in use on %s (%s)", name, u.Node, u.LastSign())
		}
	}
	for _, u := range others {
		s.cfg.Report("an expired lease no longer keeps a volume from being removed", map[string]any{"volume": name, "node": u.Node, "silent": u.LastSign()})
		s.Audit.Write(ctx, e, audit.Record{Op: "lease-expired", Volume: name, Detail: "of " + u.Node + ", " + u.LastSign()})
	}
	s.Cluster.UnclaimAll(name)
	return nil
}

func (tr *Trash) newItem(kind, name string, meta *Meta) *Trashed {
	t := &Trashed{Version: export.FormatVersion, Kind: kind, Volume: name, Meta: meta, Removed: tr.removedAt(), By: tr.s.cfg.Node}
	t.ID = tr.NewID()
	switch expires := t.Removed.Add(tr.TTL()); {
	case meta.deletes():
		t.Expires = &t.Removed
	case meta == nil || meta.Options.Get("on-remove") != "retain":
		t.Expires = &expires
	}
	return t
}

// lastRemoved is when this node has last put something into the trash.
type lastRemoved struct {
	mu sync.Mutex // guards at
	at time.Time
}

// removedAt is the export's time for a trash item, later than that of every item
// before: what this node knows of the export's time may step back when it asks
// again. A step of more than a minute is believed.
func (tr *Trash) removedAt() time.Time {
	now, _ := tr.s.conn.Time()
	now = now.UTC().Round(0)
	tr.s.lastRemoved.mu.Lock()
	defer tr.s.lastRemoved.mu.Unlock()
	if last := tr.s.lastRemoved.at; !now.After(last) && last.Sub(now) < time.Minute {
		now = last.Add(time.Nanosecond)
	}
	tr.s.lastRemoved.at = now
	return now
}

// NewID returns a name for a trash item.
func (tr *Trash) NewID() string {
	now, _ := tr.s.conn.Time()
	return now.UTC().Format("20060102-1504") + "-" + tr.s.conn.NewID()[:6]
}

// put is the removal proper: the record, the rename, the metadata, and
// what is left of leases.
func (tr *Trash) put(ctx context.Context, e *export.Export, t *Trashed) error {
	if err := tr.Record(ctx, e.FS, t); err != nil {
		return err
	}
	if err := e.Rename(ctx, t.Volume, export.TrashData(t.ID)); err != nil {
		_ = tr.drop(ctx, e, t.ID)
		if errors.Is(err, syscall.EXDEV) {
			return problem.New(problem.Failed, "nothing was changed; empty it in a container and delete it where it was made (on a filer 'volume qtree delete'), or keep it",
				"volume %q is a tree of its own on the export (a qtree or a filesystem), and cannot be moved to the trash", t.Volume).Because(err)
		}
		return err
	}
	return tr.s.forgetVolume(ctx, e, t.Volume)
}

// Record makes a trash item, whose data comes next: what is or was a
// volume's, with the id that this has now. It may be repeated.
func (tr *Trash) Record(ctx context.Context, fsys tree.FS, t *Trashed) error {
	if m, err := readMeta(ctx, fsys, t.Volume); err != nil {
		return err
	} else if m != nil {
		t.VolumeID = m.ID
	}
	if err := export.Mkdir(ctx, fsys, export.TrashPath(t.ID)); err != nil {
		return err
	}
	t.PathB64 = text.B64(t.Path)
	if err := tr.s.conn.On(fsys).Publish(ctx, export.TrashMeta(t.ID), t); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// forgetVolume removes what refers to a volume whose directory is gone.
func (s *Store) forgetVolume(ctx context.Context, e *export.Export, name string) error {
	if err := export.Absent(e.FS.Remove(ctx, export.MetaPath(name))); err != nil {
		return err
	}
	return cluster.RemoveLeases(ctx, e.FS, name)
}

// forgetUnfinished removes the metadata of a volume that never got a directory.
func (s *Store) forgetUnfinished(ctx context.Context, e *export.Export, name string) error {
	if _, err := readMeta(ctx, e.FS, name); err != nil {
		return err
	}
	return export.Absent(e.FS.Remove(ctx, export.MetaPath(name)))
}

// finishRemove ends a removal whose owner died: if the data is in the trash it
// was removed, else nothing has happened.
func (s *Store) finishRemove(ctx context.Context, e *export.Export, l *cluster.Lock) error {
	if l.Work == "" {
		return nil
	}
	moved, err := export.Exists(ctx, e.FS, export.TrashData(l.Work))
	if err != nil {
		return err
	}
	if moved {
		t, err := readTrashed(ctx, e.FS, l.Work)
		if err != nil || t == nil {
			return err
		}
		if there, err := export.Exists(ctx, e.FS, l.Volume); err != nil {
			return err
		} else if there || t.Kind != "unreadable" && (t.Kind != "removed" || t.Volume != l.Volume) {
			return otherItem(l)
		}
		s.index.Drop(l.Volume)
		return s.forgetVolume(ctx, e, l.Volume)
	}
	return s.Trash.drop(ctx, e, l.Work)
}

// otherItem refuses to finish what a lock says about an item that its operation has
// not made.
func otherItem(l *cluster.Lock) error {
	return problem.New(problem.Failed, fmt.Sprintf("nothing was changed; 'berth volume repair %s' moves the lock away", l.Volume),
		"the lock of volume %q names %s, which is not of its %s", l.Volume, l.Work, l.Op)
}

// Aside moves a control file that is not what its name says, and everything below
// it, into the trash, and returns the item. volume is whose file it is, "" for none.
func (tr *Trash) Aside(ctx context.Context, e *export.Export, name, volume string, why error) (id string, err error) {
	t := tr.newItem(Damaged, volume, nil)
	t.Reason, t.Expires = fmt.Sprintf("%s %v", name, why), nil
	if err := export.Mkdir(ctx, e.FS, export.TrashPath(t.ID)); err != nil {
		return "", err
	}
	if err = e.Publish(ctx, export.TrashMeta(t.ID), t); err == nil {
		err = e.Rename(ctx, name, export.TrashData(t.ID))
	}
	if err != nil {
		return "", errors.Join(err, tr.drop(ctx, e, t.ID))
	}
	return t.ID, nil
}

// drop removes a trash item that has no data, and only such a one.
func (tr *Trash) drop(ctx context.Context, e *export.Export, id string) error {
	if there, err := export.Exists(ctx, e.FS, export.TrashData(id)); err != nil || there {
		return err
	}
	if err := export.Absent(e.FS.Remove(ctx, export.TrashMeta(id))); err != nil {
		return err
	}
	return export.Absent(e.FS.Rmdir(ctx, export.TrashPath(id)))
}

// List returns what is in the trash, oldest first.
func (tr *Trash) List(ctx context.Context) ([]*Trashed, error) {
	out := []*Trashed{}
	err := tr.s.with(ctx, "list the trash", func(e *export.Export) error {
		items, err := tr.list(ctx, e)
		for _, t := range items {
			t.Stays = tr.s.faults.Reason(keptInTrash, t.ID)
		}
		out = append(out, items...)
		return err
	})
	return out, err
}

func (tr *Trash) list(ctx context.Context, e *export.Export) ([]*Trashed, error) {
	ids, err := trashIDs(ctx, e)
	if err != nil {
		return nil, err
	}
	out := make([]*Trashed, len(ids))
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(surveyed)
	for i, id := range ids {
		g.Go(guard.Func(func() error {
			t, err := readItem(within, e, id, readTrashed)
			out[i] = t
			return err
		}))
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out = slices.DeleteFunc(out, func(t *Trashed) bool { return t == nil })
	pauses, err := cluster.Pauses(ctx, e.FS)
	if err != nil {
		return nil, err
	}
	now, _ := tr.s.conn.Time()
	for _, t := range out {
		if t.missing = cluster.Missing(pauses, t.Removed, now); t.Expires != nil {
			at := t.Expires.Add(t.missing)
			t.Expires = &at
		}
	}
	// By age, not by id: ids have minutes, and times tell removals apart that
	// follow each other at once.
	slices.SortStableFunc(out, func(a, b *Trashed) int { return a.Removed.Compare(b.Removed) })
	return out, nil
}

// trashIDs lists what is in the trash, sorted.
func trashIDs(ctx context.Context, e *export.Export) ([]string, error) {
	ids, err := export.Pick(ctx, e.FS, export.TrashDir, func(d tree.Entry) (string, bool) { return d.Name, d.Kind == tree.Directory })
	slices.Sort(ids)
	return ids, export.Absent(err)
}

// readItem reads one item among many by read. One that cannot be read is unreadable;
// an error ends the work on all.
func readItem(ctx context.Context, e *export.Export, id string, read func(context.Context, tree.FS, string) (*Trashed, error)) (*Trashed, error) {
	t, err := read(ctx, e.FS, id)
	if export.Ends(ctx, e.FS, err) {
		return nil, err
	}
	if err != nil {
		t = unreadable(id)
	}
	return t, nil
}

// readTrashed returns a trash item; one whose record is broken is kept for
// ever and has only its id. It returns nil when there is none.
func readTrashed(ctx context.Context, fsys tree.FS, id string) (*Trashed, error) {
	t, err := readRecord(ctx, fsys, id)
	if err != nil || t == nil || t.Kind == "unreadable" {
		return t, err
	}
	if there, err := export.Exists(ctx, fsys, export.TrashData(id)); err != nil || !there {
		return nil, err
	}
	return t, nil
}

// readRecord is readTrashed of an item that may have no data.
func readRecord(ctx context.Context, fsys tree.FS, id string) (*Trashed, error) {
	var t Trashed
	err := export.Read(ctx, fsys, export.TrashMeta(id), &t)
	switch {
	case export.IsBroken(err):
		return unreadable(id), nil
	case errors.Is(err, fs.ErrNotExist):
		// It is being made, unless its tree is there already.
		if there, err := export.Exists(ctx, fsys, export.TrashData(id)); err != nil || !there {
			return nil, err
		}
		return unreadable(id), nil
	case err != nil:
		return nil, err
	}
	if t.PathB64 != nil {
		t.Path = string(t.PathB64)
	}
	return &t, nil
}

func unreadable(id string) *Trashed { return &Trashed{ID: id, Kind: "unreadable"} }

// Restore brings a removed volume back, named by its id or, newest
// first, by its name. as gives it another name. It returns what was restored
// under which name.
func (tr *Trash) Restore(ctx context.Context, which, as string) (*Trashed, string, error) {
	t, err := tr.find(ctx, which)
	if err != nil {
		return nil, "", err
	}
	name := t.Volume
	if as != "" {
		name = as
	}
	if err := CheckName(name); err != nil {
		return nil, "", err
	}
	ctx = export.Spend(ctx)
	return t, name, tr.s.locked(ctx, cluster.OpUndelete, name, func(e *export.Export, lock *cluster.Locking) error {
		if err := checkPlace(ctx, e.FS, name); err != nil {
			return err
		}
		if there, err := export.Exists(ctx, e.FS, name); err != nil {
			return err
		} else if there {
			return problem.New(problem.InUse, fmt.Sprintf("bring it back under another name: 'berth trash restore %s --as %s-restored'", t.ID, name), "a volume %q exists", name)
		}
		if err := lock.SetWork(ctx, t.ID); err != nil {
			return err
		}
		if err := tr.bringBack(ctx, e, t, name); err != nil {
			return err
		}
		tr.s.index.Put(name, entry{})
		tr.s.Audit.Write(ctx, e, audit.Record{Op: "undelete", Volume: name, Detail: "trash " + t.ID})
		return nil
	})
}

func (tr *Trash) find(ctx context.Context, which string) (*Trashed, error) {
	all, err := tr.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range slices.Backward(all) {
		if t.ID == which || t.Volume == which && t.Kind == "removed" {
			if t.Partial || t.Path != "" {
				return nil, problem.New(problem.Invalid, fmt.Sprintf("'berth undo %s' puts it back into the volume that it is of", t.Volume), "trash item %s is a part of volume %q", t.ID, t.Volume)
			}
			if t.Kind == "unreadable" || t.Kind == Damaged {
				return nil, problem.New(problem.Failed, "its data is in "+export.TrashData(t.ID)+" on the export", "the record of trash item %s is not readable", t.ID)
			}
			return t, nil
		}
	}
	return nil, problem.New(problem.NotFound, "'berth trash ls' lists what there is", "nothing in the trash is called %q", which)
}

// bringBack puts the metadata back, then the data. A crash in between leaves
// the lock, whose finisher does the rest.
func (tr *Trash) bringBack(ctx context.Context, e *export.Export, t *Trashed, name string) error {
	if t.Meta != nil {
		// The tree itself comes back, as the volume that it was; of a fenced
		// one a copy.
		meta := *t.Meta
		if meta.Name = name; t.Kind == "fenced" {
			meta.ID = tr.s.conn.NewID()
		} else if err := tr.freshID(ctx, e.FS, name, &meta); err != nil {
			return err
		}
		if err := e.Replace(ctx, export.MetaPath(name), meta); err != nil {
			return err
		}
	} else if err := export.Absent(e.FS.Remove(ctx, export.MetaPath(name))); err != nil {
		return err
	}
	if t.Kind == "fenced" {
		return tr.copyFenced(ctx, e, t, name)
	}
	err := e.Rename(ctx, export.TrashData(t.ID), name)
	if errors.Is(err, fs.ErrNotExist) {
		if there, err := export.Exists(ctx, e.FS, name); err != nil || !there {
			return errors.Join(err, export.Absent(e.FS.Remove(ctx, export.MetaPath(name))),
				problem.New(problem.NotFound, "'berth trash ls' lists what there is", "trash item %s was purged meanwhile", t.ID))
		}
		err = nil // another node finished it for us
	}
	if err != nil {
		return err
	}
	return tr.drop(ctx, e, t.ID)
}

// copyFenced brings a copy of a fenced tree back: a node may still write to the
// tree itself, so it stays where it is. The lock on name has the item's id, so
// nobody sweeps the copy while it is being made, however long that takes.
func (tr *Trash) copyFenced(ctx context.Context, e *export.Export, t *Trashed, name string) error {
	tmp := path.Join(export.StagingDir, export.CopyPrefix+t.ID+"."+tr.s.conn.NewID())
	if _, err := tree.Copy(ctx, e.FS, export.TrashData(t.ID), tmp, tree.CopyOptions{}, nil); err != nil {
		err = problem.Whole(err, "trash item "+t.ID, fmt.Sprintf("stop what writes to it on %s, then again", cmp.Or(t.From, "its node")))
		return errors.Join(err, tr.Discard(context.WithoutCancel(ctx), e.FS, tmp), export.Absent(e.FS.Remove(context.WithoutCancel(ctx), export.MetaPath(name))))
	}
	return e.FS.Rename(ctx, tmp, name)
}

// finishRestore ends a restore whose owner died: what is moved back is in its place
// then, and what is copied is taken back.
func (tr *Trash) finishRestore(ctx context.Context, e *export.Export, l *cluster.Lock) error {
	if l.Work == "" {
		return nil
	}
	t, err := readTrashed(ctx, e.FS, l.Work)
	if err != nil || t != nil && t.Kind == "unreadable" {
		return err
	}
	if t == nil {
		return tr.drop(ctx, e, l.Work)
	}
	if t.Kind == Damaged || t.Partial || t.Path != "" {
		return otherItem(l)
	}
	there, err := export.Exists(ctx, e.FS, l.Volume)
	if err != nil || there {
		return err
	}
	if t.Kind == "fenced" {
		// It is copied, which may take hours and would keep what else is to be
		// finished: whoever asked for it asks again.
		return export.Absent(e.FS.Remove(ctx, export.MetaPath(l.Volume)))
	}
	return tr.bringBack(ctx, e, t, l.Volume)
}

// Everything is an age that everything in the trash has, for TrashPurge.
const Everything time.Duration = math.MinInt64

// Purge deletes trash items for good: those named, or all removed at
// least older ago, or with neither all that have expired. It returns them;
// with an error, those that could be. The deletion itself goes on in the
// background, on any node.
func (tr *Trash) Purge(ctx context.Context, ids []string, older time.Duration, dryRun bool) ([]*Trashed, error) {
	all, err := tr.List(ctx)
	if err != nil {
		return nil, err
	}
	now, _ := tr.s.conn.Time()
	out := []*Trashed{}
	for _, t := range all {
		switch {
		case len(ids) > 0:
			if !slices.Contains(ids, t.ID) {
				continue
			}
		case older != 0:
			if t.Kind == "unreadable" || older > 0 && now.Sub(t.Removed)-t.missing < older {
				continue
			}
		case !t.expired(now):
			continue
		}
		out = append(out, t)
	}
	var missing error
	for _, id := range ids {
		if !slices.ContainsFunc(out, func(t *Trashed) bool { return t.ID == id }) {
			missing = problem.New(problem.NotFound, "'berth trash ls' lists what there is", "nothing in the trash has the id %q", id)
			break
		}
	}
	if dryRun && missing == nil {
		return out, nil
	}
	if missing != nil && (dryRun || len(out) == 0) {
		return nil, missing
	}
	done := []*Trashed{}
	err = tr.s.with(ctx, "purge the trash", func(e *export.Export) error {
		var first error
		for _, t := range out {
			switch err := tr.purge(ctx, e, t); {
			case err == nil:
				done = append(done, t)
			case export.Ends(ctx, e.FS, err):
				return err
			case first == nil:
				first = fmt.Errorf("%s: %w", t.ID, err)
			}
		}
		if first != nil {
			return problem.New(problem.Failed, "look at it in .berth/trash on the export; the others are purged",
				"%d of %d trash items cannot be purged, the first is %v", len(out)-len(done), len(out), first)
		}
		return missing // the others are purged
	})
	tr.s.sweepSoon()
	return done, err
}

// purge hands a trash item to the sweepers and writes that down.
func (tr *Trash) purge(ctx context.Context, e *export.Export, t *Trashed) error {
	err := tr.handOver(ctx, e, t)
	if err == nil {
		tr.s.Audit.Write(ctx, e, purged(t))
	}
	return export.Absent(err) // another node did
}

func purged(t *Trashed) audit.Record {
	return audit.Record{Op: "purge", Volume: t.Volume, Detail: "trash " + t.ID}
}

// handOver hands a trash item to the sweepers by RENAME. After fs.ErrNotExist
// another node has done so.
func (tr *Trash) handOver(ctx context.Context, e *export.Export, t *Trashed) error {
	return e.Rename(export.Spend(ctx), export.TrashPath(t.ID), path.Join(export.StagingDir, export.PurgePrefix+t.ID))
}

// discardStaging hands a job's staging directory to the sweepers.
func (tr *Trash) discardStaging(ctx context.Context, e *export.Export, work string) error {
	if work == "" || strings.Contains(work, "/") {
		return nil
	}
	return e.HandOver(ctx, path.Join(export.StagingDir, work))
}

// Data is where the item's data is, below the export.
func (t *Trashed) Data() string { return export.TrashData(t.ID) }
