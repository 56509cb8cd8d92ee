package nfs

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrBadReply says that a peer's answer does not follow the protocol: cut
// short, longer than allowed, or with a value that the specification does not
// know. The message tells which.
var ErrBadReply = errors.New("malformed reply")

// badReply makes an error that matches ErrBadReply.
func badReply(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBadReply, fmt.Sprintf(format, args...))
}

// The append functions encode XDR (RFC 4506 §4), big-endian in units of four
// bytes.

func appendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

func appendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0, 0, 0, 1)
	}
	return append(b, 0, 0, 0, 0)
}

// appendOpaque encodes variable-length opaque data (RFC 4506 §4.10).
func appendOpaque[T []byte | string](b []byte, v T) []byte {
	b = appendUint32(b, uint32(len(v)))
	b = append(b, v...)
	return appendPadding(b, len(v))
}

// appendPadding fills the last unit of n bytes of opaque data.
func appendPadding(b []byte, n int) []byte {
	var zeros [4]byte
	return append(b, zeros[:padding(n)]...)
}

// padding is the number of bytes that round n up to a multiple of four.
func padding(n int) int { return -n & 3 }

// decoder reads XDR from b. The first error sticks: every getter then returns
// zero, so that a whole structure is read without a check and err is asked
// once. What it returns by reference stays valid as long as b does.
type decoder struct {
	b   []byte
	err error
}

// fail records the first error and drops the rest of the input.
func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = badReply(format, args...)
	}
	d.b = nil
}

func (d *decoder) uint32() uint32 {
	if len(d.b) < 4 {
		d.fail("cut short")
		return 0
	}
	v := binary.BigEndian.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

func (d *decoder) uint64() uint64 {
	if len(d.b) < 8 {
		d.fail("cut short")
		return 0
	}
	v := binary.BigEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) bool() bool {
	switch v := d.uint32(); v {
	case 0:
		return false
	case 1:
		return true
	default:
		d.fail("%d is no boolean", v)
		return false
	}
}

// fixed returns the next n bytes of fixed-length opaque data, nil on error.
func (d *decoder) fixed(n int) []byte {
	if len(d.b) < n+padding(n) {
		d.fail("cut short")
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n+padding(n):]
	return v
}

// opaque returns variable-length opaque data of at most limit bytes.
func (d *decoder) opaque(limit int) []byte {
	n := d.uint32()
	if uint64(n) > uint64(limit) {
		d.fail("%d bytes where %d are allowed", n, limit)
		return nil
	}
	return d.fixed(int(n))
}

func (d *decoder) string(limit int) string { return string(d.opaque(limit)) }
