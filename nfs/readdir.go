package nfs

import (
	"context"
	"strings"
)

// Position is a position in a directory's listing, where one page ends and the next
// begins (RFC 1813 §3.3.16). The zero Position is the beginning. It is good only
// for the directory and the kind of listing that it came from.
type Position struct {
	Cookie   uint64
	Verifier Verifier // cookieverf3
}

// Entry is a name in a directory.
type Entry struct {
	Name   string // any bytes but NUL and slash
	FileID uint64
	Cookie uint64 // the position behind it
	Attr   PostOp // READDIRPLUS only, and not always
	Handle Handle // READDIRPLUS only, and not always: may be zero
}

// Page is a part of a directory's listing.
type Page struct {
	Entries []Entry  // with "." and ".." where the server lists them
	Next    Position // where the next page begins
	EOF     bool     // there is none
	Dir     PostOp   // the directory's attributes
}

// maxListing is the longest record of a page, in bytes; see maxDirBytes.
const maxListing = 2*maxDirBytes + replySlack

// Readdir returns a page of names (RFC 1813 §3.3.16), of about maxBytes.
// StatusBadCookie says that the position is no longer known; List copes with it.
func (c *Client) Readdir(ctx context.Context, dir Handle, from Position, maxBytes uint32) (Page, error) {
	k := c.nfs.begin(procReaddir)
	defer c.nfs.end(k)
	k.handle(&dir)
	k.position(from)
	k.head = appendUint32(k.head, min(maxBytes, maxDirBytes))
	k.limit = maxListing
	r := c.do(ctx, k)
	p := r.page(from, false)
	return p, r.error("readdir", "")
}

// Readdirplus returns a page of names with attributes and handles (RFC 1813
// §3.3.17): about dirBytes of names and cookies, about maxBytes with all.
func (c *Client) Readdirplus(ctx context.Context, dir Handle, from Position, dirBytes, maxBytes uint32) (Page, error) {
	k := c.nfs.begin(procReaddirplus)
	defer c.nfs.end(k)
	k.handle(&dir)
	k.position(from)
	k.head = appendUint32(appendUint32(k.head, min(dirBytes, maxDirBytes)), min(maxBytes, maxDirBytes))
	k.limit = maxListing
	r := c.do(ctx, k)
	p := r.page(from, true)
	return p, r.error("readdirplus", "")
}

func (k *call) position(p Position) {
	k.head = append(appendUint64(k.head, p.Cookie), p.Verifier[:]...)
}

// page is READDIR3res or READDIRPLUS3res. An invalid name, such as one with a
// slash, is a server's fault or an attack: page refuses the answer.
func (r *result) page(from Position, plus bool) (p Page) {
	p.Dir = r.postOp()
	p.Next = from
	if !r.ok() {
		return p
	}
	p.Next.Verifier = r.verifier()
	for r.bool() {
		e := Entry{FileID: r.uint64(), Name: r.string(maxName), Cookie: r.uint64()}
		if plus {
			e.Attr, e.Handle = r.postOp(), r.postOpHandle()
		}
		if r.err == nil && (e.Name == "" || strings.ContainsAny(e.Name, "/\x00")) {
			r.fail("a directory entry named %q", e.Name)
		}
		if r.err != nil {
			return Page{Dir: p.Dir, Next: from}
		}
		if p.Entries == nil {
			p.Entries = make([]Entry, 0, 8+len(r.b)/256)
		}
		p.Entries = append(p.Entries, e)
		p.Next.Cookie = e.Cookie
	}
	p.EOF = r.bool()
	return p
}
