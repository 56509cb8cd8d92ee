package compare

import (
	"context"
	"sync"
	"time"

	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// Sums keep the sums of the files that comparisons have read, for each volume. They
// are kept on the export too, so that no node reads a version twice.
type Sums struct {
	Volumes *volume.Store

	proving  sync.Mutex // guards byVolume
	byVolume map[string]*tree.Sums
}

// maxProven is how many volumes have their sums in memory, at most some 50 MB each.
const maxProven = 3

// of returns the sums of a volume.
func (p *Sums) of(ctx context.Context, fsys tree.FS, name string) *tree.Sums {
	p.proving.Lock()
	defer p.proving.Unlock()
	if s := p.byVolume[name]; s != nil {
		return s
	}
	if p.byVolume == nil || len(p.byVolume) >= maxProven {
		p.byVolume = map[string]*tree.Sums{}
	}
	s := &tree.Sums{}
	if data := p.Volumes.Cache.Bytes(ctx, fsys, sumsKey(name)); data != nil {
		s.Unmarshal(data) // sums that cannot be read are made again
	}
	p.byVolume[name] = s
	return s
}

func sumsKey(name string) string { return "sums\x00" + name }

// Equality says how to compare two versions of a volume; nil is the live volume, or a
// tree of it in the trash. The caller calls the func afterwards, to keep the sums of
// the files that were read.
func (p *Sums) Equality(ctx context.Context, fsys tree.FS, name string, checksum bool, a, b *reference.Snapshot) (tree.Equality, func()) {
	sums := p.of(ctx, fsys, name)
	q := tree.Equality{Checksum: checksum, Sums: sums, Now: p.Volumes.Now(), Versions: [2]time.Time{instantOf(a), instantOf(b)}}
	if fromName(a) || fromName(b) {
		q.Spread = time.Minute // times in names have no seconds
	}
	return q, func() {
		if data, ok := sums.Marshal(); ok {
			ctx, done := tree.Tidy(ctx)
			defer done()
			p.Volumes.Cache.PutBytes(ctx, fsys, sumsKey(name), data)
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

// Read is what the copy of a version has read. Snapshot is nil for the live volume.
type Read struct {
	Volume   string
	Snapshot *reference.Snapshot
	Proofs   *tree.Proofs
}

// Keep keeps the sums of files that copies have read, so that nobody reads them
// again for a comparison. The copies are complete.
func (p *Sums) Keep(ctx context.Context, copies []Read) {
	fsys, err := p.Volumes.FS(ctx)
	if err != nil {
		return
	}
	for _, c := range copies {
		q, keep := p.Equality(ctx, fsys, c.Volume, false, c.Snapshot, nil)
		c.Proofs.Keep(q)
		keep()
	}
}
