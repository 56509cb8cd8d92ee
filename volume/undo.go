package volume

import (
	"context"
	"slices"
	"strings"

	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
)

// volumeID is the id of the volume that an item was made of, "" for one that
// had none. 0.1 wrote it into the metadata of whole trees only.
func (t *Trashed) volumeID() string {
	if t.VolumeID == "" && t.Meta != nil {
		return t.Meta.ID
	}
	return t.VolumeID
}

// Undos picks from the trash what restores and undos have replaced in the
// volume that is called name now and has the metadata m, and what they have
// replaced in former volumes of that name. The newest is last.
//
// A name goes to another volume when its volume is removed, so the id tells.
// What has none, of an adopted volume, belongs to the present one unless that
// is younger, or a volume of the name was removed since.
func Undos(all []*Trashed, name string, m *Meta) (own, former []*Trashed) {
	for _, t := range all {
		if t.Kind != "undo" {
			continue
		}
		switch id := t.volumeID(); {
		case id != "" && m != nil && id == m.ID, id == "" && t.Volume == name && !formerly(all, t, m):
			own = append(own, t)
		case t.Volume == name:
			former = append(former, t)
		}
	}
	byAge := func(a, b *Trashed) int { return a.Removed.Compare(b.Removed) }
	slices.SortStableFunc(own, byAge)
	slices.SortStableFunc(former, byAge)
	return own, former
}

// formerly tells whether what has no id was replaced in a former volume of its
// name, now that the metadata of that name is m.
func formerly(all []*Trashed, t *Trashed, m *Meta) bool {
	if m != nil && !m.Adopted && t.Removed.Before(m.Created) {
		return true
	}
	return slices.ContainsFunc(all, func(r *Trashed) bool {
		return r.Kind == "removed" && r.Volume == t.Volume && !r.Removed.Before(t.Removed)
	})
}

// RemovedWith finds the removed volume that an undo copy was made of, nil if
// it is not in the trash.
func RemovedWith(all []*Trashed, undo *Trashed) *Trashed {
	for _, r := range all {
		if r.Kind == "removed" && r.volumeID() == undo.volumeID() && (undo.volumeID() != "" || r.Volume == undo.Volume && !r.Removed.Before(undo.Removed)) {
			return r
		}
	}
	return nil
}

// freshID gives metadata that comes back as that of the volume name an id of
// its own, if another volume has its id by now: it came back too, under
// another name.
func (tr *Trash) freshID(ctx context.Context, fsys tree.FS, name string, m *Meta) error {
	names, err := export.Pick(ctx, fsys, export.MetaDir, func(d tree.Entry) (string, bool) { return strings.CutSuffix(d.Name, ".json") })
	if err != nil {
		return err
	}
	for _, n := range names {
		if n == name {
			continue
		}
		other, err := MetaIn(ctx, fsys, ".", n)
		if export.Ends(ctx, fsys, err) {
			return err
		}
		// What is broken of another volume has its id again when it is repaired.
		if other != nil && other.ID == m.ID || err != nil && salvagedID(ctx, fsys, n) == m.ID {
			m.ID = tr.s.conn.NewID()
			break
		}
	}
	return nil
}
