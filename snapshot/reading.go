package snapshot

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
)

// Reading is what this process reads at the moment, and how much it has read.
type Reading struct {
	What  string    `json:"what"`  // the command: "berth snapshot diff"
	Trees []string  `json:"trees"` // below the export
	Since time.Time `json:"since"`
	Files int64     `json:"files"`
	Bytes int64     `json:"bytes"`
}

// Volume is the volume whose trees are read.
func (r *Reading) Volume() string {
	for _, t := range r.Trees {
		if rest, ok := strings.CutPrefix(t, reference.Dir+"/"); ok {
			_, t, _ = strings.Cut(rest, "/")
		}
		if name, _, _ := strings.Cut(t, "/"); name != "" {
			return name
		}
	}
	return ""
}

// of tells whether a snapshot is read.
func (r *Reading) of(snap string) bool {
	return slices.ContainsFunc(r.Trees, func(t string) bool { return strings.HasPrefix(t+"/", reference.Dir+"/"+snap+"/") })
}

// readers are what this process reads. The zero value has none.
type readers struct {
	mu  sync.Mutex // guards all, and each reader's Reading
	all map[*reader]bool
}

type reader struct {
	Reading
	in *readers
}

// reading says that what reads trees of the export, until done. A snapshot that is
// read is not removed.
func (v *Versions) reading(what string, trees ...string) *reader {
	r := &reader{Reading{What: what, Trees: trees, Since: v.now()}, &v.readers}
	v.readers.mu.Lock()
	defer v.readers.mu.Unlock()
	if v.readers.all == nil {
		v.readers.all = map[*reader]bool{}
	}
	v.readers.all[r] = true
	return r
}

func (r *reader) done() {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	delete(r.in.all, r)
}

// progress is told how much was read.
func (r *reader) progress(p tree.Progress) {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	r.Files, r.Bytes = p.Files, p.Bytes
}

// Readings are what a process reads at the moment, the oldest first.
type Readings struct {
	Readings []Reading `json:"readings"`
}

// Readings returns what this process reads.
func (v *Versions) Readings() Readings {
	v.readers.mu.Lock()
	defer v.readers.mu.Unlock()
	out := []Reading{}
	for r := range v.readers.all {
		out = append(out, r.Reading)
	}
	slices.SortFunc(out, func(a, b Reading) int { return a.Since.Compare(b.Since) })
	return Readings{out}
}

// read refuses a snapshot that somebody reads: on any node a clone, a restore
// or a takeover, on this one also what looks. except is a job that is over for
// whoever asks. all are the snapshots that there are.
func (v *Versions) read(ctx context.Context, snap, except string, all []reference.Snapshot) error {
	clones, err := v.volumes.Cloning(ctx)
	if err != nil {
		return err
	}
	for _, l := range clones {
		if snapshotOf(l.Reads, all) == snap {
			return problem.New(problem.InUse, "wait for it; 'berth volume ps' shows what is under way",
				"snapshot %q is being copied to the new volume %q on %s", snap, l.Volume, l.Node)
		}
	}
	jobs, err := v.Jobs.List(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if j.ID != except && needs(j, snap, all) {
			hint := fmt.Sprintf("wait for it; 'berth volume ps %s' shows how far it is", j.Items[0].Volume)
			if j.Interrupted || j.State == job.Prepared {
				hint = fmt.Sprintf("'berth snapshot restore --resume %s' completes it, '--abort %s' ends it", j.Items[0].Volume, j.Items[0].Volume)
			}
			return problem.New(problem.InUse, hint, "snapshot %q is needed by the %s of volume %q on %s", snap, j.Op, j.Items[0].Volume, j.Node)
		}
	}
	for _, r := range v.Readings().Readings {
		if r.of(snap) {
			return problem.New(problem.InUse, "try again when it has ended", "snapshot %q is being read on this node by %s", snap, r.What)
		}
	}
	return nil
}

// needs tells whether an unfinished job copies from a snapshot.
func needs(j *job.Job, snap string, all []reference.Snapshot) bool {
	if j.State == job.Failed || j.State == job.Swapped || len(j.Items) == 0 {
		return false
	}
	switch j.Op {
	case cluster.OpTakeover:
		return takeoverSnapshot(j) == snap
	case cluster.OpRestore:
		for _, it := range j.Items {
			if snapshotOf(it.Ref, all) == snap {
				return true
			}
		}
	}
	return false
}

// snapshotOf is the snapshot that an exact VOLUME@SNAPSHOT or
// VOLUME@SNAPSHOT:PATH names, of those that there are: a name may have a colon.
func snapshotOf(ref string, all []reference.Snapshot) string {
	_, rest, ok := strings.Cut(ref, "@")
	if !ok {
		return ""
	}
	name := ""
	for _, s := range all {
		if (rest == s.Name || strings.HasPrefix(rest, s.Name+":")) && len(s.Name) > len(name) {
			name = s.Name
		}
	}
	return name
}
