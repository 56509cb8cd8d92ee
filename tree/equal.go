package tree

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"time"
)

// Two names are equal if they have the same kind, content or target, size, mode,
// owner and extended attributes, and if their files have the same other names.
// Files must have the same mtime too. Directories need not, because each new entry
// changes it; symlinks need not, because not every server sets it.
//
// The owner of a file can set all of this, the mtime included, so none of it
// proves that two files are equal. The owner can set neither the file's id nor its
// ctime, which the server sets at each change. Where both sides have the same id
// and the same ctime, they are one file in one state, and nothing has to be read.
// In all other cases the content is read: once, because Sums keep the result.

// Equality says how two sides are compared. The zero value is good.
type Equality struct {
	// Checksum reads all files of equal size, also those that were read before.
	// Files with equal content and other times count as equal then.
	Checksum bool
	// Now is the server's time. Versions are the instants of the sides that are
	// versions. A file that was changed near one of these times is read, because
	// a second change in the same tick of the server's clock would not show.
	// Zero is unknown. Without Now nothing goes to Sums.
	Now      time.Time
	Versions [2]time.Time
	// Spread is how much later than Versions says the versions may have been made.
	Spread time.Duration
	// Sums have the results of earlier reading; nil for none.
	Sums *Sums
	// Progress is told how much was compared, after each piece of a file that was
	// read; nil for nobody. It is called from several goroutines, one at a time.
	Progress func(Progress)
	// Exact counts other times of directories and symlinks as a difference too. A
	// restore sets them, and an undo has to set them back.
	Exact bool
}

// proven tells whether two entries are one file in one state. It relies only on
// what no owner can set.
func (q *Equality) proven(x, y Attr) bool {
	if x.Kind != y.Kind || x.FileID == 0 || x.FileID != y.FileID || x.Size != y.Size || !x.Mtime.Equal(y.Mtime) || !x.Ctime.Equal(y.Ctime) || x.Ctime.Unix() <= 0 {
		return false
	}
	for _, at := range q.Versions {
		if !at.IsZero() && !longBefore(x.Ctime, at) {
			return false
		}
	}
	return true
}

// Told returns the difference that the attributes of two entries show, nil for
// none, and whether the entries have to be read as well.
func (q *Equality) Told(x, y Attr) (d *Difference, open bool) {
	c := &comparing{opts: *q}
	d = c.attributes(".", &entryAt{attr: x}, &entryAt{attr: y})
	return d, x.Kind == y.Kind && (d == nil || d.Kind == Updated || c.mustRead(x, y)) && (q.Checksum || !q.proven(x, y))
}

// final tells whether a file of one side keeps one content for ever as long as its
// state is a. A change in the present tick of the clock might not change the state.
func (q *Equality) final(side int, a Attr) bool {
	if q.Now.IsZero() || !longBefore(a.Ctime, q.Now) {
		return false
	}
	// A file that is much newer than its version is in a copy of the version, and
	// does not change with the original.
	at := q.Versions[side]
	return at.IsZero() || longBefore(a.Ctime, at) || a.Ctime.After(at.Add(q.Spread+granule))
}

// attributes compares the attributes of a name on both sides; a or b may be nil.
// It returns nil if they show no difference; see open.
func (c *comparing) attributes(name string, a, b *entryAt) *Difference {
	d := &Difference{Path: name}
	switch {
	case a == nil:
		d.Kind, d.B = Added, b.attr
		return d
	case b == nil:
		d.Kind, d.A = Removed, a.attr
		return d
	}
	x, y := a.attr, b.attr
	d.A, d.B = x, y
	if x.Kind != y.Kind {
		d.Kind = Retyped
		return d
	}
	differ := func(f ChangedFields, is bool) {
		if is {
			d.Fields |= f
		}
	}
	differ(ChangedSize, (x.Kind == Regular || x.Kind == Symlink) && x.Size != y.Size)
	differ(ChangedMtime, (x.Kind == Regular || c.opts.Exact) && !x.Mtime.Equal(y.Mtime))
	differ(ChangedMode, x.Kind != Symlink && x.Mode != y.Mode)
	differ(ChangedUID, x.UID != y.UID)
	differ(ChangedGID, x.GID != y.GID)
	differ(ChangedDevice, (x.Kind == BlockDevice || x.Kind == CharDevice) && (x.Major != y.Major || x.Minor != y.Minor))
	return d.classified(c.opts.Checksum)
}

