// Package doctor examines a node and its export, and says what to type where
// something is wrong.
//
//	findings, unasked := doctor.Run(ctx, 10*time.Second, []doctor.Check{
//		{Group: "export", Name: "space", Look: func(ctx context.Context) []doctor.Finding {
//			space, err := fsys.Statfs(ctx)
//			return doctor.Space(space, err)
//		}},
//	})
//
// Looking and deciding are apart: exported functions with a context look, the
// others decide from what was seen and have table tests. A check that does not
// end in time is a finding itself. Package doctor repairs nothing, and changes
// nothing on the export but probe files of its own, which it removes.
//
// A report is about this moment and this node: run it on each node.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/problem"
)

// State is how bad a finding is.
type State string

// The states.
const (
	OK   State = "ok"
	Warn State = "warn" // it works, and will not when something else goes wrong
	Fail State = "fail" // something does not work now
)

// Finding is what one check found.
type Finding struct {
	Group    string `json:"group"`
	Check    string `json:"check"`
	State    State  `json:"state"`
	Evidence string `json:"evidence"`
	// Next is what to type or do; empty where nothing is to be done.
	Next string `json:"next,omitempty"`
}

// Report is what a doctor has to say of a node.
type Report struct {
	Node     string    `json:"node"`
	Version  string    `json:"version,omitempty"` // of the plugin, if it answers
	Findings []Finding `json:"findings"`
	// Unasked are checks that could not run because another one failed.
	Unasked  []string  `json:"not_looked_at"`
	Settings []Setting `json:"settings"`
}

// Count returns how many findings have a state.
func (r *Report) Count(s State) (n int) {
	for _, f := range r.Findings {
		if f.State == s {
			n++
		}
	}
	return n
}

// Add appends findings under a group.
func (r *Report) Add(group string, found ...Finding) {
	for _, f := range found {
		f.Group = group
		r.Findings = append(r.Findings, f)
	}
}

// Check is one thing to look at.
type Check struct {
	Group, Name string
	// Look returns what it found, or nothing if it cannot run, which another
	// check reports. Findings without a name get the check's.
	Look func(ctx context.Context) []Finding
	// Next is what to type if Look does not end in time.
	Next string
}

// patience is how long a check may take beyond its context's end.
const patience = 500 * time.Millisecond

// Run runs all checks at once, for at most limit, and returns the findings in
// the order of the checks. It does not wait for checks that do not end.
func Run(ctx context.Context, limit time.Duration, checks []Check) (found []Finding, unasked []string) {
	all := make([][]Finding, len(checks))
	var wait sync.WaitGroup
	for i, c := range checks {
		wait.Go(func() { all[i] = c.within(ctx, limit) })
	}
	wait.Wait()
	for i, c := range checks {
		for _, f := range all[i] {
			f.Group = c.Group
			if f.Check == "" {
				f.Check = c.Name
			}
			found = append(found, f)
		}
		if len(all[i]) == 0 {
			unasked = append(unasked, c.Name)
		}
	}
	return found, unasked
}

func (c Check) within(ctx context.Context, limit time.Duration) []Finding {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan []Finding, 1)
	go func() { done <- c.Look(ctx) }()
	select {
	case f := <-done:
		return f
	case <-ctx.Done():
	}
	select {
	case f := <-done:
		return f
	case <-time.After(patience):
		return []Finding{fail(c.Next, "no answer within %s", limit)}
	}
}

func ok(format string, args ...any) Finding {
	return Finding{State: OK, Evidence: fmt.Sprintf(format, args...)}
}

func warn(next, format string, args ...any) Finding {
	return Finding{State: Warn, Evidence: fmt.Sprintf(format, args...), Next: next}
}

func fail(next, format string, args ...any) Finding {
	return Finding{State: Fail, Evidence: fmt.Sprintf(format, args...), Next: next}
}

// named gives a finding the name of its check.
func (f Finding) named(check string) Finding {
	f.Check = check
	return f
}

// failed is the finding of an error; next is what to type if the error has no
// hint.
func failed(err error, next string) Finding {
	if next == "" {
		next = "type 'berth doctor' again; berth's log is in journalctl -u docker"
	}
	if e := (*problem.Error)(nil); errors.As(err, &e) {
		if e.Hint != "" {
			next = e.Hint
		}
		return fail(next, "%s", e.Reason)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fail(next, "no answer in time (%v)", err)
	}
	return fail(next, "%v", err)
}

// Failed is the finding of an error, with the error's own hint.
func Failed(err error) Finding { return failed(err, "") }

// some joins the first few of many names.
func some(names []string) string {
	const few = 4
	text := ""
	for i, n := range names {
		if i == few {
			return fmt.Sprintf("%s and %d more", text, len(names)-few)
		}
		if i > 0 {
			text += ", "
		}
		text += n
	}
	return text
}

// count is a number of things.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if what, ok := strings.CutSuffix(what, "y"); ok {
		return fmt.Sprintf("%d %sies", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
