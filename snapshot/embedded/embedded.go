package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// Maker makes, lists and removes the snapshots of one export.
type Maker struct {
	fsys *tree.Local
	now  func() time.Time
	zone *time.Location // of times in the names of snapshots without a record
	// native is false in a test that wants copies on btrfs.
	native bool
}

// How a snapshot was made.
const (
	ByBtrfs   = "btrfs"   // at once, of the whole export
	ByReflink = "reflink" // a copy that shares its blocks with the volume
	ByCopy    = "copy"
)

// Made is what Create has made.
type Made struct {
	Name         string
	How          string // ByBtrfs, ByReflink or ByCopy
	Begun, Ended time.Time
	Volumes      []string
	// Files and Bytes of the copy; 0 where nothing was copied.
	Files, Bytes int64
	// Used is what the copy takes on the disk, without holes.
	Used int64
	// Sizes are the parts of Used by volume.
	Sizes map[string]int64
	// Changed files were written while they were copied, so their copies may be
	// torn. Absent files were removed meanwhile, and Missing files could not be
	// copied: the snapshot has neither. The paths are the first of them; each
	// begins with its volume.
	Changed, Absent, Missing                int64
	ChangedPaths, AbsentPaths, MissingPaths []string
	// Failed are the volumes that could not be copied. The snapshot does not have
	// them.
	Failed []LeftOut
	// Reads is what was read of each volume that was copied.
	Reads []Read
}

// Read is what the copy of one volume has read, so that nobody has to read it
// again to compare the two.
type Read struct {
	Volume string
	Proofs *tree.Proofs
}

// LeftOut is a volume that could not be read, and why.
type LeftOut struct {
	Volume string `json:"volume"`
	Reason string `json:"reason"`
}

// Names below the export.
const (
	snapshotsDir = reference.Dir
	markerPath   = reference.Dir + "/.berth"
	stagingDir   = ".berth/staging"
	metaDir      = ".berth/volumes"
	recordDir    = ".berth/snapshots"
	purgePrefix  = "purge."
	buildPrefix  = "snapshot-"
)

// marker is .snapshot/.berth.
type marker struct {
	Version int    `json:"version"`
	Note    string `json:"note"`
}

