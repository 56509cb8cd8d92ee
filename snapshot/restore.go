package snapshot

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/problem"
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

// RestoreRequest says what to bring back, and how.
type RestoreRequest struct {
	Refs []string `json:"refs,omitempty"`
	// Exact is what a plan has found for Refs or Stack: these are not read again.
	Exact []reference.Exact `json:"exact,omitempty"`
	Stack string            `json:"stack,omitempty"` // STACK@SNAPSHOT: all its volumes
	Undo  bool              `json:"undo,omitempty"`  // to before the last restore or undo; Refs are volumes then
	Live  bool              `json:"live,omitempty"`  // containers go on meanwhile
	Stop  bool              `json:"stop,omitempty"`  // the caller stops them
	Force bool              `json:"force,omitempty"` // replace files of a database that runs
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
	// Harmless: it may be carried out under running containers without being
	// asked to, since one regular file is replaced at once.
	Harmless bool `json:"harmless,omitempty"`

	request RestoreRequest
}

// PlanItem is one volume of a plan.
type PlanItem struct {
	Volume   string              `json:"volume"`
	Path     string              `json:"path,omitempty"`     // in the volume; "" for all of it
	PathB64  []byte              `json:"path_b64,omitempty"` // where Path is no UTF-8
	Ref      string              `json:"ref"`                // exact
	RefB64   []byte              `json:"ref_b64,omitempty"`
	Exact    *reference.Exact    `json:"exact,omitempty"` // for the request that carries the plan out
	Snapshot *reference.Snapshot `json:"snapshot,omitempty"`
	Trash    string              `json:"trash,omitempty"` // the item that an undo puts back
	New      bool                `json:"new,omitempty"`   // nothing is there now
	Changes  Changes             `json:"changes"`         // what is done to the live tree
	Files    int64               `json:"files"`           // of the version
	Bytes    int64               `json:"bytes"`
	Database bool                `json:"database,omitempty"`
	// Parents are the directories of Path that the volume has lost, the topmost
	// first: they come back with it.
	Parents []string `json:"parents,omitempty"`

	source, dest string // below the export
	meta         *volume.Meta
	single       bool  // one file, or something else that is no directory
	partial      bool  // an undo of files, not of a tree
	used         int64 // bytes that what is written takes, holes left out
}

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
			err = v.volumes.CheckJobs(ctx, p.names())
		}
		if err == nil {
			err = v.measure(ctx, fsys, p)
		}
		return err
	})
	return p, err
}

// plan resolves a request: what comes from where, by which engine. job is the
// one that it is planned for again, "" for none.
func (v *Versions) plan(ctx context.Context, fsys tree.FS, r RestoreRequest, job string) (*Plan, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	p := &Plan{Op: cluster.OpRestore, Engine: EngineCopy, request: r, KeepDays: v.volumes.TrashTTL().Hours() / 24}
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
		if err := v.look(ctx, fsys, p, it); err != nil {
			return nil, err
		}
	}
	names := p.names()
	if n := len(names); n != len(slices.Compact(names)) {
		return nil, problem.New(problem.Invalid, "restore its parts one after the other", "a volume is named more than once")
	}
	p.Engine = p.engine(ctx, v)
	if l, local := fsys.(*tree.Local); (p.Engine == EngineCopy || p.Engine == EngineSync) && (!local || !embedded.IsLocal(l.Filesystem())) {
		p.Without = "NFSv3 shows no ACLs and no extended attributes: files that are written come back without"
	}
	p.Harmless = len(p.Items) == 1 && p.Items[0].single && p.Items[0].Path != "" && !p.Items[0].Database
	p.Users, err = v.volumes.Holders(ctx, names)
	return p, err
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
	name, word, ok := strings.Cut(p.request.Stack, "@")
	if !ok || word == "" || name == "" {
		return problem.New(problem.Invalid, fmt.Sprintf("for example --stack %s@latest", name), "--stack %q names no snapshot", p.request.Stack)
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
	refs, err := p.request.wanted(job)
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
	it := PlanItem{Volume: ref.Volume, Path: ref.Path, Ref: text, Exact: reference.ExactOf(ref, snap), Snapshot: &snap, source: ref.Source(snap.Name), dest: reference.Ref{Volume: ref.Volume, Path: ref.Path}.Source("")}
	if to := p.request.To; to != "" {
		it.dest = path.Join(ref.Volume, to)
		it.Path = strings.TrimPrefix(path.Clean("/"+to), "/")
	}
	p.Items = append(p.Items, it)
}

