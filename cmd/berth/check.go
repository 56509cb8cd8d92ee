package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot/reference"
)

func checkCommand(a *app) *cobra.Command {
	var limit, warn string
	c := &cobra.Command{
		Use:     "check --max-age AGE",
		Short:   "Say whether the newest snapshot is young enough, for monitoring",
		Long:    "Say whether the newest snapshot is young enough.\nexit codes (as Nagios has them): 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN",
		Example: "  berth snapshot check --max-age 26h",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			max, err := show.ParseAge(limit)
			if err == nil && max == 0 {
				err = &usageError{"--max-age is missing", "for example --max-age 26h"}
			}
			soon, warnErr := show.ParseAge(warn)
			if err = errors.Join(err, warnErr); err != nil {
				return unknown(err)
			}
			return runCheck(c.Context(), a, max, soon)
		},
	}
	c.Flags().StringVar(&limit, "max-age", "", "CRITICAL if the newest snapshot is older: 90m, 26h, 3d")
	c.Flags().StringVar(&warn, "warn-age", "", "WARNING if it is older than this")
	return c
}

func runCheck(ctx context.Context, a *app, max, warn time.Duration) error {
	got, err := ask[plugin.Newest](ctx, a, "Berth.SnapshotNewest", plugin.Empty{})
	if err != nil {
		return unknown(err)
	}
	return judgeAge(got.Snapshot, time.Now(), max, warn)
}

// verdict is a monitoring check's answer: a line on stdout and an exit code of
// its own.
type verdict struct {
	code int
	line string
}

func (v *verdict) Error() string { return v.line }

// unknown is the verdict where an error keeps the check from looking.
func unknown(err error) error {
	_, reason, _ := judge(err)
	return &verdict{3, "UNKNOWN - " + reason}
}

func judgeAge(s *reference.Snapshot, now time.Time, max, warn time.Duration) error {
	if s == nil {
		return &verdict{2, "CRITICAL - the export has no snapshot"}
	}
	if s.Time.IsZero() || s.Approximate {
		why := "set BERTH_ONTAP, or give snapshots names with a time"
		if s.WithoutAPI != "" {
			why = "the filer's API did not answer: " + s.WithoutAPI
		}
		return &verdict{3, fmt.Sprintf("UNKNOWN - nobody says when %s was made; %s", show.Quoted(s.Name), why)}
	}
	if ahead := s.Time.Sub(now); ahead > reference.Skew {
		return &verdict{3, fmt.Sprintf("UNKNOWN - the newest snapshot, %s, is of a time that is %s in the future; set BERTH_TZ to the filer's time zone, and compare the clocks", show.Quoted(s.Name), show.Age(ahead.Seconds()))}
	}
	old := now.Sub(s.Time)
	if old < 0 {
		old = 0 // the clocks differ a little
	}
	// What follows the first | is figures for Nagios.
	name := strings.ReplaceAll(show.Quoted(s.Name), "|", `\x7c`)
	line := fmt.Sprintf("the newest snapshot, %s, is %s old | age=%ds;%d;%d", name, show.Age(old.Seconds()), int(old.Seconds()), int(warn.Seconds()), int(max.Seconds()))
	switch {
	case old > max:
		return &verdict{2, "CRITICAL - " + line}
	case s.Hidden:
		return &verdict{1, "WARNING - hidden, so that nothing can be restored from it ('berth ontap status' prints the commands that show .snapshot): " + line}
	case s.WithoutAPI != "":
		return &verdict{1, fmt.Sprintf("WARNING - its name says so, since the filer's API did not answer (%s): %s", s.WithoutAPI, line)}
	case warn > 0 && old > warn:
		return &verdict{1, "WARNING - " + line}
	}
	return &verdict{0, "OK - " + line}
}