// classified sets the kind of a difference by its fields; nil if it has none.
func (d *Difference) classified(checksum bool) *Difference {
	content := ChangedContent | ChangedSize | ChangedDevice
	if !checksum && d.A.Kind == Regular {
		content |= ChangedMtime
	}
	switch {
	case d.Fields&content != 0:
		d.Kind = Modified
	case d.Fields != 0:
		d.Kind = Updated
	default:
		return nil
	}
	return d
}

// open tells whether the names have to be read to know if they are equal; d is the
// difference that their attributes show.
func (c *comparing) open(x, y Attr, d *Difference) bool {
	if d != nil && (d.Kind == Modified && !c.mustRead(x, y) || d.Kind == Retyped || d.Kind == Added || d.Kind == Removed) {
		return false
	}
	if c.opts.Checksum && x.Kind == Regular && x.Size > 0 {
		return true
	}
	return !c.opts.proven(x, y) && (c.mustRead(x, y) || c.attributed)
}

// mustRead tells whether only the content can decide.
func (c *comparing) mustRead(x, y Attr) bool {
	switch {
	case x.Kind != y.Kind || x.Size != y.Size:
		return false
	case x.Kind == Symlink:
		return true
	}
	return x.Kind == Regular && x.Size > 0 && (c.opts.Checksum || x.Mtime.Equal(y.Mtime))
}

