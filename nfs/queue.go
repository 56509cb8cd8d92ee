package nfs

import "net"

// segmentSize is the smallest buffer for queued records, in bytes: many small
// calls fit into it, so that one write sends them.
const segmentSize = 60 << 10

// queue holds copies of the records that wait for a connection's writer: a
// caller that gives a call up may reuse its data at once. The copies use
// buffers of the free list, so that an idle connection keeps none.
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
