package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/casit/berth/doctor"
	"github.com/casit/berth/examine"
	"github.com/casit/berth/show"
	"github.com/casit/berth/text"
)

// doctorOptions are the command's flags.
type doctorOptions struct {
	maxAge time.Duration
	url    string
}

func doctorCommand(a *app) *cobra.Command {
	var o doctorOptions
	var limit string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Examine this node and the export, and say what to type where something is wrong",
		Long: `Examine this node and the export, and say what to type where something is wrong. The examination changes nothing; it makes probe
files on the export and removes them. Other nodes are known by their reports only, so run it on each node. Where no plugin answers,
it checks what can be checked without one.

Exit codes (as Nagios has them): 0 all is well, 1 something to look at, 2 something does not work, 3 the node could not be examined`,
		Example: "  berth doctor\n  berth doctor --url https://www.example.edu",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if o.maxAge, err = show.ParseAge(limit); err != nil {
				return unknown(err)
			}
			return runDoctor(c.Context(), a, o)
		},
	}
	c.Flags().StringVar(&limit, "max-age", "26h", "fail if the newest snapshot is older: 90m, 26h, 3d")
	c.Flags().StringVar(&o.url, "url", "", "a site whose .snapshot must not be served, such as https://www.example.edu")
	return c
}

func runDoctor(ctx context.Context, a *app, o doctorOptions) error {
	socket, err := findSocket(a.socket)
	if errors.Is(err, errNotRoot) {
		_, reason, hint := judge(err)
		return &verdict{3, "UNKNOWN - " + reason + "; " + hint}
	}
	report := examine.Node(ctx, examine.Config{Socket: socket, Silent: err, Caller: callerName(), Version: version, Settings: settingsFile(),
		MaxAge: o.maxAge, URL: o.url})
	return showReport(a, &report)
}

// summary is the report's last line.
func summary(r *doctor.Report) string {
	said := fmt.Sprintf("%s: %d ok, %d warn, %d fail", show.Plural(len(r.Findings), "check"), r.Count(doctor.OK), r.Count(doctor.Warn), r.Count(doctor.Fail))
	if len(r.Unasked) > 0 {
		said += "; not looked at, for lack of what they need: " + strings.Join(r.Unasked, ", ")
	}
	return said
}

// examined ends the command with the report's exit code; all has been said.
type examined struct{ code int }

func (e *examined) Error() string { return "something is wrong" }

// showReport prints a report; its worst finding is the exit code.
func showReport(a *app, r *doctor.Report) error {
	var names []string
	for _, f := range r.Findings {
		if f.State != doctor.OK {
			names = append(names, f.Check)
		}
	}
	data := struct {
		*doctor.Report
		Summary map[doctor.State]int `json:"summary"`
	}{r, map[doctor.State]int{doctor.OK: r.Count(doctor.OK), doctor.Warn: r.Count(doctor.Warn), doctor.Fail: r.Count(doctor.Fail)}}
	err := a.show(data, names, func(w io.Writer, width int) error {
		renderReport(w, r, width)
		return nil
	})
	switch {
	case err != nil:
		return err
	case r.Count(doctor.Fail) > 0:
		return &examined{2}
	case r.Count(doctor.Warn) > 0:
		return &examined{1}
	}
	return nil
}

// lineWidth is how long the report's lines are at most, but for what cannot be
// broken.
const lineWidth = 100

// renderReport writes the findings by their groups. Lines are broken at width,
// and at lineWidth where the terminal is wider or there is none.
func renderReport(w io.Writer, r *doctor.Report, width int) {
	if width <= 0 || width > lineWidth {
		width = lineWidth
	}
	column, group := len("CHECK"), ""
	for _, f := range r.Findings {
		column = max(column, len(f.Check))
	}
	indent := strings.Repeat(" ", 6+column+2)
	line := func(state, check, text string) {
		show.Indented(w, fmt.Sprintf("%-6s%-*s  ", state, column, check), text, width)
	}
	line("STATE", "CHECK", "EVIDENCE")
	for _, f := range r.Findings {
		if f.Group != group {
			group = f.Group
			fmt.Fprintln(w, text.Line(group))
		}
		state := string(f.State)
		if f.State == doctor.Fail {
			state = "FAIL"
		}
		line(state, f.Check, show.Sentence(f.Evidence))
		if f.State != doctor.OK && f.Next != "" {
			fmt.Fprintln(w, indent+"next: "+text.Line(f.Next)) // to be copied, so not broken
		}
	}
	fmt.Fprintln(w, strings.Join(show.Wrap(text.Line(summary(r)), width), "\n  "))
}
