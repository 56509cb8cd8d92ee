package nfs

import (
	"encoding/binary"
	"sync"
)

// shortReply is how long the reply's record of a call is, in bytes, that has no
// data and no listing in it: attributes, a handle, a symlink's target.
const shortReply = maxName + replySlack

// maxKeptHead is the longest header and arguments whose buffer a finished call
// keeps for the next.
const maxKeptHead = 8 << 10

// call is one request and its reply. Calls are reused with their buffers. A
// call belongs to the goroutine that makes it, but while it is registered with
// a connection its fields sent, err and reply are that connection's, until
// done receives or forget says that the connection let go of it.
type call struct {
	xid      uint32
	head     []byte  // the record: mark, header, arguments but for data
	data     []byte  // the rest of the arguments; the caller's bytes
	reply    []byte  // the reply's record behind the xid
	long     *[]byte // of buffers, where reply is if it is long
	buffers  *buffers
	err      error         // why there is no reply
	done     chan struct{} // receives once per registration
	sent     int           // how often the request went out under this xid
	tick     int           // the connection's tick when it was last sent
	limit    int           // bytes that the reply's record may have
	ignored  int           // sendings that a server did not answer while it answered others
	cuts     int           // connections that ended by the server's fault, not for being away
	replayed bool          // it went out more than once, under any one xid
	leaked   bool          // a connection may still write into it: not to be reused
}

// size is the length of the request's record with its mark.
func (k *call) size() int { return len(k.head) + len(k.data) + padding(len(k.data)) }

// appendTo appends the request's record.
func (k *call) appendTo(b []byte) []byte {
	setMark(k.head, len(k.data)+padding(len(k.data)))
	b = append(b, k.head...)
	b = append(b, k.data...)
	return appendPadding(b, len(k.data))
}

// renew gives the call a new xid: from now on it is another request.
func (k *call) renew(xid uint32) {
	k.xid, k.sent, k.err = xid, 0, nil
	k.ignored, k.cuts = 0, 0
	binary.BigEndian.PutUint32(k.head[offsetXID:], xid)
}

// room returns an empty slice for a reply of n bytes.
func (k *call) room(n int) []byte {
	switch {
	case k.long != nil && n <= len(*k.long):
		return (*k.long)[:0]
	case n <= keptReply:
		return k.reply[:0]
	}
	k.drop()
	k.long = k.buffers.get(n)
	return (*k.long)[:0]
}

// drop gives a long reply's buffer back.
func (k *call) drop() {
	if k.long != nil {
		k.buffers.put(k.long)
		k.long, k.reply = nil, nil
	}
}

// lose says that the connection was lost, for the error err: the call goes out again,
// unless it was the server's fault too often.
func (k *call) lose(err error, fault bool) {
	k.err = errLost
	if !fault {
		return
	}
	if k.cuts++; k.cuts == maxCuts {
		k.err = badReply("the answer broke off %d times: %v", maxCuts, err)
	}
}

// calls is a free list of calls with the header of one program's calls.
type calls struct {
	header  []byte
	pool    sync.Pool
	buffers buffers
}

// begin returns a call of the given procedure, to be given to end.
func (c *calls) begin(proc uint32) *call {
	k, _ := c.pool.Get().(*call)
	if k == nil {
		k = &call{done: make(chan struct{}, 1), buffers: &c.buffers}
	}
	k.head = append(k.head[:0], c.header...)
	binary.BigEndian.PutUint32(k.head[offsetProc:], proc)
	k.data, k.reply, k.replayed = nil, k.reply[:0], false
	k.limit = shortReply
	return k
}

// end takes a call back; what was decoded by reference is no longer valid.
func (c *calls) end(k *call) {
	if k.leaked {
		return
	}
	k.drop()
	if cap(k.reply) > keptReply || cap(k.head) > maxKeptHead {
		return
	}
	k.data = nil
	c.pool.Put(k)
}