// close reads two names to know if they are equal, and completes the difference d
// that their attributes show, which may be nil.
func (c *comparing) close(ctx context.Context, name string, x, y *entryAt, d *Difference) (*Difference, error) {
	fields, err := c.fields(ctx, x, y)
	if errors.Is(err, ErrHeld) {
		// Nobody can say that it is equal.
		fields |= ChangedContent
		c.mu.Lock()
		c.stats.Missing.add(fmt.Sprintf("%s: %v", name, ErrHeld))
		c.mu.Unlock()
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if fields == 0 {
		return d, nil
	}
	if d == nil {
		d = &Difference{Path: name, A: x.attr, B: y.attr}
	}
	d.Fields |= fields
	return d.classified(c.opts.Checksum), nil
}

// fields returns the fields that differ, of those that have to be read.
func (c *comparing) fields(ctx context.Context, x, y *entryAt) (fields ChangedFields, err error) {
	if c.mustRead(x.attr, y.attr) {
		same, err := c.same(ctx, x, y)
		if err != nil {
			return 0, err
		}
		if !same {
			fields |= ChangedContent
		}
	}
	if c.attributed {
		same, err := c.sameXattrs(ctx, x, y)
		if err != nil {
			return fields, err
		}
		if !same {
			fields |= ChangedXattrs
		}
	}
	return fields, nil
}

func (c *comparing) sameXattrs(ctx context.Context, x, y *entryAt) (bool, error) {
	a, err := c.e.xattrs(ctx, x.at)
	if err != nil {
		return false, err
	}
	b, err := c.e.xattrs(ctx, y.at)
	return maps.Equal(a, b), err
}

// same tells whether both files have the same content.
func (c *comparing) same(ctx context.Context, a, b *entryAt) (bool, error) {
	sides := []*entryAt{a, b}
	var sums [2]sum
	var known [2]bool
	for i, e := range sides {
		if !c.opts.Checksum {
			sums[i], known[i] = c.opts.Sums.get(e.attr)
		}
	}
	if known[0] && known[1] {
		return sums[0] == sums[1], nil
	}
	if a.attr.Kind == Symlink {
		for i, e := range sides {
			if known[i] {
				continue
			}
			var err error
			if sums[i], err = c.target(ctx, i, e); err != nil {
				return false, err
			}
		}
		return sums[0] == sums[1], nil
	}
	r := &readPair{c: c}
	defer r.end()
	for i, e := range sides {
		if known[i] {
			continue
		}
		if err := r.begin(ctx, i, e); err != nil {
			return false, err
		}
	}
	same, got, err := r.read(ctx, a.attr.Size)
	if err != nil || !same {
		return false, err
	}
	for i, e := range sides {
		if known[i] {
			continue
		}
		sums[i] = got
		if whole, err := r.still(ctx, i, e.attr); err != nil {
			return false, err
		} else if whole {
			c.opts.Sums.put(e.attr, got)
		}
	}
	return sums[0] == sums[1], nil
}

// target is the sum of a symlink's target.
func (c *comparing) target(ctx context.Context, side int, e *entryAt) (sum, error) {
	text, err := c.e.readlink(ctx, e.at)
	if err != nil {
		return sum{}, err
	}
	v := sum(sha256.Sum256([]byte(text)))
	if c.opts.Sums != nil && c.opts.final(side, e.attr) {
		if _, now, err := c.e.find(ctx, e.at.name); err == nil && stateOf(now) == stateOf(e.attr) {
			c.opts.Sums.put(e.attr, v)
		}
	}
	return v, nil
}

// readPair reads those of the two files whose sum is not known.
type readPair struct {
	c     *comparing
	files [2]*solid
}

func (r *readPair) begin(ctx context.Context, side int, e *entryAt) error {
	f, err := r.c.e.open(ctx, e.at)
	if err == nil {
		r.files[side] = solidOf(f, e.attr)
	}
	return err
}

func (r *readPair) end() {
	for _, f := range r.files {
		if f != nil {
			f.Close()
		}
	}
}

// read reads one or two open files of size bytes and returns the sum. It ends early
// where two files differ. What is a hole in all of them is not read.
func (r *readPair) read(ctx context.Context, size int64) (same bool, v sum, err error) {
	var files []*solid
	var bufs [][]byte
	for _, f := range r.files {
		if f != nil {
			files, bufs = append(files, f), append(bufs, spare(compareBlock))
			defer reuse(bufs[len(bufs)-1])
		}
	}
	d := newDigest()
	for off := int64(0); ; {
		at := (size - 1) &^ (holeBlock - 1) // the end is read, which shows that it is there
		for _, f := range files {
			next, err := f.next(ctx, off)
			if err != nil {
				return false, v, fmt.Errorf("compare: %w", err)
			}
			at = min(at, next&^(holeBlock-1))
		}
		at = max(at, off)
		d.skip(at - off)
		off = at
		// One byte more than the size shows a file that grows, and may have no end.
		want := int(min(compareBlock, size+1-off))
		var got [][]byte
		for i, f := range files {
			n, err := f.ReadAt(ctx, bufs[i][:want], off)
			if err != nil && !errors.Is(err, io.EOF) {
				return false, v, fmt.Errorf("compare: %w", err)
			}
			got = append(got, bufs[i][:n])
			r.c.count(int64(n))
		}
		if len(got) == 2 && !bytes.Equal(got[0], got[1]) {
			return false, v, nil
		}
		if off += int64(len(got[0])); off > size {
			return false, v, nil
		}
		d.Write(got[0])
		if len(got[0]) < want {
			return off == size, d.end(), nil
		}
	}
}

// count counts bytes that were read.
func (c *comparing) count(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.Bytes += n; c.opts.Progress != nil {
		c.opts.Progress(c.stats.Progress)
	}
}

// compareBlock is how much of a file is compared at once, in bytes.
const compareBlock = 4 * holeBlock

// still tells whether a file is in the same state as in the listing, so that the
// content that was read belongs to that state.
func (r *readPair) still(ctx context.Context, side int, was Attr) (bool, error) {
	if r.c.opts.Sums == nil || !r.c.opts.final(side, was) {
		return false, nil
	}
	if !r.c.opts.Versions[side].IsZero() {
		return true, nil // a version does not change
	}
	now, err := r.files[side].Stat(ctx)
	return err == nil && stateOf(now) == stateOf(was), err
}

// CompareOne compares two names of any kind. Of directories it compares no entries.
// It returns nil if they are equal.
func CompareOne(ctx context.Context, fsys FS, a, b string, q Equality) (*Difference, error) {
	c := newComparing(fsys, q)
	var sides [2]*entryAt
	for i, name := range []string{a, b} {
		at, attr, err := c.e.find(ctx, name)
		if err != nil {
			return nil, err
		}
		sides[i] = &entryAt{at, attr}
	}
	d := c.attributes(".", sides[0], sides[1])
	if c.open(sides[0].attr, sides[1].attr, d) {
		return c.close(ctx, ".", sides[0], sides[1], d)
	}
	return d, nil
}

// read completes the finding of a name that has to be read.
func (c *comparing) read(ctx context.Context, name string, a, b *entryAt, f *finding) error {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	d, err := c.close(ctx, name, a, b, f.diff)
	if isReplaced(err) {
		// The file is gone, so nobody can say that it was equal.
		d = &Difference{Path: name, Kind: Modified, Fields: ChangedContent, A: a.attr, B: b.attr}
		err = nil
		c.mu.Lock()
		c.stats.Vanished.add(name)
		c.mu.Unlock()
	}
	if err == nil {
		f.diff = d
	}
	return err
}

// base is the entry's name in its directory.
func (e *entryAt) base() string { return path.Base(e.at.name) }
