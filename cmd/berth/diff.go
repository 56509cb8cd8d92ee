package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/text"
)

// diffOptions are what `berth snapshot diff` was asked for.
type diffOptions struct {
	snapshot.DiffRequest
	stat, names, all bool
	content          string
}

func diffCommand(a *app) *cobra.Command {
	var o diffOptions
	c := &cobra.Command{
		Use:   "diff REF [REF]",
		Short: "Show what is different between two versions, or between one and now",
		Long: "Show what was done to the first version to make it the second, or the live volume:\n" +
			"+ added, - removed, M content modified, U attributes only, T another kind of file.\n" +
			"Where the server's change times do not prove that two files are equal, both are read; --checksum reads everything.",
		Example:           "  berth snapshot diff blog@yesterday\n  berth snapshot diff blog@yesterday --content wp-config.php\n  berth snapshot diff blog@-2 blog@-1 --stat",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: volumeNames(a),
		RunE: func(c *cobra.Command, args []string) error {
			if o.A = args[0]; len(args) > 1 {
				o.B = args[1]
			}
			if o.content != "" {
				return runContentDiff(c.Context(), a, o)
			}
			return runDiff(c.Context(), a, o)
		},
	}
	c.Flags().BoolVar(&o.stat, "stat", false, "only count")
	c.Flags().BoolVar(&o.names, "name-only", false, "only the paths")
	c.Flags().BoolVar(&o.all, "all", false, "list what is in directories that came or went, too")
	c.Flags().StringVar(&o.content, "content", "", "the lines that differ in this file")
	c.Flags().BoolVar(&o.Checksum, "checksum", false, "read everything, also what is proven to be equal")
	return c
}

// runDiff prints differences as they come.
func runDiff(ctx context.Context, a *app, o diffOptions) error {
	in, out := io.Pipe()
	asked := make(chan error, 1)
	go func() {
		err := a.stream(ctx, "Berth.SnapshotDiff", o.DiffRequest, out)
		out.CloseWithError(err)
		asked <- err
	}()
	working := a.working(ctx, "berth snapshot diff")
	defer working.Stop()
	p := &diffPrinter{w: working.Over(a.stdout), json: a.json, stat: o.stat, names: o.names || a.quiet, all: o.all, width: a.width(a.stdout)}
	lines := json.NewDecoder(in)
	for {
		var d snapshot.Diff
		if err := lines.Decode(&d); err != nil {
			in.Close()
			return errors.Join(<-asked, p.end(err == io.EOF))
		}
		if d.Sides != nil && !p.names {
			t := a.times()
			a.say("%s against %s", side(d.Sides[0], t), side(d.Sides[1], t))
		}
		if err := p.print(d); err != nil {
			in.CloseWithError(err)
			<-asked
			return err
		}
	}
}

// diffPrinter writes one comparison, of which the plugin sends a line at a
// time. What is below a directory that came or went is counted in its line.
type diffPrinter struct {
	w                      io.Writer
	json, stat, names, all bool
	width                  int // 0: as wide as it gets

	dir          *compare.Change // not printed yet
	files, bytes int64           // below dir
	whole        bool            // the last line has come
}

func (p *diffPrinter) print(d snapshot.Diff) error {
	switch {
	case d.Changes != nil:
		p.whole = true
		if err := p.flush(); err != nil || p.names {
			return err
		}
		if p.json {
			return printJSON(p.w, d, "")
		}
		return p.total(d.Changes)
	case d.Change != nil && !p.stat:
		return p.change(d.Change)
	}
	return nil
}

// side names one side of a comparison.
func side(s snapshot.Side, t show.Times) string {
	if s.Snapshot == nil {
		return show.Quoted(s.Name()) + " as it is now"
	}
	return fmt.Sprintf("%s (%s)", show.Quoted(s.Name()), t.Made(*s.Snapshot))
}

func (p *diffPrinter) change(c *compare.Change) error {
	if p.json && !p.names {
		return printJSON(p.w, c, "")
	}
	if p.dir != nil && strings.HasPrefix(c.Name(), p.dir.Name()+"/") && c.Kind == p.dir.Kind {
		p.files++
		p.bytes += sizeOf(c)
		return nil
	}
	if err := p.flush(); err != nil {
		return err
	}
	if file := c.Whole(); !p.all && file != nil && file.Kind == "directory" {
		p.dir, p.files, p.bytes = c, 0, 0
		return nil
	}
	return p.line(c, what(c))
}

// flush prints the directory whose line waited for what is below it.
func (p *diffPrinter) flush() error {
	if p.dir == nil {
		return nil
	}
	c := p.dir
	p.dir = nil
	text := "empty"
	if p.files > 0 {
		text = fmt.Sprintf("%s below, %s", show.Plural(int(p.files), "name"), show.Size(p.bytes))
	}
	return p.line(c, text)
}

