package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/show"
	"github.com/casit/berth/text"
)

// app is one invocation: its streams and global flags. What it has methods for
// is the terminal and the socket; what a command does is in the command's file.
// Streams are text.Writers, so that no command prints what a terminal would obey.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	socket string
	json   bool
	quiet  bool
	utc    bool
}

// ask sends one request to the running plugin.
func ask[Resp any](ctx context.Context, a *app, route string, req any) (Resp, error) {
	var resp Resp
	c, err := a.client()
	if err == nil {
		err = c.Call(ctx, route, req, &resp)
	}
	return resp, err
}

// client asks the plugin, in the name and in the time zone of the person here.
func (a *app) client() (*plugin.Client, error) {
	socket, err := findSocket(a.socket)
	if err != nil {
		return nil, err
	}
	c := plugin.NewClient(socket, callerName())
	_, c.Zone = a.zone()
	return c, nil
}

// stream sends one request and copies the answer's data to w.
func (a *app) stream(ctx context.Context, route string, req any, w io.Writer) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	return c.Stream(ctx, route, req, w)
}

// callerName names the person at the terminal for the audit trail: under sudo
// the one who typed sudo.
func callerName() string {
	if who := os.Getenv("SUDO_USER"); who != "" {
		return who
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// zone is the one in which times are typed and printed, and how the plugin is
// told.
func (a *app) zone() (*time.Location, string) {
	if a.utc {
		return time.UTC, "UTC"
	}
	return show.ZoneHere(os.LookupEnv, "/etc/localtime")
}

// times prints times for the person here.
func (a *app) times() show.Times {
	zone, _ := a.zone()
	return show.Times{Zone: zone, UTC: a.utc, Now: time.Now()}
}

// confirm lets a person on a terminal agree to what cannot be taken back;
// elsewhere --yes has to be given.
func (a *app) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	in, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return &usageError{question + "? Nobody is here to answer", "add --yes, or --dry-run to see what would happen"}
	}
	fmt.Fprintf(a.stderr, "%s? [y/N] ", text.Line(question))
	line, _ := bufio.NewReader(in).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return &plugin.Failure{Kind: problem.Failed, Reason: "nothing was changed"}
	}
	return nil
}

// show prints a command's data in the way that was asked for: as JSON, one id a
// line, or as draw draws it.
func (a *app) show(data any, ids []string, draw func(w io.Writer, width int) error) error {
	switch {
	case a.json:
		return a.printJSON(data)
	case a.quiet:
		return a.ids(ids)
	}
	return draw(a.stdout, a.width(a.stdout))
}

// ids prints one a line, for -q.
func (a *app) ids(ids []string) error {
	for _, id := range ids {
		if _, err := fmt.Fprintln(a.stdout, show.Quoted(id)); err != nil {
			return err
		}
	}
	return nil
}

// done prints the outcome of a change: the name with -q, a sentence otherwise.
func (a *app) done(name, what string) error {
	return a.show(map[string]string{"name": name, "done": what}, []string{name}, func(w io.Writer, _ int) error {
		_, err := fmt.Fprintf(w, "%s: %s\n", show.Quoted(name), text.Message(what))
		return err
	})
}

// say tells the person at the terminal what is no data.
func (a *app) say(format string, args ...any) {
	if !a.quiet && !a.json {
		fmt.Fprintln(a.stderr, text.Message("berth: "+fmt.Sprintf(format, args...)))
	}
}

// printJSON prints v as the command's data.
func (a *app) printJSON(v any) error {
	return printJSON(a.stdout, v, "  ")
}

// printJSON prints JSON. Characters that would harm a terminal are escaped; the
// JSON means the same.
func printJSON(w io.Writer, v any, indent string) error {
	var raw bytes.Buffer
	enc := json.NewEncoder(&raw)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	var out strings.Builder
	for _, r := range raw.String() {
		if r == '\n' || text.Visible(string(r)) == string(r) {
			out.WriteRune(r)
			continue
		}
		for _, half := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, half)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// unescaped is a stream for what is not for people to read: a file's bytes.
func unescaped(stream io.Writer) io.Writer {
	if w, ok := stream.(*text.Writer); ok {
		return w.W
	}
	return stream
}

// isTerminal tells whether a person looks at a stream.
func isTerminal(stream io.Writer) bool {
	f, ok := unescaped(stream).(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is how many columns the terminal has on which a stream is looked at, 0
// where nobody looks: lines are then as long as they are.
func (a *app) width(stream io.Writer) int {
	if !isTerminal(stream) {
		return 0
	}
	columns, _, err := term.GetSize(int(unescaped(stream).(*os.File).Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// dangerous adds the flags of commands that replace or destroy data.
func dangerous(c *cobra.Command, yes, dry *bool) {
	c.Flags().BoolVarP(yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVarP(dry, "dry-run", "n", false, "only say what would happen")
}

// volumeNames completes the names of volumes.
func volumeNames(a *app) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx := c.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		got, err := ask[plugin.Names](ctx, a, "Berth.VolumeNames", plugin.Empty{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return got.Names, cobra.ShellCompDirectiveNoFileComp
	}
}
