package nfs

import "net"

// segmentSize is the least that is taken for queued records, in bytes: what
// many small calls fit into, so that one write sends them.
const segmentSize = 60 << 10

// queue holds the records that wait for a connection's writer: copies, since a
// call that is given up takes its data with it while they are being written.
// They lie in buffers of the free list, so that a connection keeps none.
type queue struct {
	size     int // bytes
	segments []segment
}

// segment is a buffer with some records one after the other.
type segment struct {
	data []byte
	in   *[]byte
	from *buffers
}

// add appends a call's record.
func (q *queue) add(k *call) {
	size, last := k.size(), len(q.segments)-1
	if last < 0 || cap(q.segments[last].data)-len(q.segments[last].data) < size {
		in := k.buffers.get(max(size, segmentSize))
		q.segments = append(q.segments, segment{(*in)[:0], in, k.buffers})
		last++
	}
	s := &q.segments[last]
	s.data = k.appendTo(s.data)
	q.size += size
}

// writeTo writes all records.
func (q *queue) writeTo(nc net.Conn) error {
	all := make(net.Buffers, len(q.segments))
	for i, s := range q.segments {
		all[i] = s.data
	}
	_, err := all.WriteTo(nc)
	return err
}

// reset gives the buffers back.
func (q *queue) reset() {
	for i, s := range q.segments {
		s.from.put(s.in)
		q.segments[i] = segment{}
	}
	q.size, q.segments = 0, q.segments[:0]
}
