package nfstest

import "encoding/binary"

// encoder writes XDR (RFC 4506).
type encoder struct{ b []byte }

func (e *encoder) u32(v uint32) { e.b = binary.BigEndian.AppendUint32(e.b, v) }
func (e *encoder) u64(v uint64) { e.b = binary.BigEndian.AppendUint64(e.b, v) }
func (e *encoder) raw(b []byte) { e.b = append(e.b, b...) }

func (e *encoder) flag(v bool) {
	if v {
		e.u32(1)
	} else {
		e.u32(0)
	}
}

func (e *encoder) str(s string) {
	e.u32(uint32(len(s)))
	e.b = append(e.b, s...)
	for range (4 - len(s)%4) % 4 {
		e.b = append(e.b, 0)
	}
}

// decoder reads XDR; bad says that there was too little of it.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.b, d.bad = nil, true
		return make([]byte, min(max(n, 0), 8))
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) flag() bool  { return d.u32() != 0 }

func (d *decoder) opaque() []byte {
	n := d.u32()
	if uint64(n) > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return nil
	}
	v := d.take(int(n))
	d.take((4 - int(n)%4) % 4)
	return v
}

func (d *decoder) str() string { return string(d.opaque()) }
