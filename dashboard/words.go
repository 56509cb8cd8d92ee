package dashboard

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"path"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
)

// words are an error's reason, and what to type next.
func words(err error) (reason, hint string) {
	if f := (*plugin.Failure)(nil); errors.As(err, &f) {
		return f.Reason, f.Hint
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "did not answer in time", ""
	}
	return err.Error(), ""
}

// size is a number of bytes in words; -1 is unknown.
func size(bytes int64) string {
	if bytes < 0 {
		return "unknown"
	}
	return humanize.IBytes(uint64(bytes))
}

// count is a number and what is counted.
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + one + "s"
}

// age is a duration in words, rounded down.
func age(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// ahead tells whether a time is in the future: then it has no age, and a zone
// or a clock is wrong.
func ahead(t, now time.Time) bool { return t.Sub(now) > reference.Skew }

// printable tells whether a name can be shown and typed as it is.
func printable(name string) bool { return text.Line(name) == name }

// shown is a name as the page shows it: quoted if it has unprintable
// characters, so that no name can look like another one.
func shown(name string) string {
	if text.Quote(name) == name {
		return name
	}
	if quoted := fmt.Sprintf("%q", name); text.Visible(quoted) == quoted {
		return quoted
	}
	return fmt.Sprintf("%+q", name)
}

// name is a name as a page has it: as shown, and isolated, so that letters that are
// read from the right do not move what stands beside them.
func name(of any) template.HTML { return isolated(shown(fmt.Sprint(of))) }

// said is name for a sentence of somebody else's.
func said(words any) template.HTML { return isolated(text.Line(fmt.Sprint(words))) }

func isolated(escaped string) template.HTML {
	if escaped == "" {
		return ""
	}
	return template.HTML("<bdi>" + template.HTMLEscapeString(escaped) + "</bdi>")
}

// restoreCommand is the command that brings a version back. A single file may
// come back while containers run; for everything else they are stopped. A name
// that cannot be typed comes back with its directory, which is returned.
func restoreCommand(ref reference.Ref, kind string) (command, instead string) {
	for ref.Path != "" && !printable(ref.Path) {
		if ref.Path = path.Dir(ref.Path); ref.Path == "." {
			ref.Path = ""
		}
		kind, instead = "directory", ref.Path
		if instead == "" {
			instead = "the whole volume"
		}
	}
	command = "berth snapshot restore " + text.Word(ref.String())
	if kind != "file" {
		command += " --stop"
	}
	return command, instead
}
