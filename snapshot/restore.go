package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/embedded"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// Engine is how a tree is brought back.
type Engine string

// The engines.
const (
	EngineFiler Engine = "filer" // the filer brings the directory back, without a byte over the network
	EngineCopy  Engine = "copy"  // copied, verified, and swapped in by RENAME
	EngineSync  Engine = "sync"  // only what differs is replaced, file by file
	EngineMove  Engine = "move"  // what an undo needs is there already
)

// Kind is what an item brings back.
type Kind string

// The kinds of item.
const (
	KindTree  Kind = "tree"  // a directory with all that is in it
	KindFile  Kind = "file"  // one file, or something else that is no directory
	KindFiles Kind = "files" // an undo of the files that a live restore replaced
)

// RestoreRequest says what to bring back, and how.
type RestoreRequest struct {
	Refs []string `json:"refs,omitempty"`
	// Exact is what a plan has found for Refs or Stack: these are not read again.
	Exact []reference.Exact `json:"exact,omitempty"`
	Stack string            `json:"stack,omitempty"` // STACK@SNAPSHOT: all its volumes
	Undo  bool              `json:"undo,omitempty"`  // to before the last restore or undo; Refs are volumes then
	Live  bool              `json:"live,omitempty"`  // containers go on meanwhile
	Stop  bool              `json:"stop,omitempty"`  // the caller stops them
	Force bool              `json:"force,omitempty"` // replace files of a database that runs; fill the export
	// To is a path in the volume: the old version goes beside the new one.
	To       string        `json:"to,omitempty"`
	Checksum bool          `json:"checksum,omitempty"` // read everything again
	Keep     time.Duration `json:"keep_ns,omitempty"`  // of what is replaced; 0 for the setting
	// Files and Bytes are what the plan counted, for the progress.
	Files int64 `json:"files,omitempty"`
	Bytes int64 `json:"bytes,omitempty"`
}

// Plan is what a restore would do.
type Plan struct {
	Op       cluster.Op     `json:"op"`
	Engine   Engine         `json:"engine"`
	Items    []PlanItem     `json:"items"`
	Users    []cluster.User `json:"used_by"` // of the volumes, on all nodes
	Need     int64          `json:"need_bytes"`
	Avail    int64          `json:"avail_bytes"`
	Total    int64          `json:"total_bytes"` // of the export
	KeepDays float64        `json:"keep_days"`   // what is replaced
	// Without is what the export cannot keep and so does not come back, "" for
	// nothing.
	Without string `json:"without,omitempty"`
	// Why the filer does not bring it back itself, where that is not the nature
	// of the filer or of the request; "" otherwise.
	Why string `json:"engine_why,omitempty"`
	// Harmless: it may be carried out under running containers without being
	// asked to, since one regular file is replaced at once.
	Harmless bool `json:"harmless,omitempty"`
	// Request is what was asked for. Its references are resolved: the items say
	// what they mean.
	Request RestoreRequest `json:"request"`
}

// PlanItem is one volume of a plan: what goes where, and how. Whoever carries the
// plan out reads the items and resolves nothing again.
type PlanItem struct {
	Volume   string              `json:"volume"`
	Path     string              `json:"path,omitempty"`     // in the volume; "" for all of it
	PathB64  []byte              `json:"path_b64,omitempty"` // where Path is no UTF-8
	Ref      string              `json:"ref"`                // exact
	RefB64   []byte              `json:"ref_b64,omitempty"`
	Exact    *reference.Exact    `json:"exact,omitempty"` // where it comes from
	Kind     Kind                `json:"kind"`
	Engine   Engine              `json:"engine"`
	Snapshot *reference.Snapshot `json:"snapshot,omitempty"`
	Trash    string              `json:"trash,omitempty"` // the item that an undo puts back
	New      bool                `json:"new,omitempty"`   // nothing is there now
	Changes  compare.Changes     `json:"changes"`         // what is done to the live tree
	Files    int64               `json:"files"`           // of the version
	Bytes    int64               `json:"bytes"`
	Database bool                `json:"database,omitempty"`
	// Parents are the directories of Path that the volume has lost, the topmost
	// first: they come back with it.
	Parents []string `json:"parents,omitempty"`

	// Own says that the volume is a tree of its own on the export: what comes back is
	// changed in place, so that the tree keeps its quota. "" for any other volume.
	Own string `json:"own_tree,omitempty"`

	Checksum bool `json:"checksum,omitempty"` // read everything again
	Beside   bool `json:"beside,omitempty"`   // Path is free and not that of the version
	// Meta is what the volume gets if it does not exist.
	Meta *volume.Meta `json:"meta,omitempty"`

	used int64 // bytes that what is written takes, holes left out
}

