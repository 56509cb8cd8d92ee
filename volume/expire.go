package volume

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/several"
)

// readAtOnce is how many trash items are read, or handed over, at the same time.
const readAtOnce = 64

// purgedAtOnce is how many trash items are handed over before that is written down.
const purgedAtOnce = 256

// expire hands what has expired in the export's time to the sweepers: as much as
// ctx lets it. What is read of an item is remembered, since records do not change
// but for what is found in a fenced tree.
func (tr *Trash) expire(ctx context.Context, e *export.Export) error {
	now, ok := tr.s.conn.Time()
	if !ok {
		return nil
	}
	ids, err := trashIDs(ctx, e)
	if err != nil {
		return err
	}
	known := map[string]*Trashed{}
	for _, t := range tr.Seen() {
		if _, there := slices.BinarySearch(ids, t.ID); there {
			known[t.ID] = t
		}
	}
	unknown := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return known[id] != nil && known[id].Kind != "unreadable" })
	half, cancel := context.WithTimeout(ctx, stepTimeout/2) // the rest is for what has expired
	defer cancel()
	read, failedRead := tr.read(half, e, unknown)
	for _, t := range read {
		known[t.ID] = t
	}
	pauses, err := cluster.Pauses(ctx, e.FS)
	if err != nil {
		return err
	}
	all, over := []*Trashed{}, []*Trashed(nil)
	for _, id := range ids {
		t := known[id]
		if t == nil {
			continue
		}
		all = append(all, t)
		if t.Expires != nil && !now.Before(t.Expires.Add(cluster.Missing(pauses, t.Removed, now))) {
			over = append(over, t)
		}
	}
	failed := several.Errors{}
	failed.Add(failedRead)
	gone := map[string]bool{}
	for chunk := range slices.Chunk(over, purgedAtOnce) {
		if ctx.Err() != nil {
			break
		}
		failed.Add(tr.purgeExpired(ctx, e, chunk, all, gone))
	}
	tr.s.polled.setTrash(slices.DeleteFunc(all, func(t *Trashed) bool { return gone[t.ID] }))
	return failed.Err()
}

// read reads trash items, as many as ctx lets it: the next call goes on where this
// one stopped.
func (tr *Trash) read(ctx context.Context, e *export.Export, ids []string) (out []*Trashed, err error) {
	items := make(chan *Trashed, len(ids))
	_, err = tr.reading.Round(ctx, ids, readAtOnce, func(ctx context.Context, id string) error {
		t, err := readItem(ctx, e, id, readRecord)
		if t != nil {
			items <- t
		}
		return err
	})
	close(items)
	for t := range items {
		out = append(out, t)
	}
	return out, err
}

// purgeExpired hands over items that nobody asks for any more, and notes in gone
// which: of a volume that was removed for good also what was replaced in it, first,
// since the item is what tells of it. all is what is in the trash.
func (tr *Trash) purgeExpired(ctx context.Context, e *export.Export, over, all []*Trashed, gone map[string]bool) error {
	var mu sync.Mutex // guards done and gone
	var done []audit.Record
	hand := func(ctx context.Context, t *Trashed) error {
		err := tr.handOver(ctx, e, t)
		mu.Lock()
		defer mu.Unlock()
		gone[t.ID] = export.Absent(err) == nil
		if err == nil {
			done = append(done, purged(t))
		}
		return export.Absent(err)
	}
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for _, t := range over {
		g.Go(guard.Func(func() error {
			err := func() error {
				// A removal that is under way has no data yet.
				if there, err := export.Exists(within, e.FS, export.TrashData(t.ID)); err != nil || !there {
					return err
				}
				for _, u := range replacedIn(t, all) {
					if err := hand(within, u); err != nil {
						return err
					}
				}
				return hand(within, t)
			}()
			return tr.s.passOver(within, e, keptInTrash, t.ID, err)
		}))
	}
	err := g.Wait()
	tr.s.Audit.Write(ctx, e, done...)
	return err
}

// replacedIn is what restores and undos have replaced in a volume that was removed
// for good.
func replacedIn(t *Trashed, all []*Trashed) (out []*Trashed) {
	if t.Kind != "removed" || !t.Meta.deletes() {
		return nil
	}
	own, _ := Undos(all, t.Volume, t.Meta)
	for _, u := range own {
		if u.volumeID() == t.volumeID() { // else nobody knows whose it is
			out = append(out, u)
		}
	}
	return out
}
