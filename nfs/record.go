package nfs

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// maxFragments bounds the fragments of one record: a peer could send empty
// ones for ever. Real servers send one, some one per page of data.
const maxFragments = 1024

// lastFragment is the mark of a record's last fragment (RFC 5531 §11).
const lastFragment = 1 << 31

// recordReader reads records (RFC 5531 §11) of at most limit bytes. Its errors
// are ErrBadReply where the peer broke the rules, else those of the connection.
type recordReader struct {
	r         *bufio.Reader
	limit     int
	left      int     // of the current fragment
	last      bool    // the current fragment is the record's last
	fragments int     // of the current record
	read      int     // bytes announced by them
	word      [4]byte // scratch
}

// next starts the next record and returns its first four bytes, the xid, if
// possible also of a record that is too long.
func (r *recordReader) next() (uint32, error) {
	r.left, r.last, r.fragments, r.read = 0, false, 0, 0
	var xid uint32
	for n := 0; n < 4; {
		if r.left == 0 {
			if r.last {
				return 0, badReply("a record of %d bytes", r.read)
			}
			err := r.fragment()
			if err == nil {
				continue
			}
			if n > 0 || r.left < 4 || !errors.Is(err, ErrBadReply) {
				return 0, err
			}
			if _, e := io.ReadFull(r.r, r.word[:]); e != nil {
				return 0, err
			}
			return binary.BigEndian.Uint32(r.word[:]), err
		}
		b := r.word[:min(r.left, 4-n)]
		if _, err := io.ReadFull(r.r, b); err != nil {
			return 0, err
		}
		for _, c := range b {
			xid = xid<<8 | uint32(c)
		}
		n += len(b)
		r.left -= len(b)
	}
	return xid, nil
}

// fragment reads the next fragment's header.
func (r *recordReader) fragment() error {
	if _, err := io.ReadFull(r.r, r.word[:]); err != nil {
		return err
	}
	mark := binary.BigEndian.Uint32(r.word[:])
	r.last = mark&lastFragment != 0
	r.left = int(mark &^ lastFragment)
	if r.fragments++; r.fragments > maxFragments {
		return badReply("a record of more than %d fragments", maxFragments)
	}
	r.read += r.left
	return r.check()
}

// check refuses a record that is longer than the limit.
func (r *recordReader) check() error {
	// fragment adds less than 2³¹ to what was below the limit: no overflow.
	if r.read > r.limit {
		return badReply("a record of %d bytes or more where %d are allowed", r.read, r.limit)
	}
	return nil
}

// rest appends the rest of the record to b. What b grows by is bounded by the
// bytes that have been announced, and limit bounds those.
func (r *recordReader) rest(b []byte) ([]byte, error) {
	for {
		if r.left > 0 {
			n := len(b)
			b = slices.Grow(b, r.left)[:n+r.left]
			if _, err := io.ReadFull(r.r, b[n:]); err != nil {
				return b[:n], err
			}
			r.left = 0
		}
		if r.last {
			return b, nil
		}
		if err := r.fragment(); err != nil {
			return b, err
		}
	}
}

// skip discards the rest of the record.
func (r *recordReader) skip() error {
	for {
		if _, err := r.r.Discard(r.left); err != nil {
			return err
		}
		r.left = 0
		if r.last {
			return nil
		}
		if err := r.fragment(); err != nil {
			return err
		}
	}
}
