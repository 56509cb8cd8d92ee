package nfs

import "sync"

// keptReply is the longest reply, in bytes, whose buffer stays with its call:
// attributes, and what most directories hold.
const keptReply = 4 << 10

// buffers is a free list of byte slices, by size: a reply's is taken when the
// reply begins to arrive and given back when it has been decoded, so that there
// are few of them however many calls are in flight.
type buffers struct {
	classes [8]sync.Pool // *[]byte of 16 KiB, 32 KiB, … 2 MiB, and replySlack
}

// class is the index of the smallest buffers that hold n bytes, and their size.
func (b *buffers) class(n int) (i, size int) {
	for size = 16 << 10; size+replySlack < n && i < len(b.classes); i++ {
		size <<= 1
	}
	return i, size + replySlack
}

// get returns a buffer of n bytes at least.
func (b *buffers) get(n int) *[]byte {
	i, size := b.class(n)
	if i == len(b.classes) {
		size = n
	} else if p, ok := b.classes[i].Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, size)
	return &p
}

func (b *buffers) put(p *[]byte) {
	if i, size := b.class(len(*p)); i < len(b.classes) && size == len(*p) {
		b.classes[i].Put(p)
	}
}