// look finds what is at both ends.
func (v *Versions) look(ctx context.Context, fsys tree.FS, p *Plan, it *PlanItem) error {
	src, err := fsys.Stat(ctx, it.source)
	if err != nil {
		return err
	}
	it.single = src.Kind != tree.Directory
	dst, err := stat(ctx, fsys, it.dest)
	if err != nil && !isBehind(err) {
		return err
	}
	it.New = dst == nil
	m, err := volume.MetaIn(ctx, fsys, ".", it.Volume)
	if err != nil {
		return err
	}
	it.Database = m != nil && m.Options.Get("access") == "single" || volume.IsDatabaseFile(it.Path)
	if p.request.To != "" {
		if err := tree.CheckPath(it.dest); err != nil || it.Path == "" || strings.HasPrefix(path.Clean(p.request.To), "..") {
			return problem.New(problem.Invalid, "give a path inside the volume, for example --to old/wp-content", "--to %q is not a path in volume %q", p.request.To, it.Volume)
		}
		if !it.New {
			return problem.New(problem.InUse, "choose a name that is free", "%q exists in volume %q, and --to overwrites nothing", it.Path, it.Volume)
		}
	}
	if it.New && (it.Path != "" || it.partial) {
		if err := it.lookUp(ctx, fsys, p.request.To == "" && p.Op != cluster.OpUndo); err != nil {
			return err
		}
	}
	if it.Path == "" && it.Snapshot != nil {
		if it.meta = m; it.New || m == nil {
			it.meta, err = volume.MetaIn(ctx, fsys, path.Join(reference.Dir, it.Snapshot.Name), it.Volume)
		}
	}
	return err
}

