package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/text"
)

// changesAPage is how many differences are shown; the rest is counted.
const changesAPage = 500

// diffPage shows the changes since a snapshot.
type diffPage struct {
	version
	Sides   []snapshot.Side
	Changes []*change
	More    int
	Totals  *compare.Changes // nil: the comparison was not completed
	Stopped string           // why it was not
	Removed bool             // the volume, or the path in it, does not exist any more
	Command string
	file    bool // one file is compared, and not a directory
}

// At is the version of what a change names.
func (p *diffPage) At(c *change) version {
	if p.file {
		return p.version
	}
	return p.Below(c.Name())
}

// change is one line: a name, or a whole directory that was added or removed.
type change struct {
	*compare.Change
	Dir   bool
	Below int   // names in the directory
	Bytes int64 // of its files
}

// kinds are the marks of a comparison in words.
var kinds = map[string]string{"+": "added", "-": "removed", "M": "modified", "U": "attributes", "T": "another kind"}

// Word is what happened.
func (c *change) Word() string { return kinds[c.Kind] }

// Symbol is the mark, typographically.
func (c *change) Symbol() string {
	if c.Kind == "-" {
		return "−"
	}
	return c.Kind
}

// Text says in which way it changed.
func (c *change) Text() string {
	b, n := c.Before, c.After
	switch f := c.Whole(); {
	case f != nil && c.Dir && c.Below > 0:
		return fmt.Sprintf("directory, %s below, %s", count(c.Below, "name"), size(c.Bytes))
	case f != nil && c.Dir:
		return "directory, empty"
	case f != nil && f.Kind != "file":
		return f.Kind
	case f != nil:
		return size(f.Bytes)
	case b == nil || n == nil:
		return c.Fields
	case b.Kind != n.Kind:
		return b.Kind + " → " + n.Kind
	case c.Kind == "M" && b.Bytes != n.Bytes:
		return size(b.Bytes) + " → " + size(n.Bytes)
	case c.Kind == "M":
		if b.Modified.Equal(n.Modified) {
			return size(n.Bytes) + ", same size, same time"
		}
		return size(n.Bytes) + ", same size"
	}
	return strings.TrimSpace(c.Fields)
}

// add takes one difference. Names below an added or removed directory are
// counted in the directory's line.
func (p *diffPage) add(c *compare.Change) {
	if n := len(p.Changes); n > 0 && p.More == 0 {
		if d := p.Changes[n-1]; d.Dir && d.Kind == c.Kind && strings.HasPrefix(c.Name(), d.Name()+"/") {
			d.Below++
			if f := c.Whole(); f.Kind == "file" {
				d.Bytes += f.Bytes
			}
			return
		}
	}
	if len(p.Changes) == changesAPage {
		p.More++
		return
	}
	line := &change{Change: c}
	line.Dir = line.Whole() != nil && line.Whole().Kind == "directory"
	p.Changes = append(p.Changes, line)
}

func (s *Server) diff(w http.ResponseWriter, r *http.Request) {
	v := versionOf(r)
	ctx, cancel := withLimit(r, walkLimitOfPage)
	defer cancel()
	leave, ok := s.walks.enter(ctx, s.clientOf(r))
	if !ok {
		s.fail(w, r, http.StatusServiceUnavailable, "two other comparisons are under way", "try again in a moment, or 'berth snapshot diff "+text.Word(v.ref().String())+"'")
		return
	}
	defer leave()
	got, err := s.browse(ctx, v, "", 1)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	p := diffPage{version: v, Sides: []snapshot.Side{got.Side}, file: got.File.Kind != "directory", Command: "berth snapshot diff " + text.Word(v.ref().String())}
	compared := false
	err = s.cfg.Berth.Diff(ctx, snapshot.DiffRequest{A: v.ref().String(), ExactA: v.exact()}, func(d snapshot.Diff) error {
		switch {
		case d.Sides != nil:
			compared = true
		case d.Change != nil:
			p.add(d.Change)
		case d.Changes != nil:
			p.Totals = d.Changes
		}
		return nil
	})
	switch {
	case err != nil && compared && errors.Is(ctx.Err(), context.DeadlineExceeded):
		p.Stopped = fmt.Sprintf("the comparison takes longer than %s", age(walkLimitOfPage))
	case err != nil && codeOf(err) == http.StatusNotFound:
		p.Removed = true // the snapshot has it, so it is the volume that has not
	case err != nil:
		s.failed(w, r, err)
		return
	case p.Totals == nil:
		p.Stopped = "berth ended the comparison too early, and its log says why"
	}
	s.show(w, r, http.StatusOK, "diff", page{Title: "Changes since " + titleOf(v), Body: &p})
}