// source is where the item comes from, below the export.
func (it *PlanItem) source() string {
	if it.Exact.Trash != "" {
		return export.TrashData(it.Exact.Trash)
	}
	return it.Exact.Ref().Source(string(it.Exact.Snapshot))
}

// dest is where the item goes, below the export.
func (it *PlanItem) dest() string { return path.Join(it.Volume, it.Name()) }

// Name is the path with every byte as it is.
func (it *PlanItem) Name() string {
	if it.PathB64 != nil {
		return string(it.PathB64)
	}
	return it.Path
}

// RefName is the reference with every byte as it is.
func (it *PlanItem) RefName() string {
	if it.RefB64 != nil {
		return string(it.RefB64)
	}
	return it.Ref
}

// Any tells whether the plan changes anything.
func (p *Plan) Any() bool {
	for _, it := range p.Items {
		if it.New || it.Changes.Any() {
			return true
		}
	}
	return false
}

// Plan says what a restore or undo would do, and refuses what cannot be done.
func (v *Versions) Plan(ctx context.Context, r RestoreRequest) (p *Plan, err error) {
	err = v.volumes.With(ctx, "plan the restore", func(fsys tree.FS) error {
		if p, err = v.plan(ctx, fsys, r, ""); err == nil {
			err = v.Jobs.Check(ctx, p.names())
		}
		if err == nil {
			err = v.measure(ctx, fsys, p)
		}
		return err
	})
	return p, err
}

// Resolve is Plan without counting what would be done.
func (v *Versions) Resolve(ctx context.Context, r RestoreRequest) (p *Plan, err error) {
	err = v.volumes.With(ctx, "plan the restore", func(fsys tree.FS) error {
		p, err = v.plan(ctx, fsys, r, "")
		return err
	})
	return p, err
}

// plan resolves a request, once: what comes from where, by which engine. job is
// the one that an earlier berth has prepared with the request alone, "" for none.
func (v *Versions) plan(ctx context.Context, fsys tree.FS, r RestoreRequest, job string) (*Plan, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	p := &Plan{Op: cluster.OpRestore, Engine: EngineCopy, Request: r, KeepDays: v.volumes.Trash.TTL().Hours() / 24}
	if r.Keep > 0 {
		p.KeepDays = r.Keep.Hours() / 24
	}
	var err error
	switch {
	case r.Undo:
		p.Op = cluster.OpUndo
		err = v.planUndo(ctx, p, job)
	case r.Stack != "" && r.Exact == nil:
		err = v.planStack(ctx, fsys, p)
	default:
		err = v.planRefs(ctx, fsys, p, job)
	}
	if err != nil {
		return nil, err
	}
	for i := range p.Items {
		it := &p.Items[i]
		it.PathB64, it.RefB64 = text.B64(it.Path), text.B64(it.Ref)
		if err := v.findEnds(ctx, fsys, p, it); err != nil {
			return nil, err
		}
	}
	names := p.names()
	if n := len(names); n != len(slices.Compact(names)) {
		return nil, problem.New(problem.Invalid, "restore its parts one after the other", "a volume is named more than once")
	}
	if err := p.findOwn(ctx, fsys); err != nil {
		return nil, err
	}
	p.Engine = p.engine(ctx, v)
	for i := range p.Items {
		it := &p.Items[i]
		if it.Engine = p.Engine; it.Beside && it.Engine == EngineFiler {
			it.Engine = EngineCopy
		}
		it.Checksum = r.Checksum
	}
	p.exact()
	if l, local := fsys.(*tree.Local); (p.Engine == EngineCopy || p.Engine == EngineSync) && (!local || !embedded.IsLocal(l.Filesystem())) {
		p.Without = "NFSv3 shows no ACLs and no extended attributes: files that are written come back without"
	}
	p.Harmless = len(p.Items) == 1 && p.Items[0].Kind == KindFile && p.Items[0].Path != "" && !p.Items[0].Database
	p.Users, err = v.volumes.Holders(ctx, names)
	return p, err
}

