package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// file copies one regular file and compares the attributes of the copy.
func (c *copying) file(ctx context.Context, src, dir location, base string, a Attr) (r copied, err error) {
	if a.Size > holeBlock {
		select {
		case c.heavy <- struct{}{}:
			defer func() { <-c.heavy }()
		case <-ctx.Done():
			return r, ctx.Err()
		}
	}
	in, err := c.e.open(ctx, src)
	if err != nil {
		return r, err
	}
	defer in.Close()
	private := uint32(0o600)
	out, at, err := c.e.create(ctx, dir, base, SetAttr{Mode: &private})
	if err != nil {
		return r, err
	}
	r.at = at
	defer func() { err = errors.Join(err, out.Close()) }()
	var sum *digest
	summed := c.opts.Proofs != nil && a.Size > 0
	if c.opts.Checksum || summed {
		sum = newDigest()
	}
	size, err := c.content(ctx, in, out, a, sum)
	if err != nil {
		return r, err
	}
	x, err := c.e.xattrs(ctx, src)
	if err := c.noteLost(src.name, err); err != nil && !isGone(err) {
		return r, err
	}
	now, err := in.Stat(ctx)
	if err != nil {
		return r, err
	}
	r.changed = now.Size != size || !isSame(a, now)
	set := allOf(a)
	_, more := c.e.(complete)
	if more {
		set = SetAttr{}
	}
	set.Size = &size // a hole at the end was not written
	if err := out.SetAttr(ctx, set); err != nil {
		return r, err
	}
	if more {
		if err := c.setAll(ctx, src.name, at, a, x); err != nil {
			return r, err
		}
	}
	got, err := out.Stat(ctx)
	if err != nil || got.Size != size || !got.Mtime.Equal(a.Mtime) {
		return r, errors.Join(err, &fs.PathError{Op: "verify", Path: at.name, Err: fmt.Errorf("%d bytes of %s instead of %d of %s", got.Size, got.Mtime, size, a.Mtime)})
	}
	if sum == nil {
		return r, nil
	}
	read := sum.end()
	if summed {
		r.proof = proofOf(a, got, read)
	}
	if !c.opts.Checksum {
		return r, nil
	}
	again := newDigest()
	if _, err := c.content(ctx, out, nil, got, again); err != nil {
		return r, err
	}
	if read != again.end() {
		return r, &fs.PathError{Op: "verify", Path: at.name, Err: errors.New("the copy's content differs")}
	}
	return r, nil
}

// content reads in, up to the size in a. It adds the content to sum, unless sum is nil,
// writes all but holes to out, unless out is nil, and returns the size. It does not
// follow a file that grows, because a file that is written faster than it is read has
// no end. If in knows its holes, they are skipped. If it does not, and a says that
// there are holes, blocks of zeros are taken for holes.
func (c *copying) content(ctx context.Context, in, out File, a Attr, sum *digest) (int64, error) {
	f := solidOf(in, a)
	holes := a.Used < a.Size
	for off := int64(0); off < a.Size; {
		from, err := f.next(ctx, off)
		if err != nil {
			return off, err
		}
		from = min(from, a.Size)
		if sum != nil {
			sum.skip(from - off)
		}
		if out != nil {
			c.count(func(s *Stats) { s.Bytes += from - off })
		}
		to := min(f.to, a.Size)
		if off, err = c.extent(ctx, in, out, from, to, holes, sum); err != nil || off < to {
			return off, err
		}
	}
	return a.Size, nil
}

// extent is content for a part of a file. It returns where the part ended: before
// to if the file has become shorter.
func (c *copying) extent(ctx context.Context, in, out File, off, to int64, holes bool, sum *digest) (int64, error) {
	buf := spare(int(min(chunk, to-off)))
	defer reuse(buf)
	for off < to {
		n, err := in.ReadAt(ctx, buf[:min(int64(len(buf)), to-off)], off)
		if err != nil && err != io.EOF {
			return off, err
		}
		if sum != nil {
			sum.Write(buf[:n])
		}
		if out != nil {
			if err := write(ctx, out, buf[:n], off, holes); err != nil {
				return off, err
			}
			c.count(func(s *Stats) { s.Bytes += int64(n) })
		}
		off += int64(n)
		if err == io.EOF {
			break
		}
	}
	return off, nil
}

// write writes data at off. With holes it leaves blocks of zeros out.
func write(ctx context.Context, out File, data []byte, off int64, holes bool) error {
	if !holes {
		_, err := out.WriteAt(ctx, data, off)
		return err
	}
	for len(data) > 0 {
		// The longest run of blocks that are all data or all zeros.
		n := min(len(data), holeBlock)
		hole := allZero(data[:n])
		for n < len(data) {
			next := data[n:min(len(data), n+holeBlock)]
			if allZero(next) != hole {
				break
			}
			n += len(next)
		}
		if !hole {
			if _, err := out.WriteAt(ctx, data[:n], off); err != nil {
				return err
			}
		}
		data, off = data[n:], off+int64(n)
	}
	return nil
}

var zeros [holeBlock]byte

func allZero(block []byte) bool { return bytes.Equal(block, zeros[:len(block)]) }

// clone has the server make a large file, where Clone says so, and gives it its
// attributes. Where done is false there is no file, and it is to be copied.
func (c *copying) clone(ctx context.Context, src, dir location, base string, a Attr) (r copied, done bool, err error) {
	name := dir.child(base).name
	said := c.opts.Clone(ctx, src.name, name)
	if err := ctx.Err(); err != nil {
		return r, false, err
	}
	// What is there counts, not what was said of it.
	at, got, err := c.e.find(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	if !said || got.Kind != Regular || got.Size != a.Size || got.FileID == a.FileID && got.Device == a.Device || got.Nlink != 1 {
		return r, false, c.e.remove(ctx, dir, base)
	}
	x, err := c.e.xattrs(ctx, src)
	if err := c.noteLost(src.name, err); err != nil && !isGone(err) {
		return r, false, err
	}
	if err := c.setAll(ctx, src.name, at, a, x); err != nil {
		return r, false, err
	}
	if at, got, err = c.e.find(ctx, name); err != nil {
		return r, false, err
	}
	if got.Size != a.Size || !got.Mtime.Equal(a.Mtime) || got.Mode != a.Mode || got.UID != a.UID || got.GID != a.GID {
		return r, false, c.e.remove(ctx, dir, base)
	}
	// A snapshot that is being deleted has lost its name, and its files with it.
	_, now, err := c.e.find(ctx, src.name)
	switch {
	case isGone(err), err == nil && !isSame(a, now):
		r.changed = true
	case err != nil:
		return r, false, err
	}
	c.count(func(s *Stats) { s.Bytes += a.Size })
	r.at, r.bytes = at, a.Size
	return r, true, nil
}