// lookUp finds the directories of the path that the volume does not have. They
// are in the version too, unless the path was chosen freely.
func (it *PlanItem) lookUp(ctx context.Context, fsys tree.FS, versioned bool) error {
	up := parent(it.Path)
	if it.partial { // the files of a directory come back, into it
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

// engine chooses how; what is in use, or a part, is synced.
func (p *Plan) engine(ctx context.Context, v *Versions) Engine {
	whole := true
	for _, it := range p.Items {
		whole = whole && it.Path == "" && !it.partial
	}
	switch {
	case p.Op == cluster.OpUndo && whole && !p.request.Live:
		return EngineMove
	case p.Op == cluster.OpUndo:
		return EngineSync
	case p.request.To == "" && (p.request.Live || !whole):
		return EngineSync
	}
	if filer := v.tuned.Load().Filer; filer != nil && !p.request.Checksum && !p.single() && filer.Restores(ctx) {
		return EngineFiler
	}
	return EngineCopy
}

func (p *Plan) single() bool {
	return slices.ContainsFunc(p.Items, func(it PlanItem) bool { return it.single })
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
		if it.Database && p.Engine == EngineSync && !it.single && !p.request.Force && p.request.To == "" && (p.request.Live || len(p.Users) > 0) {
			return problem.New(problem.InUse, "--stop restores it whole; --force does it all the same", "volume %q holds a database: files replaced under it while it runs would ruin it", it.Volume)
		}
	}
	space, err := fsys.Statfs(ctx)
	if err != nil {
		return err
	}
	p.Avail, p.Total = space.Avail, space.Total
	if p.Need > 0 && space.Avail-p.Need < space.Total/20 {
		return problem.New(problem.Failed, "'berth df' shows what can be freed; what snapshots hold comes free when they go",
			"the restore needs %d MiB, and less than 5 %% of the export would be left", p.Need>>20)
	}
	return nil
}

func (v *Versions) measureOne(ctx context.Context, fsys tree.FS, p *Plan, it *PlanItem) error {
	if it.partial {
		return v.measurePartial(ctx, fsys, it)
	}
	if it.New && it.single {
		a, err := fsys.Stat(ctx, it.source)
		it.Files, it.Bytes, it.used = 1, bytesOf(a), usedBy(a)
		it.Changes = Changes{Added: 1 + int64(len(it.Parents)), AddedBytes: it.Bytes}
		return err
	}
	if it.New {
		got, err := tree.Measure(ctx, fsys, it.source)
		it.Files, it.Bytes, it.used = got.Files, got.Bytes, got.Used
		it.Changes = Changes{Added: got.Files + got.Dirs + int64(len(it.Parents)), AddedBytes: got.Bytes}
		return err
	}
	q, keep := v.equality(ctx, fsys, it.Volume, p.request.Checksum, nil, it.Snapshot)
	defer keep()
	var n tally
	stats, err := compare(ctx, fsys, it.dest, it.source, q, func(d tree.Difference) error {
		if first := n.count(d); first && d.Kind != tree.Removed && d.Kind != tree.Updated {
			it.used += usedBy(d.B)
		}
		it.Database = it.Database || volume.IsDatabaseFile(d.Path)
		return nil
	})
	if err != nil {
		return err
	}
	it.Changes = n.Changes
	it.Changes.total(stats)
	if p.Engine == EngineCopy || p.Engine == EngineFiler {
		got, err := tree.Measure(ctx, fsys, it.source)
		it.Files, it.Bytes, it.used = got.Files, got.Bytes, got.Used
		return err
	}
	it.Files, it.Bytes = stats.Files, it.Changes.AddedBytes+it.Changes.ModifiedBytes
	return nil
}

// Prepare writes a restore down as a job that Start carries out. The request
// is that of a Plan, its references exact. stopped is what the caller is going
// to stop for it.
func (v *Versions) Prepare(ctx context.Context, r RestoreRequest, stopped Stopped) (j *volume.Job, err error) {
	err = v.volumes.With(ctx, "prepare the restore", func(fsys tree.FS) error {
		p, err := v.plan(ctx, fsys, r, "")
		if err == nil {
			j, err = v.job(p, stopped)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return j, v.volumes.PrepareJob(ctx, j)
}

// exact is the request with what the plan has found in it, so that whoever runs
// it again does the same. Its Refs are for those who do not read Exact.
func (p *Plan) exact() RestoreRequest {
	r := p.request
	r.Stack, r.Refs, r.Exact = "", nil, nil
	for _, it := range p.Items {
		if p.Op == cluster.OpUndo {
			r.Refs = append(r.Refs, it.Volume)
		} else {
			r.Refs = append(r.Refs, it.Ref)
		}
		if it.Exact != nil {
			r.Exact = append(r.Exact, *it.Exact)
		}
	}
	return r
}

func (v *Versions) job(p *Plan, stopped Stopped) (*volume.Job, error) {
	r := p.exact()
	live := r.To != "" || p.Engine == EngineSync && (r.Live || p.Harmless)
	j := &volume.Job{Op: p.Op, Engine: string(p.Engine), Live: live, Keep: r.Keep}
	var err error
	if j.Request, err = json.Marshal(r); err == nil && !stopped.Empty() {
		j.Stopped, err = json.Marshal(stopped)
	}
	for _, it := range p.Items {
		item := volume.JobItem{Volume: it.Volume, Ref: text.Quote(it.Ref), Dest: it.dest, Meta: it.meta}
		if r.To == "" {
			item.Trash = v.volumes.NewTrashID()
		}
		j.Items = append(j.Items, item)
	}
	return j, err
}
