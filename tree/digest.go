package tree

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
)

// digest makes the sum of a content. Blocks of zeros count by their place alone, so that
// holes cost nothing, and a hole and the zeros that were written have the same sum: it is
// SHA-256 of the number and the content of each block with anything but zeros, and of
// the size.
type digest struct {
	hash  hash.Hash
	at    int64  // where block begins
	block []byte // what is known of an unfinished block of holeBlock bytes
}

func newDigest() *digest { return &digest{hash: sha256.New()} }

// sumOf is the sum of a whole content.
func sumOf(content []byte) sum {
	d := newDigest()
	d.Write(content)
	return d.end()
}

// Write adds bytes.
func (d *digest) Write(b []byte) {
	for len(b) > 0 {
		if len(d.block) == 0 && len(b) >= holeBlock {
			d.put(b[:holeBlock])
			b = b[holeBlock:]
			continue
		}
		n := min(holeBlock-len(d.block), len(b))
		d.block = append(d.block, b[:n]...)
		b = b[n:]
		d.flush(holeBlock)
	}
}

// skip adds n zeros.
func (d *digest) skip(n int64) {
	if len(d.block) > 0 {
		some := min(n, int64(holeBlock-len(d.block)))
		d.block = append(d.block, zeros[:some]...)
		n -= some
		d.flush(holeBlock)
	}
	if len(d.block) == 0 {
		d.at += n &^ (holeBlock - 1)
		d.block = append(d.block, zeros[:n&(holeBlock-1)]...)
	}
}

// flush ends the block if it has so many bytes.
func (d *digest) flush(full int) {
	if len(d.block) == full {
		d.put(d.block)
		d.block = d.block[:0]
	}
}

// put adds a block.
func (d *digest) put(b []byte) {
	if !allZero(b) {
		_ = binary.Write(d.hash, binary.LittleEndian, d.at/holeBlock)
		d.hash.Write(b)
	}
	d.at += int64(len(b))
}

// end returns the sum.
func (d *digest) end() sum {
	d.put(d.block)
	_ = binary.Write(d.hash, binary.LittleEndian, d.at)
	return sum(d.hash.Sum(nil))
}

// sparse is a File that knows where its holes are. NFSv3 cannot tell.
type sparse interface {
	// data returns the begin and the end of the first data at or behind off.
	// Without such data both are behind all data.
	data(ctx context.Context, off int64) (from, to int64, err error)
}

// solid is an open file that is read from its begin to its end, without its holes.
type solid struct {
	File
	sparse
	from, to int64 // of the data that was asked for last
}

// solidOf returns the file f, whose attributes are a. A file that uses as many bytes as
// it has, or that cannot tell, has no holes.
func solidOf(f File, a Attr) *solid {
	s := &solid{File: f, to: math.MaxInt64}
	if told, ok := f.(sparse); ok && a.Used < a.Size {
		s.sparse, s.to = told, 0
	}
	return s
}

// next returns where the first data at or behind off begin; math.MaxInt64 for none.
func (s *solid) next(ctx context.Context, off int64) (int64, error) {
	if off >= s.to {
		var err error
		if s.from, s.to, err = s.data(ctx, off); err != nil {
			return 0, err
		}
	}
	return max(off, s.from), nil
}