// Notes are what whoever confirms the plan has to know besides.
func (p *Plan) Notes() (notes []string) {
	if p.Why != "" {
		notes = append(notes, p.Why)
	}
	if p.Without != "" {
		notes = append(notes, p.Without)
	}
	for _, it := range p.Items {
		switch {
		case it.Own != "" && p.Engine == EngineMove:
			notes = append(notes, fmt.Sprintf("%s is a tree of its own (%s): it goes to the trash with its quota, and what comes back has none", it.Volume, it.Own))
		case it.Own != "":
			notes = append(notes, fmt.Sprintf("%s is a tree of its own (%s): it is changed in place, and keeps its quota", it.Volume, it.Own))
		}
	}
	return notes
}

// names are the volumes, sorted.
func (p *Plan) names() (names []string) {
	for _, it := range p.Items {
		names = append(names, it.Volume)
	}
	slices.Sort(names)
	return names
}

func (r RestoreRequest) check() error {
	switch {
	case r.Live && r.Stop:
		return problem.New(problem.Invalid, "choose one", "--stop and --live exclude each other")
	case r.Stack != "" && len(r.Refs) > 0:
		return problem.New(problem.Invalid, "choose one", "--stack and volumes exclude each other")
	case r.Stack == "" && len(r.Refs) == 0 && len(r.Exact) == 0:
		return problem.New(problem.Invalid, "write VOLUME@SNAPSHOT, or --stack STACK@SNAPSHOT", "what is to be restored?")
	case r.To != "" && (max(len(r.Refs), len(r.Exact)) != 1 || r.Undo):
		return problem.New(problem.Invalid, "name one", "--to is for one version at a time")
	}
	return nil
}

func (v *Versions) planStack(ctx context.Context, fsys tree.FS, p *Plan) error {
	name, word, ok := strings.Cut(p.Request.Stack, "@")
	if !ok || word == "" || name == "" {
		return problem.New(problem.Invalid, fmt.Sprintf("for example --stack %s@latest", name), "--stack %q names no snapshot", p.Request.Stack)
	}
	snap, err := v.resolve(ctx, fsys, word)
	if err != nil {
		return err
	}
	in, err := volumesIn(ctx, fsys, snap.Name)
	if err != nil {
		return err
	}
	for _, vol := range ofStack(in, name) {
		ref := reference.Ref{Volume: vol, Snapshot: snap.Name}
		p.add(ref, ref.String(), snap)
	}
	if len(p.Items) == 0 {
		return problem.New(problem.NotFound, fmt.Sprintf("'berth snapshot ls --stack %s' lists the versions of its volumes", name), "snapshot %q has no volume of a stack %q", snap.Name, name)
	}
	return nil
}

func (v *Versions) planRefs(ctx context.Context, fsys tree.FS, p *Plan, job string) error {
	refs, err := p.Request.wanted(job)
	if err != nil {
		return err
	}
	sides, err := v.sides(ctx, fsys, refs...)
	for _, s := range sides {
		p.add(s.ref, s.Ref, *s.Snapshot)
	}
	return err
}

