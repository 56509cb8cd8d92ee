package nfs

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync/atomic"
)

// maxRestarts bounds how often a listing begins again without a new name.
const maxRestarts = 20

// Errors of a server whose listing does not come to an end.
var (
	errEndless = errors.New("the listing of the directory does not end: the server repeats itself")
	errRestart = errors.New("the server lost the place in a directory that is too large to begin again")
)

// maxSmallPages is how many pages may have one name each, or names that are known.
const maxSmallPages = 1000

// maxRemembered is how many names the listings of a client remember at a time, to
// know them again: about 10 MB. What is listed beyond it is not known again.
const maxRemembered = 256 << 10

// List calls fn for each entry of a directory but "." and "..", each name once,
// with attributes and handle, page by page (READDIRPLUS, RFC 1813 §3.3.17); fn
// may keep the entry. What the server leaves out is looked up. An error of fn
// ends the listing and is returned.
//
// A listing is no snapshot: names that come and go meanwhile may or may not be
// in it. When the server no longer knows the position (StatusBadCookie) the listing begins
// again, without the names that fn has seen. For that the client remembers a quarter of a
// million names; in a larger directory a lost position is an error, and a name that
// a server lists twice comes twice. Config.MaxEntries bounds what is listed.
func (c *Client) List(ctx context.Context, dir Handle, fn func(*Entry) error) error {
	_, err := c.Listing(ctx, dir, fn)
	return err
}

// Listing is List, and returns what the directory was at the end of it, if the
// server says so.
func (c *Client) Listing(ctx context.Context, dir Handle, fn func(*Entry) error) (now PostOp, err error) {
	size := uint32(min(c.ReadSize(), maxDirBytes))
	if size < 8<<10 {
		size = 8 << 10
	}
	plus := true
	err = c.list("readdirplus", func(from Position) (p Page, err error) {
		defer func() { now = p.Dir }()
		if plus {
			p, err = c.Readdirplus(ctx, dir, from, size, size)
			if plus = StatusOf(err) != StatusNotSupp; plus {
				return p, err
			}
		}
		return c.Readdir(ctx, dir, from, size)
	}, func(e *Entry) error {
		if !e.Attr.Present || e.Handle.IsZero() {
			res, err := c.Lookup(ctx, dir, e.Name)
			if StatusOf(err) == StatusNoEnt {
				return nil // it went away meanwhile
			}
			if err == nil && !res.Attr.Present {
				res.Attr.Attr, err = c.Getattr(ctx, res.Object)
				res.Attr.Present = true
				if StatusOf(err) == StatusStale {
					return nil
				}
			}
			if err != nil {
				return err
			}
			e.Handle, e.Attr = res.Object, res.Attr
		}
		return fn(e)
	})
	return now, err
}

// ListNames is List with names and file ids alone (READDIR, RFC 1813 §3.3.16).
func (c *Client) ListNames(ctx context.Context, dir Handle, fn func(*Entry) error) error {
	return c.list("readdir", func(from Position) (Page, error) {
		return c.Readdir(ctx, dir, from, maxDirBytes/2)
	}, fn)
}

// list goes through pages.
func (c *Client) list(op string, page func(Position) (Page, error), fn func(*Entry) error) error {
	seen := names{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, all: &c.listed}
	defer seen.drop()
	var loop cycle
	restarts, entries, pages, known := 0, 0, 0, 0
	for from := (Position{}); ; {
		p, err := page(from)
		if StatusOf(err) == StatusBadCookie && from != (Position{}) && restarts < maxRestarts {
			if seen.full {
				return &Error{Op: op, Err: errRestart}
			}
			restarts++
			from, loop = Position{}, cycle{}
			continue
		}
		if err != nil {
			return err
		}
		for i := range p.Entries {
			e := &p.Entries[i]
			if e.Name == "." || e.Name == ".." {
				continue
			}
			if !seen.add(e.Name) {
				known++
				continue
			}
			restarts, known = 0, 0
			if err := fn(e); err != nil {
				return err
			}
		}
		if p.EOF {
			return nil
		}
		pages, entries = pages+1, entries+len(p.Entries)
		if entries > c.entries || pages > maxSmallPages && entries < 2*pages {
			return &Error{Op: op, Err: fmt.Errorf("the listing of the directory does not end: %d names so far", entries)}
		}
		// A listing that began again brings the names that are known once more.
		if loop.visits(p.Next.Cookie) || len(p.Entries) == 0 || known > len(seen.set)+maxSmallPages {
			return &Error{Op: op, Err: errEndless}
		}
		from = p.Next
	}
}

// names is a set of names. It keeps a sum of 128 bits of each name instead of
// its bytes: two names of one directory practically never have the same sum.
type names struct {
	seeds [2]maphash.Seed
	set   map[[2]uint64]struct{}
	all   *atomic.Int64 // names in all sets
	full  bool          // some name is not in the set
}

// add adds a name; false if it is there already. There is no room for more than
// maxRemembered names in all sets.
func (n *names) add(name string) bool {
	key := [2]uint64{maphash.String(n.seeds[0], name), maphash.String(n.seeds[1], name)}
	if _, ok := n.set[key]; ok {
		return false
	}
	if n.set == nil {
		n.set = make(map[[2]uint64]struct{})
	}
	if n.all.Add(1) > maxRemembered {
		n.all.Add(-1)
		n.full = true
		return true
	}
	n.set[key] = struct{}{}
	return true
}

// drop makes room for the names of others.
func (n *names) drop() { n.all.Add(-int64(len(n.set))) }

// cycle notices a sequence that runs in a circle, however long, in the space of
// one value: it remembers the last one whose position is a power of two.
type cycle struct {
	mark     uint64
	position uint64
}

// visits takes the next value; true if the sequence has come round.
func (c *cycle) visits(v uint64) bool {
	again := c.position > 0 && v == c.mark
	if c.position&(c.position-1) == 0 {
		c.mark = v
	}
	c.position++
	return again
}
