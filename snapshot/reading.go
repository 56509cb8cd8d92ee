package snapshot

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
)

// readers counts what this process reads of snapshots, by their names and by
// what reads. The zero value has none.
type readers struct {
	mu sync.Mutex // guards n
	n  map[[2]string]int
}

// reading says that what reads trees of the export, until done. Those below
// .snapshot count; a snapshot that is read is not removed.
func (v *Versions) reading(what string, trees ...string) (done func()) {
	var keys [][2]string
	for _, t := range trees {
		if rest, ok := strings.CutPrefix(t, reference.Dir+"/"); ok {
			snap, _, _ := strings.Cut(rest, "/")
			keys = append(keys, [2]string{snap, what})
		}
	}
	add := func(n int) {
		v.readers.mu.Lock()
		defer v.readers.mu.Unlock()
		for _, k := range keys {
			if v.readers.n == nil {
				v.readers.n = map[[2]string]int{}
			}
			if v.readers.n[k] += n; v.readers.n[k] == 0 {
				delete(v.readers.n, k)
			}
		}
	}
	add(1)
	return func() { add(-1) }
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
	v.readers.mu.Lock()
	defer v.readers.mu.Unlock()
	for k := range v.readers.n {
		if k[0] == snap {
			return problem.New(problem.InUse, "try again when it has ended", "snapshot %q is being read on this node by %s", snap, k[1])
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
