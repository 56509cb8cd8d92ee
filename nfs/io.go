package nfs

import (
	"context"
	"fmt"
	"io"
	"strconv"
)

// Stable says how safe a WRITE has to be before the server answers, and how
// safe it was (stable_how, RFC 1813 §3.3.7).
type Stable uint32

// The values of Stable.
const (
	Unstable Stable = 0 // in the server's memory: COMMIT makes it last
	DataSync Stable = 1 // the data are on stable storage
	FileSync Stable = 2 // so are the attributes
)

// String returns the name that RFC 1813 gives the value.
func (s Stable) String() string {
	switch s {
	case Unstable:
		return "UNSTABLE"
	case DataSync:
		return "DATA_SYNC"
	case FileSync:
		return "FILE_SYNC"
	}
	return "stable_how " + strconv.FormatUint(uint64(s), 10)
}

// Verifier changes when a server may have lost what it wrote Unstable
// (writeverf3, RFC 1813 §3.3.7).
type Verifier [8]byte

func (d *decoder) verifier() (v Verifier) {
	copy(v[:], d.fixed(len(v)))
	return v
}

// ReadResult is what Read returns.
type ReadResult struct {
	N    int  // bytes read
	EOF  bool // they reach the file's end, also by its size in Attr
	Attr PostOp
}

// Read reads into p at an offset (RFC 1813 §3.3.6), ReadSize bytes at most;
// the server may return fewer before the end of the file.
func (c *Client) Read(ctx context.Context, h Handle, offset uint64, p []byte) (ReadResult, error) {
	p = p[:min(len(p), c.ReadSize())]
	k := c.nfs.begin(procRead)
	defer c.nfs.end(k)
	k.handle(&h)
	k.head = appendUint32(appendUint64(k.head, offset), uint32(len(p)))
	k.limit = len(p) + replySlack
	r := c.do(ctx, k)
	res := r.readRes(offset, p)
	return res, r.error("read", "")
}

func (r *result) readRes(offset uint64, p []byte) ReadResult {
	res, data := r.readData(offset, len(p))
	copy(p, data)
	return res
}

// readData is READ3res, with up to limit bytes that stay where they are.
func (r *result) readData(offset uint64, limit int) (res ReadResult, data []byte) {
	res.Attr = r.postOp()
	if !r.ok() {
		return res, nil
	}
	n := r.uint32()
	res.EOF = r.bool()
	data = r.opaque(limit)
	if r.err == nil && int(n) != len(data) {
		r.fail("%d bytes announced, %d sent", n, len(data))
	}
	if r.err != nil {
		return ReadResult{Attr: res.Attr}, nil
	}
	res.N = len(data)
	if end := offset + uint64(res.N); res.EOF && res.Attr.Present && res.Attr.Size > end {
		// The file has grown since, or the server lies: the next READ tells.
		res.EOF = false
	}
	return res, data
}

// Lent is what ReadLent returns.
type Lent struct {
	ReadResult
	Data []byte // N bytes of the client's; good until Release

	call *call
	from *calls
}

// Release gives the buffer back.
func (l *Lent) Release() { l.from.end(l.call) }

// ReadLent is Read of n bytes without a copy: Data is the reply's own buffer.
// If there was no error, the caller gives the buffer back with Release.
func (c *Client) ReadLent(ctx context.Context, h Handle, offset uint64, n int) (Lent, error) {
	n = min(n, c.ReadSize())
	k := c.nfs.begin(procRead)
	k.handle(&h)
	k.head = appendUint32(appendUint64(k.head, offset), uint32(n))
	k.limit = n + replySlack
	r := c.do(ctx, k)
	res, data := r.readData(offset, n)
	err := r.error("read", "")
	if err != nil {
		c.nfs.end(k)
	}
	return Lent{res, data, k, &c.nfs.calls}, err
}

// ReadAt reads len(p) bytes at an offset with as many calls as it takes, one
// after the other. Like io.ReaderAt it returns fewer only with an error, which
// is io.EOF at the end of the file.
func (c *Client) ReadAt(ctx context.Context, h Handle, p []byte, offset int64) (n int, err error) {
	var tiny tiny
	for n < len(p) {
		at := uint64(offset) + uint64(n)
		res, err := c.Read(ctx, h, at, p[n:])
		n += res.N
		switch {
		case err != nil:
			return n, err
		case res.EOF && n < len(p):
			return n, io.EOF
		case res.N == 0 && !res.EOF:
			return n, &Error{Op: "read", Err: fmt.Errorf("%w: a READ at byte %d of a file of %d brings nothing", io.ErrNoProgress, at, res.Attr.Size)}
		case n < len(p) && tiny.again(res.N):
			return n, &Error{Op: "read", Err: badReply("%d READs in a row bring less than %d bytes", tiny, minTransfer)}
		}
	}
	return n, nil
}

// tiny counts the READs or WRITEs in a row that carried less than any server has to.
type tiny int

// maxTiny is how many there may be: more would take a call for every few bytes.
const maxTiny = 100

// again counts a call that carried n bytes, and tells whether there were too many.
func (t *tiny) again(n int) bool {
	if *t++; n >= minTransfer {
		*t = 0
	}
	return *t >= maxTiny
}

// WriteResult is what Write returns.
type WriteResult struct {
	N         int      // bytes written
	Committed Stable   // how safe they are, at least as asked
	Verifier  Verifier // to be compared with Commit's
	WCC       WCC      // of the file
}

// Write writes p at an offset (RFC 1813 §3.3.7), WriteSize bytes at most; the
// server may write fewer. Store writes a whole file.
func (c *Client) Write(ctx context.Context, h Handle, offset uint64, p []byte, stable Stable) (WriteResult, error) {
	p = p[:min(len(p), c.WriteSize())]
	k := c.nfs.begin(procWrite)
	defer c.nfs.end(k)
	k.handle(&h)
	k.head = appendUint32(appendUint64(k.head, offset), uint32(len(p)))
	k.head = appendUint32(k.head, uint32(stable))
	k.head = appendUint32(k.head, uint32(len(p)))
	k.data = p
	r := c.do(ctx, k)
	res := r.writeRes(len(p), stable)
	return res, r.error("write", "")
}

func (r *result) writeRes(sent int, asked Stable) (res WriteResult) {
	res.WCC = r.wcc()
	if !r.ok() {
		return res
	}
	n := r.uint32()
	res.Committed = Stable(r.uint32())
	res.Verifier = r.verifier()
	if r.err == nil && uint64(n) > uint64(sent) {
		r.fail("%d bytes written of %d", n, sent)
	}
	if r.err == nil && (res.Committed < asked || res.Committed > FileSync) {
		r.fail("stable_how %d where %d was asked for", res.Committed, asked)
	}
	if r.err == nil {
		res.N = int(n)
	}
	return res
}

// Commit puts what was written Unstable on stable storage (RFC 1813 §3.3.21):
// count bytes at an offset, or all to the file's end for count 0. The data are
// safe only if the Verifier is that of the writes.
func (c *Client) Commit(ctx context.Context, h Handle, offset uint64, count uint32) (Verifier, WCC, error) {
	k := c.nfs.begin(procCommit)
	defer c.nfs.end(k)
	k.handle(&h)
	k.head = appendUint32(appendUint64(k.head, offset), count)
	r := c.do(ctx, k)
	v, w := r.commitRes()
	return v, w, r.error("commit", "")
}

func (r *result) commitRes() (v Verifier, w WCC) {
	w = r.wcc()
	if r.ok() {
		v = r.verifier()
	}
	return v, w
}
