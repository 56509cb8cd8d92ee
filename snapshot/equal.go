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

// proofs keep the sums of the files that comparisons have read, for each volume. They
// are kept on the export too, so that no node reads a version twice.
type proofs struct {
	volumes *volume.Store

	proving  sync.Mutex // guards byVolume
	byVolume map[string]*tree.Sums
}

// maxProven is how many volumes have their sums in memory, at most some 50 MB each.
const maxProven = 3

// sums returns the sums of a volume.
func (p *proofs) sums(ctx context.Context, fsys tree.FS, name string) *tree.Sums {
	p.proving.Lock()
	defer p.proving.Unlock()
	if s := p.byVolume[name]; s != nil {
		return s
	}
	if p.byVolume == nil || len(p.byVolume) >= maxProven {
		p.byVolume = map[string]*tree.Sums{}
	}
	s := &tree.Sums{}
	if data := p.volumes.CachedBytes(ctx, fsys, sumsKey(name)); data != nil {
		s.Unmarshal(data) // sums that cannot be read are made again
	}
	p.byVolume[name] = s
	return s
}

func sumsKey(name string) string { return "sums\x00" + name }

// equality says how to compare two versions of a volume; nil is the live volume, or a
// tree of it in the trash. The caller calls the func afterwards, to keep the sums of
// the files that were read.
func (p *proofs) equality(ctx context.Context, fsys tree.FS, name string, checksum bool, a, b *reference.Snapshot) (tree.Equality, func()) {
	sums := p.sums(ctx, fsys, name)
	q := tree.Equality{Checksum: checksum, Sums: sums, Now: p.volumes.Now(), Versions: [2]time.Time{instantOf(a), instantOf(b)}}
	if fromName(a) || fromName(b) {
		q.Spread = time.Minute // times in names have no seconds
	}
	return q, func() {
		if data, ok := sums.Marshal(); ok {
			p.volumes.CacheBytes(context.WithoutCancel(ctx), fsys, sumsKey(name), data)
		}
	}
}

// instantOf is when a snapshot was made, if it shares its files with the live volume: a
// file that changed at that time may have changed again in the same tick. It is zero
// for a copy, which shares no files.
func instantOf(s *reference.Snapshot) time.Time {
	if s == nil || s.Copied {
		return time.Time{}
	}
	return s.Time
}

// fromName tells that a snapshot's time was read from its name.
func fromName(s *reference.Snapshot) bool { return s != nil && s.Named }

// compare compares two directories, files or other names, and calls fn with the
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

// vanished refuses a comparison in which names of a snapshot have vanished: a snapshot
// that is being deleted looks as if it had lost files.
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

// copyRead is what the copy of a version has read. snap is nil for the live volume.
type copyRead struct {
	volume string
	snap   *reference.Snapshot
	read   *tree.Proofs
}

// keepRead keeps the sums of files that copies have read, so that nobody reads them
// again for a comparison. The copies are complete.
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
