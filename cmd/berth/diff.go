package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot"
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
	p := &show.Differences{To: working.Over(a.stdout), Stat: o.stat, Names: o.names || a.quiet, All: o.all, Width: a.width(a.stdout)}
	if a.json {
		p.JSON = func(v any) error { return printJSON(p.To, v, "") }
	}
	lines := json.NewDecoder(in)
	for {
		var d snapshot.Diff
		if err := lines.Decode(&d); err != nil {
			in.Close()
			return errors.Join(<-asked, p.End(err == io.EOF))
		}
		if d.Sides != nil && !p.Names {
			t := a.times()
			working.Clear()
			a.say("%s against %s", side(d.Sides[0], t), side(d.Sides[1], t))
		}
		if err := p.Print(d); err != nil {
			in.CloseWithError(err)
			<-asked
			return err
		}
	}
}

// side names one side of a comparison.
func side(s snapshot.Side, t show.Times) string {
	if s.Snapshot == nil {
		return show.Quoted(s.Name()) + " as it is now"
	}
	return fmt.Sprintf("%s (%s)", show.Quoted(s.Name()), t.Made(*s.Snapshot))
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
	text, err := show.Unified(ctx, difflib.UnifiedDiff{
		A: lines(texts[0]), B: lines(texts[1]), FromFile: titles[0], ToFile: titles[1], Context: 3,
	})
	if err == nil {
		_, err = io.WriteString(a.stdout, text)
	}
	return err
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
