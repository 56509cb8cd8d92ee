package show

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/text"
)

// Differences writes one comparison, of which the plugin sends a line at a time. What is
// below a directory that came or went is counted in its line.
type Differences struct {
	To    io.Writer
	JSON  func(v any) error // writes JSON instead; nil for text
	Stat  bool              // only the counts
	Names bool              // only the names
	All   bool              // also what is below a directory that came or went
	Width int               // 0: as wide as it gets

	dir          *compare.Change // not printed yet
	files, bytes int64           // below dir
	whole        bool            // the last line has come
}

// Print writes a line, or keeps it for the line of its directory.
func (p *Differences) Print(d snapshot.Diff) error {
	switch {
	case d.Changes != nil:
		p.whole = true
		if err := p.flush(); err != nil || p.Names {
			return err
		}
		if p.JSON != nil {
			return p.JSON(d)
		}
		return p.total(d.Changes)
	case d.Change != nil && !p.Stat:
		return p.change(d.Change)
	}
	return nil
}

func (p *Differences) change(c *compare.Change) error {
	if p.JSON != nil && !p.Names {
		return p.JSON(c)
	}
	if p.dir != nil && strings.HasPrefix(c.Name(), p.dir.Name()+"/") && c.Kind == p.dir.Kind {
		p.files++
		p.bytes += sizeOf(c)
		return nil
	}
	if err := p.flush(); err != nil {
		return err
	}
	if file := c.Whole(); !p.All && file != nil && file.Kind == "directory" {
		p.dir, p.files, p.bytes = c, 0, 0
		return nil
	}
	return p.line(c, what(c))
}

// flush prints the directory whose line waited for what is below it.
func (p *Differences) flush() error {
	if p.dir == nil {
		return nil
	}
	c := p.dir
	p.dir = nil
	said := "empty"
	if p.files > 0 {
		said = fmt.Sprintf("%s below, %s", Plural(int(p.files), "name"), Size(p.bytes))
	}
	return p.line(c, said)
}

func (p *Differences) line(c *compare.Change, said string) error {
	name := c.Name()
	if file := c.Whole(); file != nil && file.Kind == "directory" {
		name += "/"
	}
	if p.Names {
		_, err := fmt.Fprintln(p.To, Quoted(name))
		return err
	}
	column := 40
	if p.Width > 0 {
		column = min(column, max(Narrowest, p.Width-30))
	}
	_, err := fmt.Fprintln(p.To, text.Line(fmt.Sprintf("%s  %-*s  %s", c.Kind, column, Quoted(name), said)))
	return err
}

func (p *Differences) total(c *compare.Changes) error {
	_, err := fmt.Fprintf(p.To, "Added %d (%s)  Modified %d  Attributes %d  Removed %d (%s)  Unchanged %d\n",
		c.Added, Size(c.AddedBytes), c.Modified, c.Updated, c.Removed, Size(c.RemovedBytes), c.Unchanged)
	if err == nil && c.Disguised > 0 {
		_, err = fmt.Fprintln(p.To, Disguised(c.Disguised))
	}
	if err == nil && c.Held > 0 {
		_, err = fmt.Fprintln(p.To, Held(c))
	}
	if err == nil && c.KeptOpen > 0 {
		_, err = fmt.Fprintf(p.To, "%s that an NFS client keeps of removed files (.nfs...) left out\n", Plural(int(c.KeptOpen), "name"))
	}
	return err
}

// Held says how many files nobody could compare.
func Held(c *compare.Changes) string {
	return fmt.Sprintf("%s could not be read, and count as modified, the first: %s", Plural(int(c.Held), "file"), Quoted(c.HeldPaths[0]))
}

// Disguised says how many files were changed by somebody who hid it.
func Disguised(n int64) string {
	if n == 1 {
		return "1 file was changed and its time put back"
	}
	return fmt.Sprintf("%s files were changed and their times put back", humanize.Comma(n))
}

// End is an error if the comparison is said to be complete, and the counts did not come.
func (p *Differences) End(complete bool) error {
	if complete && !p.whole {
		return errors.New("berth ended the comparison too early; its log says why")
	}
	return nil
}

func sizeOf(c *compare.Change) int64 {
	if f := c.Whole(); f != nil && f.Kind == "file" {
		return f.Bytes
	}
	return 0
}

// what says in which way a name differs.
func what(c *compare.Change) string {
	if f := c.Whole(); f != nil {
		if f.Kind != "file" {
			return f.Kind
		}
		return Size(f.Bytes)
	}
	b, n := c.Before, c.After
	if b == nil || n == nil {
		return c.Fields
	}
	var out []string
	if b.Kind != n.Kind {
		out = append(out, b.Kind+" -> "+n.Kind)
	} else if c.Kind == "M" && b.Bytes != n.Bytes {
		out = append(out, Size(b.Bytes)+" -> "+Size(n.Bytes))
	} else if c.Kind == "M" {
		out = append(out, Size(n.Bytes)+", same size"+map[bool]string{true: ", same time"}[b.Modified.Equal(n.Modified)])
	}
	if b.Mode != n.Mode {
		out = append(out, fmt.Sprintf("mode %04o -> %04o", b.Mode, n.Mode))
	}
	if b.UID != n.UID || b.GID != n.GID {
		out = append(out, fmt.Sprintf("owner %d:%d -> %d:%d", b.UID, b.GID, n.UID, n.GID))
	}
	if out == nil {
		return c.Fields
	}
	return strings.Join(out, ", ")
}