// made is a snapshot's record, in the snapshot itself.
//
//	{"version":1,"name":"before-update","how":"reflink","begun":"2026-11-23T05:30:00Z",
//	 "ended":"2026-11-23T05:30:02Z","comment":"","volumes":["blog","shop"],"files":4711,"bytes":81230112}
type made struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`
	How     string    `json:"how"`
	Begun   time.Time `json:"begun"`
	Ended   time.Time `json:"ended,omitzero"`
	Comment string    `json:"comment,omitempty"`
	Volumes []string  `json:"volumes"`
	Files   int64     `json:"files,omitempty"`
	Bytes   int64     `json:"bytes,omitempty"`
	// Used is what it takes on the disk; a record of 0.1 has none.
	Used *int64 `json:"used,omitempty"`
	// Sizes are the parts of Used; an earlier record has none.
	Sizes   map[string]int64 `json:"sizes,omitempty"`
	Changed int64            `json:"changed,omitempty"`
	Absent  int64            `json:"absent,omitempty"`
	Missing int64            `json:"missing,omitempty"`
	Failed  []LeftOut        `json:"failed,omitempty"`
}

const (
	version = 1
	maxMade = 1 << 20 // bytes of a record or of metadata
)

func madePath(root, name string) string { return path.Join(root, recordDir, name+".json") }

// New returns the maker of snapshots of fsys. zone is the zone of times in names.
// New returns false where fsys is no directory of a local filesystem: there,
// .snapshot belongs to a server.
func New(fsys tree.FS, zone *time.Location) (*Maker, bool) {
	l, ok := fsys.(*tree.Local)
	if !ok || !IsLocal(l.Filesystem()) {
		return nil, false
	}
	return &Maker{fsys: l, now: time.Now, zone: zone, native: true}, true
}

// Create makes a snapshot of the volumes, of all if none is named. Of all volumes, it
// leaves out one that cannot be copied, and lists it in Failed. progress may be nil.
// A copy may take long. Nobody sees a snapshot that fails or whose ctx ends.
func (e *Maker) Create(ctx context.Context, name, comment string, volumes []string, progress func(tree.Progress)) (Made, error) {
	if err := checkName(name); err != nil {
		return Made{}, err
	}
	all, err := volume.NamesIn(ctx, e.fsys)
	if err != nil {
		return Made{}, err
	}
	named := len(volumes) > 0
	if volumes, err = choose(volumes, all); err != nil {
		return Made{}, err
	}
	if err := e.prepare(ctx); err != nil {
		return Made{}, err
	}
	if err := e.checkFree(ctx, name); err != nil {
		return Made{}, err
	}
	rec := made{Version: version, Name: name, How: ByBtrfs, Begun: e.now().UTC(), Comment: comment, Volumes: volumes}
	if len(volumes) == len(all) && e.native {
		if m, done, err := e.atOnce(ctx, rec); done || err != nil {
			return m, err
		}
	}
	return e.copies(ctx, rec, named, progress)
}

func (r made) made() Made {
	return Made{Name: r.Name, How: r.How, Begun: r.Begun, Ended: r.Ended, Volumes: r.Volumes, Files: r.Files, Bytes: r.Bytes}
}

// choose returns the named volumes, sorted, all if there are none.
func choose(named, all []string) ([]string, error) {
	chosen := slices.Clone(named)
	if len(named) == 0 {
		chosen = slices.Clone(all)
	}
	slices.Sort(chosen)
	chosen = slices.Compact(chosen)
	if len(chosen) == 0 {
		return nil, problem.New(problem.Nothing, "", "the export has no volumes to make a snapshot of")
	}
	for _, v := range chosen {
		if !slices.Contains(all, v) {
			return nil, problem.New(problem.NotFound, "'berth volume ls' lists them", "no volume %q", v)
		}
	}
	return chosen, nil
}

// snapshotsMode is the mode of .snapshot: a site that was cleaned has its setuid files
// and its former secrets there still.
const snapshotsMode uint32 = 0o700

// prepare makes .snapshot, and refuses a .snapshot that berth has not made.
func (e *Maker) prepare(ctx context.Context) error {
	attr, err := e.fsys.Stat(ctx, snapshotsDir)
	if errors.Is(err, fs.ErrNotExist) {
		err = e.mark(ctx)
	}
	if err == nil {
		err = e.checkOurs(ctx)
	}
	if mode := snapshotsMode; err == nil && attr.Mode&0o077 != 0 {
		err = e.fsys.SetAttr(ctx, snapshotsDir, tree.SetAttr{Mode: &mode}) // an earlier release made it
	}
	return err
}

// checkOurs refuses a .snapshot that berth has not made.
func (e *Maker) checkOurs(ctx context.Context) error {
	var m marker
	data, err := tree.ReadFile(ctx, e.fsys, markerPath, maxMade)
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && m.Version == 0:
		return problem.New(problem.Failed, "make snapshots with what made it; or move it away on the export, and berth makes its own",
			"the export has a directory %s that berth has not made", snapshotsDir)
	case err != nil:
		return fmt.Errorf("read %s: %w", markerPath, err)
	case m.Version > version:
		return problem.New(problem.Failed, "upgrade berth on this node", "%s has format version %d, this berth knows %d", snapshotsDir, m.Version, version)
	}
	return nil
}

// mark makes .snapshot with its marker by one rename. Of several nodes one wins,
// because a rename cannot replace a directory that is not empty.
func (e *Maker) mark(ctx context.Context) error {
	dir := path.Join(stagingDir, buildPrefix+newID())
	if err := e.mkdir(ctx, dir, snapshotsMode); err != nil {
		return err
	}
	err := e.write(ctx, path.Join(dir, path.Base(markerPath)), marker{version, "made by berth: copies of volumes, not a filer's instant"})
	if err == nil {
		err = e.fsys.Rename(ctx, dir, snapshotsDir)
	}
	if err == nil {
		return nil
	}
	e.discard(ctx, dir)
	if _, there := e.fsys.Stat(ctx, markerPath); there == nil {
		return nil
	}
	return err
}

// checkFree refuses a name that is taken.
func (e *Maker) checkFree(ctx context.Context, name string) error {
	_, err := e.fsys.Stat(ctx, path.Join(snapshotsDir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errTaken(name)
	}
	return err
}

func errTaken(name string) error {
	return problem.New(problem.InUse, "choose another name", "a snapshot %q exists", name)
}

// atOnce lets btrfs make the snapshot, if the export is a subvolume that has all
// volumes. The record is in the export for the moment, so that the snapshot has it
// from its beginning.
func (e *Maker) atOnce(ctx context.Context, rec made) (m Made, done bool, err error) {
	whole, err := e.isWholeSubvolume(ctx, rec.Volumes)
	if err != nil || !whole {
		return m, false, err
	}
	unlock, err := e.lock(ctx, snapshotsDir, true)
	if err != nil {
		return m, false, err
	}
	defer unlock()
	if err := e.checkFree(ctx, rec.Name); err != nil {
		return m, false, err
	}
	rec.Begun = e.now().UTC()
	rec.Ended = rec.Begun
	record := madePath("", rec.Name)
	if err := e.mkdir(ctx, recordDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return m, false, err
	}
	defer e.remove(ctx, record)
	e.remove(ctx, record) // a Create that was killed here has left it
	err = e.write(ctx, record, rec)
	if err == nil {
		// The snapshot's directory has the times of the export's directory. Tools
		// that know no records order snapshots by them.
		err = e.fsys.SetAttr(ctx, ".", tree.SetAttr{Mtime: &rec.Begun})
	}
	if err != nil {
		return m, false, err
	}
	// In a snapshot the ballast would give no room back any more. The next round of
	// upkeep makes another one.
	e.remove(ctx, export.BallastPath)
	err = e.subvolumeSnapshot(rec.Name)
	switch {
	case err == nil:
		return rec.made(), true, nil
	case errors.Is(err, fs.ErrExist):
		return m, false, errTaken(rec.Name)
	}
	return m, false, ctx.Err() // a copy may do
}

// Instant tells whether a snapshot of all volumes is one instant.
func (e *Maker) Instant(ctx context.Context) bool {
	if !e.native || e.prepare(ctx) != nil {
		return false
	}
	all, err := volume.NamesIn(ctx, e.fsys)
	if err != nil {
		return false
	}
	whole, err := e.isWholeSubvolume(ctx, all)
	return err == nil && whole
}

// remove removes a file, also after ctx has ended.
func (e *Maker) remove(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = e.fsys.Remove(ctx, name)
}

// copies makes the snapshot in staging and gives it its name.
func (e *Maker) copies(ctx context.Context, rec made, named bool, progress func(tree.Progress)) (m Made, err error) {
	unlock, err := e.building(ctx)
	if err != nil {
		return m, err
	}
	defer unlock()
	if rec.How, err = e.how(ctx, rec.Volumes); err != nil {
		return m, err
	}
	dir := path.Join(stagingDir, buildPrefix+newID())
	if err := e.mkdir(ctx, dir, 0o700); err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			e.discard(ctx, dir)
		}
	}()
	for _, d := range []string{path.Dir(metaDir), metaDir, recordDir} {
		if err := e.mkdir(ctx, path.Join(dir, d), 0o700); err != nil {
			return m, err
		}
	}
	m, rec.Volumes = rec.made(), nil
	m.Sizes = map[string]int64{}
	for _, v := range m.Volumes {
		err := e.checkDirectory(ctx, v)
		if err == nil {
			err = e.one(ctx, &m, v, dir, progress)
		}
		switch {
		case err == nil:
			rec.Volumes = append(rec.Volumes, v)
		case named || export.Ends(ctx, e.fsys, err):
			return m, err
		case errors.Is(err, errVanished): // removed since it was listed
		default:
			m.Failed = append(m.Failed, LeftOut{v, err.Error()})
			if err := e.leaveOut(ctx, dir, v); err != nil {
				return m, err
			}
		}
	}
	if len(rec.Volumes) == 0 && len(m.Failed) > 0 {
		return m, problem.New(problem.Failed, "", "no volume could be copied; the first, %s: %s", m.Failed[0].Volume, m.Failed[0].Reason)
	}
	m.Volumes, m.Ended = rec.Volumes, e.now().UTC()
	rec.Ended, rec.Files, rec.Bytes, rec.Used, rec.Sizes = m.Ended, m.Files, m.Bytes, &m.Used, m.Sizes
	rec.Changed, rec.Absent, rec.Missing, rec.Failed = m.Changed, m.Absent, m.Missing, m.Failed
	if err := e.write(ctx, madePath(dir, rec.Name), rec); err != nil {
		return m, err
	}
	return m, e.publish(ctx, dir, rec)
}

// checkDirectory refuses a volume that is no directory any more.
func (e *Maker) checkDirectory(ctx context.Context, v string) error {
	a, err := e.fsys.Stat(ctx, v)
	if errors.Is(err, fs.ErrNotExist) {
		return errVanished
	}
	if err == nil && a.Kind != tree.Directory {
		err = problem.New(problem.Failed, "look at it on the export", "volume %q is a %s now, and no directory", v, a.Kind)
	}
	return err
}

// leaveOut removes the unfinished copy of a volume from the tree dir.
func (e *Maker) leaveOut(ctx context.Context, dir, v string) error {
	err := export.Pressed(export.Spend(ctx), e.fsys, func() error {
		return e.fsys.Rename(ctx, path.Join(dir, v), path.Join(stagingDir, purgePrefix+buildPrefix+newID()))
	})
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = e.fsys.Remove(ctx, path.Join(dir, metaDir, v+".json"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// publish gives a finished tree its name.
func (e *Maker) publish(ctx context.Context, dir string, rec made) error {
	// The time of the snapshot is its beginning, because it may lack later changes.
	mode := uint32(0o755)
	if err := e.fsys.SetAttr(ctx, dir, tree.SetAttr{Mode: &mode, Mtime: &rec.Begun}); err != nil {
		return err
	}
	unlock, err := e.lock(ctx, snapshotsDir, true)
	if err != nil {
		return err
	}
	defer unlock()
	// A rename would replace an empty directory.
	if err := e.checkFree(ctx, rec.Name); err != nil {
		return err
	}
	return e.fsys.Rename(ctx, dir, path.Join(snapshotsDir, rec.Name))
}

// how tells how copies are made here. It refuses copies that need more space than
// there is.
func (e *Maker) how(ctx context.Context, volumes []string) (string, error) {
	shared, err := e.fsys.Reflinks(ctx, stagingDir)
	if err != nil || shared {
		return ByReflink, err
	}
	space, err := e.fsys.Statfs(ctx)
	if err != nil {
		return "", err
	}
	need := int64(0)
	for _, v := range volumes {
		size, err := tree.Measure(ctx, e.fsys, v)
		if export.Ends(ctx, e.fsys, err) {
			return "", err
		}
		need += size.Used // if a volume cannot be measured, its copy says why
	}
	if !export.Room(ctx, space, need) {
		return "", problem.New(problem.Failed, "free some first: 'berth snapshot rm NAME', 'berth trash purge ID' (btrfs and XFS need none for a snapshot); --force makes it all the same",
			"a copy of the volumes needs %d MiB, and less than 5 %% of the export would be left", need>>20)
	}
	return ByCopy, nil
}

// errVanished says that a volume does not exist any more.
var errVanished = errors.New("the volume was removed meanwhile")

// one copies one volume and its metadata into the tree dir.
func (e *Maker) one(ctx context.Context, m *Made, v, dir string, progress func(tree.Progress)) error {
	was, err := e.fsys.Stat(ctx, v)
	if errors.Is(err, fs.ErrNotExist) {
		return errVanished
	}
	if err != nil {
		return err
	}
	if err := e.meta(ctx, v, dir); err != nil {
		return err
	}
	before := tree.Progress{Files: m.Files, Bytes: m.Bytes}
	read := &tree.Proofs{}
	stats, err := tree.Copy(ctx, e.fsys, v, path.Join(dir, v), tree.CopyOptions{Live: true, Proofs: read}, func(p tree.Progress) {
		if progress != nil {
			progress(tree.Progress{Files: before.Files + p.Files, Dirs: p.Dirs, Bytes: before.Bytes + p.Bytes})
		}
	})
	now, statErr := e.fsys.Stat(ctx, v)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case statErr == nil && now.FileID != was.FileID, errors.Is(statErr, fs.ErrNotExist):
		return problem.New(problem.InUse, "try again", "volume %q was removed or restored while it was copied", v)
	case err != nil:
		return err
	}
	m.Reads = append(m.Reads, Read{v, read})
	size, err := tree.Measure(ctx, e.fsys, path.Join(dir, v))
	if err != nil {
		return err
	}
	m.Used += size.Used
	m.Sizes[v] = size.Used
	m.Files += stats.Files
	m.Bytes += stats.Bytes
	m.Changed += stats.Changed.Total
	m.ChangedPaths = first(m.ChangedPaths, stats.Changed.Paths)
	m.Absent += stats.Vanished.Total
	m.AbsentPaths = first(m.AbsentPaths, stats.Vanished.Paths)
	m.Missing += stats.Missing.Total
	m.MissingPaths = first(m.MissingPaths, stats.Missing.Paths)
	return nil
}

// first joins lists up to 1,000 paths.
func first(lists ...[]string) []string {
	all := slices.Concat(lists...)
	return all[:min(len(all), 1000)]
}

// meta copies the metadata of a volume, unread. It leaves out what is no plain file;
// then a restored volume has the defaults.
func (e *Maker) meta(ctx context.Context, v, dir string) error {
	name := path.Join(metaDir, v+".json")
	a, err := e.fsys.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (a.Kind != tree.Regular || a.Size > maxMade) {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := tree.ReadFile(ctx, e.fsys, name, maxMade)
	if err != nil {
		return err
	}
	return e.writeBytes(ctx, path.Join(dir, name), data)
}

// reservedNames are words that mean a time behind VOLUME@.
var reservedNames = regexp.MustCompile(`(?i)^(latest|yesterday|today|now` +
	`|mon(day)?|tue(s|sday)?|wed(nesday)?|thu(r|rs|rsday)?|fri(day)?|sat(urday)?|sun(day)?` +
	`|([0-9]+(\.[0-9]+)?(s|sec|m|min|mo|h|d|w|y))+` +
	`|[0-9]{8}([0-9]{4,6})?|[0-9]{4}-[0-9]{2}(-[0-9]{2}(T[0-9]*Z?)?)?)$`)
