package convoy

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/volume"
)

// State says what happens to one name on the share.
type State string

// The states, in the order in which a report has them.
const (
	Imported State = "imported" // berth has Convoy's record of it now
	Already  State = "already"  // berth had metadata of it before, which stays
	Adopted  State = "adopted"  // an orphan that has metadata now
	Orphan   State = "orphan"   // a directory without a record: dropped by 'docker volume rm'
	Broken   State = "broken"   // its record cannot be imported
	Leftover State = "leftover" // what Convoy left half-done, and names that are no volume's
	Undone   State = "undone"   // the metadata that the import wrote is gone
	Kept     State = "kept"     // … stays, since it was changed
)

var order = []State{Imported, Already, Adopted, Undone, Kept, Orphan, Broken, Leftover}

// Item is one line of a report.
type Item struct {
	// Volume is the name in berth, which is the directory's; of a leftover its path.
	Volume string `json:"volume"`
	State  State  `json:"state"`
	// Reason says why, of what is broken, kept or left over.
	Reason  string    `json:"reason,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Record  string    `json:"record,omitempty"` // Convoy's file
	// Database is the file by which the volume was recognised as a database's,
	// and Access the option it has.
	Database  string     `json:"database,omitempty"`
	Access    string     `json:"access,omitempty"`
	Notes     []string   `json:"notes,omitempty"`
	Snapshots []snapshot `json:"snapshots,omitempty"`
	Aside     string     `json:"old_metadata,omitempty"` // where an undo put it, below the export
}

// Report lists what an import or undo did, or would do.
type Report struct {
	DryRun    bool    `json:"dry_run"`
	Items     []*Item `json:"items"`
	Volumes   int     `json:"volumes"` // imported, or already there
	Databases int     `json:"databases"`
	Orphans   int     `json:"orphans"`
	Broken    int     `json:"broken"`
}

// plan says what an import would do with everything on the share. It changes
// nothing.
func (s *share) plan(adopt bool) *Report {
	p := planning{share: s, adopt: adopt, taken: map[string]*Item{}}
	// If two records name one directory, the record of the directory's name
	// counts.
	for _, own := range []bool{true, false} {
		for _, f := range s.Records {
			if dir, err := f.directory(); (err == nil && dir == nameIn(f.Name)) == own {
				p.record(f, dir, err)
			}
		}
	}
	p.directories()
	p.leftovers()
	p.letterCase()
	r := &Report{Items: p.items}
	r.finish()
	return r
}

// directory is where a record's data is, if the record can be read.
func (f *file) directory() (string, error) {
	if f.Err != nil {
		return "", f.Err
	}
	return f.Record.directory()
}

type planning struct {
	share *share
	adopt bool
	items []*Item
	taken map[string]*Item // by directory
}

func (p *planning) add(i *Item) *Item {
	p.items = append(p.items, i)
	return i
}

// record plans the volume of one record; dir and err are where its data is.
func (p *planning) record(f file, dir string, err error) {
	name := nameIn(f.Name)
	if f.Record != nil {
		name = f.Record.Name
	}
	i := p.add(&Item{Volume: name, State: Broken, Record: path.Join(volume.ConvoyDir, f.Name)})
	if err != nil {
		i.Reason = err.Error()
		p.claim(name, i)
		return
	}
	d, ok := p.find(dir)
	switch other := p.taken[dir]; {
	case other != nil:
		i.Reason = fmt.Sprintf("its directory %s is that of %s", dir, other.Record)
	case !ok && slices.Contains(p.share.Other, dir):
		i.Reason = fmt.Sprintf("%s is not a directory on the share (a symlink or a file); berth leaves it alone", dir)
	case !ok:
		i.Reason = fmt.Sprintf("there is no directory %s on the share", dir)
	case d.MetaErr != nil:
		i.Reason = d.MetaErr.Error()
	default:
		p.volume(i, d, f.Record)
	}
	p.claim(dir, i)
}

// claim says that a directory has a record, so that it is no orphan.
func (p *planning) claim(dir string, i *Item) {
	if p.taken[dir] == nil {
		p.taken[dir] = i
	}
}

func (p *planning) find(dir string) (subdir, bool) {
	n, ok := slices.BinarySearchFunc(p.share.Dirs, dir, func(d subdir, name string) int { return strings.Compare(d.Name, name) })
	if !ok {
		return subdir{}, false
	}
	return p.share.Dirs[n], true
}

// volume fills in a volume that has a record and a directory.
func (p *planning) volume(i *Item, d subdir, r *record) {
	i.Volume, i.State, i.Snapshots = d.Name, Imported, r.snapshots()
	t, ok := created(r.CreatedTime)
	i.Created = t
	if !ok {
		i.Notes = append(i.Notes, fmt.Sprintf("when it was created is not readable (%q): the time of the import stands in", r.CreatedTime))
	}
	if r.Name != i.Volume {
		i.Notes = append(i.Notes, fmt.Sprintf("Convoy called it %q; in berth it is called as its directory, so stack files have to say 'name: %s'", r.Name, i.Volume))
	}
	if r.PrepareForVM {
		i.Notes = append(i.Notes, "holds the disk image of a virtual machine (PrepareForVM)")
	}
	p.known(i, d)
}

// known fills in what the directory itself shows.
func (p *planning) known(i *Item, d subdir) {
	i.Database = d.Database
	if d.Own != nil {
		i.Notes = append(i.Notes, fmt.Sprintf("is a tree of its own (%s): restores change it in place, and keep its quota", d.Own))
	}
	if d.Meta != nil {
		i.State, i.Created, i.Access = Already, d.Meta.Created, d.Meta.Options.Get("access")
	}
}

// directories plans the directories without a record: orphans, and imported
// volumes whose record is gone.
func (p *planning) directories() {
	for _, d := range p.share.Dirs {
		switch err := volume.CheckName(d.Name); {
		case p.taken[d.Name] != nil:
		case err != nil:
			p.add(&Item{Volume: d.Name, State: Leftover, Reason: "is not a volume's name; berth leaves it alone"})
		case d.MetaErr != nil, d.Meta != nil && d.Meta.Origin != Origin:
			// berth's own.
		default:
			i := p.add(&Item{Volume: d.Name, State: Orphan})
			if p.adopt {
				i.State = Adopted
			}
			p.known(i, d)
		}
	}
}

func (p *planning) leftovers() {
	for _, name := range p.share.Tmp {
		i := p.add(&Item{Volume: name, State: Leftover})
		switch record := strings.TrimSuffix(name, ".tmp"); {
		case path.Dir(name) == ".":
			i.Reason = "of an interrupted 'convoy create --backup'"
		case strings.HasSuffix(name, ".lock"):
			i.Reason = "of a Convoy that was killed"
		case !slices.ContainsFunc(p.share.Records, func(f file) bool { return f.Name == path.Base(record) }):
			i.Reason = "an interrupted write, and the only record of this volume: its directory counts as an orphan"
		default:
			i.Reason = "an interrupted write"
		}
	}
}

// letterCase warns of volumes that only letter case tells apart.
func (p *planning) letterCase() {
	first := map[string]*Item{}
	for _, i := range p.items {
		low := strings.ToLower(i.Volume)
		if i.State == Leftover || i.State == Broken {
			continue
		}
		if other := first[low]; other != nil {
			i.Notes = append(i.Notes, fmt.Sprintf("only letter case tells it from %s", other.Volume))
		} else {
			first[low] = i
		}
	}
}

// finish sorts the items and counts them.
func (r *Report) finish() {
	slices.SortFunc(r.Items, func(a, b *Item) int {
		if a.State != b.State {
			return slices.Index(order, a.State) - slices.Index(order, b.State)
		}
		return strings.Compare(a.Volume+" "+a.Record, b.Volume+" "+b.Record)
	})
	r.Volumes, r.Databases, r.Orphans, r.Broken = 0, 0, 0, 0
	for _, i := range r.Items {
		switch i.State {
		case Imported, Already:
			r.Volumes++
		case Adopted, Orphan:
			r.Orphans++
		case Broken:
			r.Broken++
		}
		if i.Database != "" {
			r.Databases++
		}
	}
}
