package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/casit/berth/job"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/text"
)

// shown is the progress of a job: one line that is rewritten on a terminal,
// with --json one JSON line a second on stdout, otherwise nothing.
type shown struct {
	app  *app
	last time.Time
	wide int // of what stands on the line
}

func (s *shown) print(p job.Progress) {
	if time.Since(s.last) < 900*time.Millisecond {
		return
	}
	s.last = time.Now()
	switch {
	case s.app.json:
		_ = printJSON(s.app.stdout, p, "")
	case !s.app.quiet && isTerminal(s.app.stderr):
		line := renderProgress(p, s.app.width(s.app.stderr))
		fmt.Fprintf(unescaped(s.app.stderr), "\r%-*s", s.wide, line)
		s.wide = len(line)
	}
}

// clear removes the line.
func (s *shown) clear() {
	if s.wide > 0 {
		fmt.Fprintf(unescaped(s.app.stderr), "\r%*s\r", s.wide, "")
		s.wide = 0
	}
}

// working shows what berth reads for a command that waits for one answer.
func (a *app) working(ctx context.Context, what string) *show.Working {
	if a.json || a.quiet || !isTerminal(a.stderr) {
		return nil
	}
	return show.Work(ctx, unescaped(a.stderr), func(ctx context.Context) string {
		got, err := ask[snapshot.Readings](ctx, a, "Berth.Readings", plugin.Empty{})
		for _, r := range got.Readings {
			if err == nil && r.What == what {
				return fmt.Sprintf("reading: %s after %s", show.Size(r.Bytes), show.Age(time.Since(r.Since).Seconds()))
			}
		}
		return ""
	})
}

// renderProgress says how much is done, how fast, and how long it takes yet.
// Where all of it does not fit into width, the end is left out: a line that the
// terminal breaks cannot be rewritten. width 0 is as wide as it gets.
func renderProgress(p job.Progress, width int) string {
	p.State = job.State(text.Line(string(p.State)))
	line := fmt.Sprintf("%s %s files, %s", p.State, humanize.Comma(p.Files), show.Size(p.Bytes))
	if p.Total > 0 {
		line = fmt.Sprintf("%s %s of %s files, %s of %s", p.State, humanize.Comma(p.Files), humanize.Comma(p.Total), show.Size(p.Bytes), show.Size(p.Of))
	}
	if p.Seconds >= 1 && p.Files > 0 {
		line += fmt.Sprintf(", %s files/s", humanize.Comma(int64(float64(p.Files)/p.Seconds)))
		if left := remaining(p); left > 0 {
			line += fmt.Sprintf(", %s left", show.Age(left))
		}
	}
	if width > 0 && len(line) >= width {
		line = line[:width-1]
	}
	return line
}

// remaining is how many seconds are left: of files or of bytes, whichever is
// further behind.
func remaining(p job.Progress) float64 {
	part := 1.0
	if p.Total > 0 {
		part = float64(p.Files) / float64(p.Total)
	}
	if p.Of > 0 {
		part = min(part, float64(p.Bytes)/float64(p.Of))
	}
	if part <= 0 || part >= 1 {
		return 0
	}
	return p.Seconds * (1 - part) / part
}