func (p *diffPrinter) line(c *compare.Change, said string) error {
	name := c.Name()
	if file := c.Whole(); file != nil && file.Kind == "directory" {
		name += "/"
	}
	if p.names {
		_, err := fmt.Fprintln(p.w, show.Quoted(name))
		return err
	}
	column := 40
	if p.width > 0 {
		column = min(column, max(show.Narrowest, p.width-30))
	}
	_, err := fmt.Fprintln(p.w, text.Line(fmt.Sprintf("%s  %-*s  %s", c.Kind, column, show.Quoted(name), said)))
	return err
}

func (p *diffPrinter) total(c *compare.Changes) error {
	_, err := fmt.Fprintf(p.w, "Added %d (%s)  Modified %d  Attributes %d  Removed %d (%s)  Unchanged %d\n",
		c.Added, show.Size(c.AddedBytes), c.Modified, c.Updated, c.Removed, show.Size(c.RemovedBytes), c.Unchanged)
	if err == nil && c.Disguised > 0 {
		_, err = fmt.Fprintln(p.w, disguised(c.Disguised))
	}
	if err == nil && c.Held > 0 {
		_, err = fmt.Fprintln(p.w, held(c))
	}
	if err == nil && c.KeptOpen > 0 {
		_, err = fmt.Fprintf(p.w, "%s that an NFS client keeps of removed files (.nfs...) left out\n", show.Plural(int(c.KeptOpen), "name"))
	}
	return err
}

// held says how many files nobody could compare.
func held(c *compare.Changes) string {
	return fmt.Sprintf("%s could not be read, and count as modified, the first: %s", show.Plural(int(c.Held), "file"), show.Quoted(c.HeldPaths[0]))
}

// disguised says how many files were changed by somebody who hid it.
func disguised(n int64) string {
	if n == 1 {
		return "1 file was changed and its time put back"
	}
	return fmt.Sprintf("%s files were changed and their times put back", humanize.Comma(n))
}

func (p *diffPrinter) end(complete bool) error {
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
		return show.Size(f.Bytes)
	}
	b, n := c.Before, c.After
	if b == nil || n == nil {
		return c.Fields
	}
	var out []string
	if b.Kind != n.Kind {
		out = append(out, b.Kind+" -> "+n.Kind)
	} else if c.Kind == "M" && b.Bytes != n.Bytes {
		out = append(out, show.Size(b.Bytes)+" -> "+show.Size(n.Bytes))
	} else if c.Kind == "M" {
		out = append(out, show.Size(n.Bytes)+", same size"+map[bool]string{true: ", same time"}[b.Modified.Equal(n.Modified)])
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

// maxContent bounds the files whose lines are compared, in bytes.
const maxContent = 8 << 20

// diffContent prints the lines that differ in one file.
func runContentDiff(ctx context.Context, a *app, o diffOptions) error {
	r, name := o.DiffRequest, o.content
	if r.B == "" {
		r.B, _, _ = strings.Cut(r.A, "@")
		r.B, _, _ = strings.Cut(r.B, ":")
	}
	var texts, titles [2]string
	for i, ref := range []string{r.A, r.B} {
		read := &limited{left: maxContent}
		titles[i] = titled(ctx, a, ref, name)
		err := a.stream(ctx, "Berth.SnapshotCat", plugin.RefRequest{Ref: ref, PathB64: []byte(name)}, read)
		if f := (*plugin.Failure)(nil); err != nil && !(errors.As(err, &f) && f.Kind == problem.NotFound) {
			return err
		}
		texts[i] = read.text.String()
		if strings.ContainsRune(texts[i], 0) || !utf8.ValidString(texts[i]) {
			return &plugin.Failure{Kind: problem.Failed, Reason: titles[i] + " is no text", Hint: "save both with 'berth snapshot cat' and compare them"}
		}
	}
	if texts[0] == texts[1] {
		return &plugin.Failure{Kind: problem.Nothing, Reason: fmt.Sprintf("%s has the same lines in both versions", show.Quoted(name))}
	}
	return difflib.WriteUnifiedDiff(a.stdout, difflib.UnifiedDiff{
		A: lines(texts[0]), B: lines(texts[1]),
		FromFile: titles[0], ToFile: titles[1], Context: 3,
	})
}

// titled is what a version of a file is called. Only the plugin knows where the
// path begins in a reference with colons.
func titled(ctx context.Context, a *app, ref, name string) string {
	if !strings.Contains(ref, ":") {
		return show.Quoted(ref + ":" + name)
	}
	got, err := ask[snapshot.Browsed](ctx, a, "Berth.SnapshotBrowse", snapshot.BrowseRequest{Ref: ref, PathB64: []byte(name), Limit: 1})
	if err != nil {
		return show.Quoted(ref) + " " + show.Quoted(name)
	}
	return show.Quoted(got.Side.Name())
}

// lines splits a text; a last line that does not end says so, as diff(1) does.
func lines(text string) (out []string) {
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			line += "\n\\ No newline at end of file\n"
		}
		out = append(out, line)
	}
	return out
}

// limited is a buffer that refuses too much. The buffer is not embedded: its
// ReadFrom would go round Write.
type limited struct {
	text strings.Builder
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, fmt.Errorf("it is larger than %s; save both with 'berth snapshot cat' and compare them", show.Size(maxContent))
	}
	return l.text.Write(p)
}