// wanted are the versions to bring back: those that a plan has found, else what
// was typed. What a job has in its journal was found by a plan.
func (r *RestoreRequest) wanted(job string) (out []reference.Asked, err error) {
	for i := range r.Exact {
		a, err := reference.Want("", &r.Exact[i])
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	if r.Exact != nil {
		return out, nil
	}
	for _, spec := range r.Refs {
		a, err := reference.Ask(spec)
		if err != nil {
			return nil, err
		}
		if !a.Versioned {
			return nil, problem.New(problem.Invalid, fmt.Sprintf("'berth snapshot ls %s' lists the versions; then %s@SNAPSHOT", a.Volume, a.Volume), "%q names no snapshot", spec)
		}
		a.Planned = job != ""
		out = append(out, a)
	}
	return out, nil
}

// add adds a version, whose exact reference is written as text.
func (p *Plan) add(ref reference.Ref, text string, snap reference.Snapshot) {
	it := PlanItem{Volume: ref.Volume, Path: ref.Path, Ref: text, Exact: reference.ExactOf(ref, snap), Snapshot: &snap}
	if to := p.Request.To; to != "" {
		it.Path = strings.TrimPrefix(path.Clean("/"+to), "/")
	}
	p.Items = append(p.Items, it)
}

// findEnds finds what is at both ends of an item.
func (v *Versions) findEnds(ctx context.Context, fsys tree.FS, p *Plan, it *PlanItem) error {
	src, err := fsys.Stat(ctx, it.source())
	if err != nil {
		return err
	}
	if it.Kind == "" {
		if it.Kind = KindTree; src.Kind != tree.Directory {
			it.Kind = KindFile
		}
	}
	if it.Beside = p.Request.To != ""; it.Beside && (tree.CheckPath(it.dest()) != nil || it.Path == "" || strings.HasPrefix(path.Clean(p.Request.To), "..")) {
		return problem.New(problem.Invalid, "give a path inside the volume, for example --to old/wp-content", "--to %q is not a path in volume %q", p.Request.To, it.Volume)
	}
	if err := it.aim(ctx, fsys); err != nil {
		return err
	}
	m, err := volume.MetaIn(ctx, fsys, ".", it.Volume)
	if err != nil {
		return err
	}
	it.Database = m != nil && m.Options.Get("access") == "single" || volume.IsDatabaseFile(it.Path)
	if it.Path == "" && it.Snapshot != nil {
		if it.Meta = m; it.New || m == nil {
			it.Meta, err = volume.MetaIn(ctx, fsys, path.Join(reference.Dir, it.Snapshot.Name), it.Volume)
		}
	}
	return err
}

// aim looks at the place where an item goes, as it is at the moment.
func (it *PlanItem) aim(ctx context.Context, fsys tree.FS) error {
	dst, err := stat(ctx, fsys, it.dest())
	if err != nil && !isBehind(err) {
		return err
	}
	if it.New = dst == nil; it.Beside && !it.New {
		return problem.New(problem.InUse, "choose a name that is free", "%q exists in volume %q, and --to overwrites nothing", it.Path, it.Volume)
	}
	if it.Parents = nil; it.New && (it.Path != "" || it.Kind == KindFiles) {
		return it.findParents(ctx, fsys, !it.Beside && it.Exact.Trash == "")
	}
	return nil
}

// findParents finds the directories of the path that the volume does not have. They
// are in the version too, unless the path was chosen freely.
func (it *PlanItem) findParents(ctx context.Context, fsys tree.FS, versioned bool) error {
	up := parent(it.Path)
	if it.Kind == KindFiles { // the files of a directory come back, into it
		up = it.Path
	}
	for ; ; up = parent(up) {
		a, err := stat(ctx, fsys, path.Join(it.Volume, up))
		switch {
		case err != nil && !isBehind(err):
			return err
		case err == nil && a != nil && a.Kind == tree.Directory:
			return nil
		case a != nil:
			return problem.New(problem.InUse, it.otherwise("move it away, or put it elsewhere with --to; the whole volume: berth snapshot restore %s", "move it away"),
				"%q in volume %q is a %s now, and no directory", up, it.Volume, a.Kind)
		case err == nil && up == "":
			return problem.New(problem.NotFound, it.otherwise("the whole volume comes back: berth snapshot restore %s", "'berth trash ls' lists what is kept"),
				"there is no volume %q any more", it.Volume)
		case err == nil && !versioned:
			return problem.New(problem.NotFound, "make it first, or choose another path", "the volume has no directory %q for it", up)
		case err == nil:
			it.Parents = slices.Insert(it.Parents, 0, up)
		}
	}
}

// otherwise is the hint with the item's version, or other where the item has
// none: an undo puts back what is in the trash.
func (it *PlanItem) otherwise(hint, other string) string {
	if it.Snapshot == nil {
		return other
	}
	return fmt.Sprintf(hint, reference.Ref{Volume: it.Volume, Snapshot: it.Snapshot.Name})
}

// findOwn finds the volumes that are trees of their own.
func (p *Plan) findOwn(ctx context.Context, fsys tree.FS) error {
	for i := range p.Items {
		it := &p.Items[i]
		own, err := tree.OwnTree(ctx, fsys, it.Volume)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if own != nil {
			it.Own = own.String()
		}
	}
	return nil
}

// engine chooses how; what is in use, or a part, is synced.
func (p *Plan) engine(ctx context.Context, v *Versions) Engine {
	whole := true
	for _, it := range p.Items {
		whole = whole && it.Path == "" && it.Kind != KindFiles
	}
	switch {
	case p.Op == cluster.OpUndo && whole && !p.Request.Live:
		return EngineMove
	case p.Op == cluster.OpUndo:
		return EngineSync
	case p.Request.To == "" && (p.Request.Live || !whole || slices.ContainsFunc(p.Items, func(it PlanItem) bool { return it.Own != "" })):
		return EngineSync
	}
	if filer := v.tuned.Load().Filer; filer != nil && !p.Request.Checksum && !p.single() {
		does, err := filer.Restores(ctx)
		if does {
			return EngineFiler
		}
		if err != nil {
			p.Why = err.Error()
		}
	}
	return EngineCopy
}

func (p *Plan) single() bool {
	return slices.ContainsFunc(p.Items, func(it PlanItem) bool { return it.Kind == KindFile })
}

// measure counts what the plan does, and refuses it where it may not or cannot
// be done.
func (v *Versions) measure(ctx context.Context, fsys tree.FS, p *Plan) error {
	for i := range p.Items {
		if err := v.measureOne(ctx, fsys, p, &p.Items[i]); err != nil {
			return err
		}
		it := &p.Items[i]
		switch p.Engine {
		case EngineCopy, EngineSync:
			p.Need += it.used
		}
		if it.Database && p.Engine == EngineSync && it.Kind != KindFile && !p.Request.Force && p.Request.To == "" && (it.Own == "" || !p.Request.Stop) && (p.Request.Live || len(p.Users) > 0) {
			return problem.New(problem.InUse, "--stop restores it whole; --force does it all the same", "volume %q holds a database: files replaced under it while it runs would ruin it", it.Volume)
		}
	}
	space, err := fsys.Statfs(ctx)
	if err != nil {
		return err
	}
	p.Avail, p.Total = space.Avail, space.Total
	if p.Request.Force {
		ctx = export.Force(ctx)
	}
	if !export.Room(ctx, space, p.Need) {
		return problem.New(problem.Failed, "'berth df' shows what can be freed (what snapshots hold comes free when they go); --force restores all the same",
			"the restore needs %d MiB, and less than 5 %% of the export would be left", p.Need>>20)
	}
	return nil
}

func (v *Versions) measureOne(ctx context.Context, fsys tree.FS, p *Plan, it *PlanItem) error {
	if it.Kind == KindFiles {
		return v.measurePartial(ctx, fsys, it)
	}
	if it.New && it.Kind == KindFile {
		a, err := fsys.Stat(ctx, it.source())
		it.Files, it.Bytes, it.used = 1, compare.BytesOf(a), compare.UsedBy(a)
		it.Changes = compare.Changes{Added: 1 + int64(len(it.Parents)), AddedBytes: it.Bytes}
		return err
	}
	if it.New {
		got, err := tree.Measure(ctx, fsys, it.source())
		it.Files, it.Bytes, it.used = got.Files, got.Bytes, got.Used
		it.Changes = compare.Changes{Added: got.Files + got.Dirs + int64(len(it.Parents)), AddedBytes: got.Bytes}
		return err
	}
	q, keep := v.sums.Equality(ctx, fsys, it.Volume, p.Request.Checksum, nil, it.Snapshot)
	defer keep()
	reads := v.reading("the plan of a restore", it.dest(), it.source())
	defer reads.done()
	q.Progress = reads.progress
	var n compare.Tally
	stats, err := compare.Trees(ctx, fsys, it.dest(), it.source(), q, func(d tree.Difference) error {
		if first := n.Count(d); first && d.Kind != tree.Removed && d.Kind != tree.Updated {
			it.used += compare.UsedBy(d.B)
		}
		it.Database = it.Database || volume.IsDatabaseFile(d.Path)
		return nil
	})
	if err != nil {
		return err
	}
	it.Changes = n.Changes
	it.Changes.Complete(stats)
	if p.Engine == EngineCopy || p.Engine == EngineFiler {
		got, err := tree.Measure(ctx, fsys, it.source())
		it.Files, it.Bytes, it.used = got.Files, got.Bytes, got.Used
		return err
	}
	it.Files, it.Bytes = stats.Files, it.Changes.AddedBytes+it.Changes.ModifiedBytes
	return nil
}

// Prepare writes a plan down as a job that Start carries out. It refuses a plan
// whose snapshots or undo copies are others by now. stopped is what the caller is
// going to stop for it.
func (v *Versions) Prepare(ctx context.Context, p *Plan, stopped Stopped) (j *job.Job, err error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if j, err = v.job(p, stopped); err != nil {
		return nil, err
	}
	err = v.volumes.With(ctx, "prepare the restore", func(fsys tree.FS) error { return v.verify(ctx, fsys, p.Items, "") })
	if err == nil {
		err = v.Jobs.Prepare(ctx, j)
	}
	if err != nil {
		return nil, err
	}
	return j, nil
}

// check refuses a plan that no request leads to: it may have come from anywhere.
func (p *Plan) check() error {
	if len(p.Items) == 0 || p.Op != cluster.OpRestore && p.Op != cluster.OpUndo || slices.ContainsFunc(p.Items, func(it PlanItem) bool { return !it.whole() }) {
		return problem.New(problem.Invalid, "plan it again", "the restore's plan is not complete")
	}
	return p.Request.check()
}

// whole tells whether the item says all that is needed to carry it out, and leads
// nowhere but into its volume.
func (it *PlanItem) whole() bool {
	switch x := it.Exact; {
	case volume.CheckName(it.Volume) != nil, tree.CheckPath(it.dest()) != nil, x == nil || volume.CheckName(x.Volume) != nil:
		return false
	case x.Trash != "":
		return path.Base(x.Trash) == x.Trash && x.Trash[0] != '.' && (it.Engine == EngineMove || it.Engine == EngineSync)
	default:
		return x.Check() == nil && (it.Engine == EngineCopy || it.Engine == EngineSync || it.Engine == EngineFiler)
	}
}

// verify makes sure that what was planned with is still the same: the snapshot,
// not another one of its name; the newest undo copy of its volume. It looks at the
// places anew where the items go. job is the one that does it, "" for none.
func (v *Versions) verify(ctx context.Context, fsys tree.FS, items []PlanItem, job string) error {
	var all []reference.Snapshot
	var trash []*volume.Trashed
	for i := range items {
		it := &items[i]
		it.Path, it.Ref = it.Name(), it.RefName()
		var err error
		switch {
		case it.Exact.Trash != "":
			if trash == nil {
				trash, err = v.keptBefore(ctx, job)
			}
			if err == nil {
				err = v.sameUndo(ctx, fsys, it, trash)
			}
		case it.Exact.Snapshot != "":
			if all == nil {
				all, _, err = v.all(ctx, fsys)
			}
			if err == nil {
				it.Snapshot, err = it.Exact.Find(all)
			}
			if err == nil {
				err = v.open(ctx, *it.Snapshot)
			}
		}
		if err == nil {
			err = it.aim(ctx, fsys)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// exact makes the request of a plan say what the plan has found: an earlier berth
// that carries the job out reads the request, and the oldest its Refs alone.
func (p *Plan) exact() {
	r := &p.Request
	r.Stack, r.Refs, r.Exact = "", nil, nil
	for _, it := range p.Items {
		if p.Op == cluster.OpUndo {
			r.Refs = append(r.Refs, it.Volume)
		} else {
			r.Refs = append(r.Refs, it.Ref)
		}
		r.Exact = append(r.Exact, *it.Exact)
	}
}

func (v *Versions) job(p *Plan, stopped Stopped) (*job.Job, error) {
	r := p.Request
	var files, bytes int64
	for _, it := range p.Items {
		files += it.Files
		bytes += it.Bytes
	}
	if files+bytes > 0 {
		r.Files, r.Bytes = files, bytes
	} else { // an earlier command line has counted
		p.Items[0].Files, p.Items[0].Bytes = r.Files, r.Bytes
	}
	live := r.To != "" || p.Engine == EngineSync && (r.Live || p.Harmless)
	j := &job.Job{Op: p.Op, Engine: string(p.Engine), Live: live, Keep: r.Keep, Small: export.Small(tree.Space{Total: p.Total}, p.Need)}
	var err error
	if j.Request, err = json.Marshal(r); err == nil && !stopped.Empty() {
		j.Stopped, err = json.Marshal(stopped)
	}
	for _, it := range p.Items {
		item := job.Item{Volume: it.Volume, Ref: text.Quote(it.RefName()), Dest: it.dest()}
		if it.Meta != nil {
			if item.Meta, err = json.Marshal(it.Meta); err != nil {
				return nil, err
			}
		}
		if r.To == "" {
			item.Trash = v.volumes.Trash.NewID()
		}
		if item.Plan, err = json.Marshal(it.step()); err != nil {
			return nil, err
		}
		j.Items = append(j.Items, item)
	}
	return j, err
}
