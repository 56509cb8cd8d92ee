package nfstest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// maxRecord is the longest request that the server takes.
const maxRecord = 4 << 20

// Programs (RFC 1813, RFC 1833).
const (
	progPortmap = 100000
	progNFS     = 100003
	progMount   = 100005
)

// accept_stat (RFC 5531 §9).
const (
	acceptProgUnavail  = 1
	acceptProgMismatch = 2
	acceptProcUnavail  = 3
	acceptGarbageArgs  = 4
)

// conn is a client's connection.
type conn struct {
	server *Server
	nc     net.Conn
	number int

	mu   sync.Mutex // guards the fields below, and writes to nc
	late []byte     // records behind the next answer
	out  []byte     // answers to be written
}

// serve answers calls until the connection ends.
func (c *conn) serve() {
	defer c.nc.Close()
	var late sync.WaitGroup // answers that are delayed
	defer late.Wait()
	r := bufio.NewReaderSize(c.nc, 256<<10)
	for {
		if r.Buffered() == 0 {
			c.flush()
		}
		record, err := readRecord(r)
		if err != nil {
			return
		}
		c.handle(record, &late)
	}
}

func readRecord(r io.Reader) ([]byte, error) {
	var record []byte
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, err
		}
		mark := binary.BigEndian.Uint32(head[:])
		n := int(mark &^ (1 << 31))
		if len(record)+n > maxRecord {
			return nil, errors.New("request too long")
		}
		at := len(record)
		record = append(record, make([]byte, n)...)
		if _, err := io.ReadFull(r, record[at:]); err != nil {
			return nil, err
		}
		if mark>>31 == 1 {
			return record, nil
		}
	}
}

// header is the beginning of a call (RFC 5531 §9).
type header struct {
	xid, prog, vers, proc uint32
	cred                  cred
	authSys               bool
}

func parseHeader(d *decoder) (h header) {
	h.xid = d.u32()
	call, version := d.u32(), d.u32()
	h.prog, h.vers, h.proc = d.u32(), d.u32(), d.u32()
	flavour, body := d.u32(), d.opaque()
	d.u32()
	d.opaque() // verifier
	if call != 0 || version != 2 {
		d.bad = true
	}
	h.cred = cred{uid: nobody, gid: nobody}
	if flavour == 1 {
		a := decoder{b: body}
		a.u32()
		a.opaque()
		h.authSys = true
		h.cred.uid, h.cred.gid = a.u32(), a.u32()
		for n := a.u32(); n > 0 && !a.bad; n-- {
			h.cred.gids = append(h.cred.gids, a.u32())
		}
	}
	return h
}

// handle carries a call out and answers it, or does what a fault says.
func (c *conn) handle(record []byte, late *sync.WaitGroup) {
	s := c.server
	d := &decoder{b: record}
	h := parseHeader(d)
	if d.bad {
		c.nc.Close()
		return
	}
	var f Fault
	delay := time.Duration(0)
	if h.prog == progNFS {
		f = s.fault(Call{
			Proc: Proc(h.proc), XID: h.xid, Conn: c.number, Port: c.nc.RemoteAddr().(*net.TCPAddr).Port,
			UID: h.cred.uid, GID: h.cred.gid, GIDs: h.cred.gids,
		})
		s.mu.Lock()
		delay = s.latency
		s.mu.Unlock()
	}
	delay += f.Delay
	if f.Lose {
		if f.Close {
			c.nc.Close()
		}
		return
	}
	reply := s.reply(&h, d, f)
	switch {
	case f.Close:
		c.flush()
		c.nc.Close()
	case f.Drop:
	case delay > 0:
		late.Go(func() {
			time.Sleep(delay)
			c.deliver(reply, f)
			c.flush()
		})
	default:
		c.deliver(reply, f)
	}
}

// reply makes the answer's record behind its mark.
func (s *Server) reply(h *header, d *decoder, f Fault) []byte {
	e := &encoder{b: make([]byte, 0, 512)}
	e.u32(h.xid)
	e.u32(1)
	if f.AuthStat != 0 {
		e.u32(1) // MSG_DENIED
		e.u32(1) // AUTH_ERROR
		e.u32(f.AuthStat)
		return e.b
	}
	e.u32(0) // MSG_ACCEPTED
	e.u32(0) // verifier: AUTH_NONE
	e.u32(0)
	at := len(e.b)
	e.u32(f.AcceptStat)
	if f.AcceptStat != 0 {
		return e.b
	}
	key := fmt.Sprint(h.xid, h.prog, h.proc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.replies[key]; ok {
		return old
	}
	stat := s.call(h, d, e, f)
	if d.bad {
		stat = acceptGarbageArgs
	}
	if stat != 0 {
		e.b = e.b[:at]
		e.u32(stat)
		if stat == acceptProgMismatch {
			e.u32(3)
			e.u32(3)
		}
	}
	if s.replies != nil && f.Status == 0 {
		s.replies[key] = e.b
	}
	return e.b
}

// deliver queues an answer's record, damaged as the fault says.
func (c *conn) deliver(reply []byte, f Fault) {
	if f.WrongXID > 0 {
		reply = append([]byte("????"), reply[4:]...)
		f.Duplicates = f.WrongXID - 1
	}
	record := mark(nil, reply, f.Fragments)
	if f.Trickle > 0 {
		for i := range record {
			time.Sleep(f.Trickle)
			c.mu.Lock()
			_, err := c.nc.Write(record[i : i+1])
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
		return
	}
	cut := false
	switch {
	case f.Short:
		record = mark(nil, reply[:len(reply)/2&^3], 1)
	case f.Truncate:
		record, cut = record[:len(record)/2], true
	case f.Oversize != 0:
		binary.BigEndian.PutUint32(record, 1<<31|f.Oversize)
	}
	for range f.Duplicates {
		record = append(record, mark(nil, reply, 1)...)
	}
	c.mu.Lock()
	if f.Late {
		c.late = append(c.late, record...)
	} else {
		c.out = append(append(c.out, record...), c.late...)
		c.late = nil
	}
	c.mu.Unlock()
	if cut {
		c.flush()
		c.nc.Close()
	}
}

// mark divides a record into fragments (RFC 5531 §11).
func mark(b, record []byte, fragments int) []byte {
	size := (len(record) + max(fragments, 1) - 1) / max(fragments, 1)
	for len(record) > size {
		b = binary.BigEndian.AppendUint32(b, uint32(size))
		b = append(b, record[:size]...)
		record = record[size:]
	}
	b = binary.BigEndian.AppendUint32(b, 1<<31|uint32(len(record)))
	return append(b, record...)
}

// flush writes what is queued.
func (c *conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) > 0 {
		c.nc.Write(c.out) // a client that is gone is noticed by reading
		c.out = c.out[:0]
	}
}
