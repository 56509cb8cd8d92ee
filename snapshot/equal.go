package snapshot

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// proofs are what comparisons have read of each volume's files: kept on the
// export, so that no node reads a version twice.
type proofs struct {
	volumes *volume.Store

	proven   sync.Mutex // guards byVolume
	byVolume map[string]*tree.Sums
}

// maxProven is of how many volumes they are in memory: some 50 MB each at most.
const maxProven = 3

// sums are the proofs of a volume.
func (p *proofs) sums(ctx context.Context, fsys tree.FS, name string) *tree.Sums {
	p.proven.Lock()
	defer p.proven.Unlock()
	if s := p.byVolume[name]; s != nil {
		return s
	}
	if p.byVolume == nil || len(p.byVolume) >= maxProven {
		p.byVolume = map[string]*tree.Sums{}
	}
	s := &tree.Sums{}
	if data := p.volumes.CachedBytes(ctx, fsys, sumsKey(name)); data != nil {
		s.Unmarshal(data) // what cannot be read is found out again
	}
	p.byVolume[name] = s
	return s
}

func sumsKey(name string) string { return "sums\x00" + name }

// equality is how two versions of a volume are compared; nil is the live volume,
// or a tree of it in the trash. What was read for it is kept by the func.
func (p *proofs) equality(ctx context.Context, fsys tree.FS, name string, checksum bool, a, b *reference.Snapshot) (tree.Equality, func()) {
	sums := p.sums(ctx, fsys, name)
	q := tree.Equality{Checksum: checksum, Sums: sums, Now: p.volumes.Now(), Versions: [2]time.Time{instantOf(a), instantOf(b)}}
	if fromName(a) || fromName(b) {
		q.Spread = time.Minute // that is what names have
	}
	return q, func() {
		if data, ok := sums.Marshal(); ok {
			p.volumes.CacheBytes(context.WithoutCancel(ctx), fsys, sumsKey(name), data)
		}
	}
}

// instantOf is when a snapshot was made, as far as it shares its files with what
// is live: what changed then may have changed once more, unseen. A copy shares
// nothing.
func instantOf(s *reference.Snapshot) time.Time {
	if s == nil || s.Copied {
		return time.Time{}
	}
	return s.Time
}

// fromName tells that a snapshot's time was read from its name.
func fromName(s *reference.Snapshot) bool { return s != nil && s.Named }

// compare compares two trees or two of anything else, and calls fn with the
// differences.
func compare(ctx context.Context, fsys tree.FS, a, b string, q tree.Equality, fn func(tree.Difference) error) (tree.Stats, error) {
	x, err := fsys.Stat(ctx, a)
	if err != nil {
		return tree.Stats{}, err
	}
	y, err := fsys.Stat(ctx, b)
	if err != nil {
		return tree.Stats{}, err
	}
	if x.Kind != tree.Directory || y.Kind != tree.Directory {
		return compareOne(ctx, fsys, a, b, q, fn)
	}
	stats, err := tree.Compare(ctx, fsys, a, b, q, fn)
	if err == nil && stats.Vanished.Total > 0 {
		err = vanished(ctx, fsys, stats, a, b)
	}
	return stats, err
}

// vanished refuses a comparison in which names have vanished that never do: a
// snapshot that is being deleted looks like files that are missing.
func vanished(ctx context.Context, fsys tree.FS, stats tree.Stats, trees ...string) error {
	for _, name := range trees {
		_, err := fsys.Stat(ctx, name)
		gone := errors.Is(err, fs.ErrNotExist)
		for _, p := range stats.Vanished.Paths { // below the export, or below both trees
			if gone || !strings.HasPrefix(name, reference.Dir+"/") {
				break
			}
			if gone = strings.HasPrefix(p, name+"/"); !gone {
				_, err = fsys.Stat(ctx, path.Join(name, p))
				gone = errors.Is(err, fs.ErrNotExist) && !slices.ContainsFunc(trees, func(t string) bool { return strings.HasPrefix(p, t+"/") })
			}
		}
		if gone {
			return problem.New(problem.Failed, "choose another version", "%s was deleted while it was read", name)
		}
	}
	return nil
}

// copyRead is what a copy of a version has read: nil is the live volume.
type copyRead struct {
	volume string
	snap   *reference.Snapshot
	read   *tree.Proofs
}

// keepRead keeps what copies have read, now that they are in their place: nobody
// has to read them again to compare them.
func (p *proofs) keepRead(ctx context.Context, copies []copyRead) {
	fsys, err := p.volumes.FS(ctx)
	if err != nil {
		return
	}
	for _, c := range copies {
		q, keep := p.equality(ctx, fsys, c.volume, false, c.snap, nil)
		c.read.Keep(q)
		keep()
	}
}
