package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/several"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
	"github.com/casit/berth/volume"
)

func (a *app) snapshotCommand() *cobra.Command {
	return group("snapshot", "Versions of volumes: list, compare, read, bring back",
		a.snapshotLs(), a.snapshotCreate(), a.snapshotRm(), a.snapshotDiff(), a.snapshotVersions(), a.snapshotCat(),
		a.snapshotRestore(), a.snapshotUndo(), a.snapshotCheck())
}

func (a *app) snapshotLs() *cobra.Command {
	var r snapshot.ListRequest
	c := &cobra.Command{
		Use:               "ls VOLUME | --stack STACK",
		Short:             "List the versions of a volume, newest first",
		Example:           "  berth snapshot ls blog --changes\n  berth snapshot ls --stack shop",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeVolumes,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				r.Volume = args[0]
			}
			if (r.Volume == "") == (r.Stack == "") {
				return &usageError{"name a volume, or a stack with --stack", "'berth ls' lists the volumes"}
			}
			got, err := ask[plugin.Listings](c.Context(), a, "Berth.SnapshotList", r)
			if err != nil {
				return err
			}
			return a.printListings(got.Volumes, r)
		},
	}
	c.Flags().StringVar(&r.Stack, "stack", "", "all volumes of this stack")
	c.Flags().BoolVar(&r.Changes, "changes", false, "compare each version with the one before and with now; walks the volume")
	return c
}

func (a *app) printListings(all []snapshot.Listing, r snapshot.ListRequest) error {
	if a.json {
		return a.printJSON(all)
	}
	heading := []string{"SNAPSHOT", "TIME", "AGE", "ORIGIN"}
	if r.Stack != "" {
		heading = append([]string{"VOLUME"}, heading...)
	}
	sized := slices.ContainsFunc(all, func(l snapshot.Listing) bool {
		return slices.ContainsFunc(l.Versions, func(v snapshot.Version) bool { return v.SizeBytes > 0 })
	})
	if sized {
		heading = append(heading, "SIZE")
	}
	if r.Changes {
		heading = append(heading, "CHANGED", "AGAINST NOW")
	}
	var ids []string
	var rows [][]string
	now := time.Now()
	for _, l := range all {
		for i := 0; i < len(l.Versions); i++ {
			v := l.Versions[i]
			ids = append(ids, l.Volume+"@"+v.Name)
			row := []string{quoted(v.Name), a.snapTime(v.Snapshot), since(v.Time, now), v.Origin}
			if r.Stack != "" {
				row = append([]string{l.Volume}, row...)
			}
			if sized {
				row = append(row, size(v.SizeBytes))
			}
			if r.Changes {
				row = append(row, brief(v.Before), brief(v.Live))
			}
			rows = append(rows, row)
			same := 0
			for ; r.Changes && v.Before != nil && !v.Before.Any() && i+1 < len(l.Versions); same++ {
				i++
				v = l.Versions[i]
				ids = append(ids, l.Volume+"@"+v.Name)
			}
			if same > 0 {
				rows = append(rows, []string{fmt.Sprintf("(and %d older, down to %s, with nothing changed)", same, quoted(v.Name))})
			}
		}
	}
	if a.quiet {
		return a.ids(ids)
	}
	if len(rows) > 0 {
		if err := a.table(heading, rows); err != nil {
			return err
		}
	}
	for _, l := range all {
		for _, v := range l.Versions {
			if v.Live != nil && v.Live.Disguised > 0 {
				a.say("against %s@%s %s", l.Volume, v.Name, disguised(v.Live.Disguised))
				break
			}
		}
		if l.Deleted {
			a.say("volume %s is not on the export any more; these versions bring it back", l.Volume)
		}
		if len(l.Versions) == 0 {
			a.say("no snapshot has volume %s yet", l.Volume)
		}
	}
	if len(all) > 0 {
		a.sayHow(all[0])
	}
	return nil
}

// sayHow says who makes the snapshots, and what is planned.
func (a *app) sayHow(l snapshot.Listing) {
	switch {
	case l.How == snapshot.ByBerth:
		a.say("these are copies that berth made on this disk, file by file: no filer's instant, and no backup")
	case l.Policy != nil:
		next := ""
		for i, t := range l.Policy.Next {
			next += map[bool]string{true: "; next ", false: ", "}[i == 0] + a.stamp(t)
		}
		a.say("the filer makes them by its policy %s%s", l.Policy.Text, next)
	}
	for _, v := range l.Versions {
		if v.Approximate {
			a.say("~ is the time of the last change before it: nobody says when the snapshot was made")
			return
		}
	}
}

// say tells the person at the terminal what is no data.
func (a *app) say(format string, args ...any) {
	if !a.quiet && !a.json {
		fmt.Fprintln(a.stderr, text.Visible("berth: "+fmt.Sprintf(format, args...)))
	}
}

// snapTime is a snapshot's time, marked where it is a guess.
func (a *app) snapTime(s reference.Snapshot) string {
	if s.Approximate && !s.Time.IsZero() {
		return "~" + a.stamp(s.Time)
	}
	return a.stamp(s.Time)
}

// made says when a snapshot was made, and how long ago.
func (a *app) made(s reference.Snapshot) string {
	if s.Time.IsZero() {
		return "nobody says when it was made"
	}
	return a.snapTime(s) + ", " + ago(s.Time, time.Now())
}

// brief is what changed, in a cell: "+12 -1 M3 U2".
func brief(c *snapshot.Changes) string {
	if c == nil {
		return ""
	}
	var out []string
	for _, n := range []struct {
		mark  string
		count int64
	}{{"+", c.Added}, {"-", c.Removed}, {"M", c.Modified}, {"U", c.Updated}} {
		if n.count > 0 {
			out = append(out, fmt.Sprintf("%s%d", n.mark, n.count))
		}
	}
	if out == nil {
		return "nothing"
	}
	return strings.Join(out, " ")
}

func (a *app) snapshotCreate() *cobra.Command {
	var r snapshot.CreateRequest
	c := &cobra.Command{
		Use:   "create [VOLUME...]",
		Short: "Make a snapshot now: on a filer of the whole export, at one instant",
		Long: "Make a snapshot now. On a filer it is an instant of the whole export, whatever is named. On a local directory\n" +
			"berth copies the named volumes, or all.",
		Example:           "  berth snapshot create --name before-update\n  berth snapshot create --stack shop --comment 'ticket 4711'",
		ValidArgsFunction: a.completeVolumes,
		RunE: func(c *cobra.Command, args []string) error {
			if r.Volumes = args; r.Stack != "" && len(args) > 0 {
				return &usageError{"--stack and volumes exclude each other", "give one of them"}
			}
			got, err := ask[snapshot.Created](c.Context(), a, "Berth.SnapshotCreate", r)
			if err != nil {
				return err
			}
			if err := a.printCreated(&got); err != nil {
				return err
			}
			return withoutAll(&got)
		},
	}
	c.Flags().StringVar(&r.Name, "name", "", "the snapshot's name; default: berth. and the time")
	c.Flags().StringVar(&r.Comment, "comment", "", "why it was made")
	c.Flags().StringVar(&r.Stack, "stack", "", "the volumes of this stack")
	return c
}

func (a *app) printCreated(c *snapshot.Created) error {
	if a.json {
		return a.printJSON(c)
	}
	what := fmt.Sprintf("an instant of the whole export, a version of all %s", plural(c.Volumes, "volume"))
	if c.By == snapshot.ByBerth {
		what = fmt.Sprintf("%s of %s (%s, %s): a plain directory, so no filer's instant",
			map[string]string{"copy": "a copy", "reflink": "a copy that shares its blocks", "btrfs": "an instant"}[c.Method], plural(c.Volumes, "volume"), plural(int(c.Files), "file"), size(c.Bytes))
		if c.Method == "btrfs" {
			what = fmt.Sprintf("an instant of the whole directory (btrfs), a version of %s", plural(c.Volumes, "volume"))
		}
	}
	for _, lost := range []struct {
		n        int64
		one, all string
		first    []string
	}{
		{c.Changed, "1 file changed while it was copied and may be torn", "%d files changed while they were copied, and may be torn", c.ChangedPaths},
		{c.Absent, "1 file was removed while it was made and is not in it", "%d files were removed while it was made: they are not in it", c.AbsentPaths},
		{c.Missing, "1 file could not be copied and is not in it", "%d files could not be copied: they are not in it", c.MissingPaths},
	} {
		if lost.n > 0 {
			a.say("%s", lossOf(lost.n, lost.one, lost.all, lost.first))
		}
	}
	if a.quiet {
		return a.ids([]string{c.Snapshot.Name})
	}
	return a.done(c.Snapshot.Name, what)
}

// lossOf says how much a snapshot has not as it was, and names the first.
func lossOf(n int64, one, all string, first []string) string {
	text := one
	if n > 1 {
		text = fmt.Sprintf(all, n)
	}
	switch {
	case len(first) > 0 && n == 1:
		text += ": " + quoted(first[0])
	case len(first) > 0:
		text += ", the first: " + quoted(first[0])
	}
	return text
}

// withoutAll is the error of a snapshot that some volumes are not in.
func withoutAll(c *snapshot.Created) error {
	if len(c.Failed) == 0 {
		return nil
	}
	var each []string
	for _, f := range c.Failed {
		each = append(each, f.Volume+": "+f.Reason)
	}
	what := plural(len(c.Failed), "volume") + " could not be copied and are not"
	if len(c.Failed) == 1 {
		what = "1 volume could not be copied and is not"
	}
	return &plugin.Failure{Kind: problem.Failed, Reason: fmt.Sprintf("%s in snapshot %s: %s", what, c.Snapshot.Name, several.Join(each, "; "))}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (a *app) snapshotRm() *cobra.Command {
	var yes, dry bool
	c := &cobra.Command{
		Use:     "rm SNAPSHOT...",
		Short:   "Remove snapshots for good; each is a version of many volumes",
		Example: "  berth snapshot rm before-update --dry-run",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := ask[plugin.Removals](c.Context(), a, "Berth.SnapshotRemove", snapshot.RemoveRequest{Names: args, DryRun: true})
			if err != nil {
				return removal(err, args)
			}
			if dry {
				return a.printRemovals(plan.Removed, "would be removed")
			}
			if !yes {
				for _, r := range plan.Removed {
					a.say("%s of %s is the version of %s", quoted(r.Snapshot.Name), a.snapTime(r.Snapshot), plural(len(r.Volumes), "volume"))
				}
			}
			if err := a.confirm(yes, fmt.Sprintf("Remove %s for good", plural(len(plan.Removed), "snapshot"))); err != nil {
				return err
			}
			got, err := ask[plugin.Removals](c.Context(), a, "Berth.SnapshotRemove", snapshot.RemoveRequest{Names: args})
			if err != nil {
				return err
			}
			return a.printRemovals(got.Removed, "removed")
		},
	}
	a.dangerous(c, &yes, &dry)
	return c
}

// removal explains why snapshots cannot be removed: a name may have an @ in it,
// and one that is not there is more likely meant as VOLUME@SNAPSHOT.
func removal(err error, names []string) error {
	if f := (*plugin.Failure)(nil); !errors.As(err, &f) || f.Kind != problem.NotFound {
		return err
	}
	for _, name := range names {
		if vol, snap, ok := strings.Cut(name, "@"); ok && volume.CheckName(vol) == nil {
			return &usageError{fmt.Sprintf("%q: a snapshot is a version of many volumes, it cannot be removed from %s alone", name, vol), "name the snapshot: " + quoted(snap)}
		}
	}
	return err
}

func (a *app) printRemovals(gone []snapshot.Removal, done string) error {
	if a.json {
		return a.printJSON(gone)
	}
	for _, r := range gone {
		if err := a.done(r.Snapshot.Name, fmt.Sprintf("%s, the version of %s", done, plural(len(r.Volumes), "volume"))); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) snapshotVersions() *cobra.Command {
	var r snapshot.FileRequest
	c := &cobra.Command{
		Use:               "versions VOLUME:PATH",
		Short:             "List the distinct versions of one file, or with --deleted what a directory has lost",
		Example:           "  berth snapshot versions blog:wp-config.php\n  berth snapshot versions --deleted blog:wp-content/plugins",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeVolumes,
		RunE: func(c *cobra.Command, args []string) error {
			r.Ref = args[0]
			got, err := ask[plugin.FileVersions](c.Context(), a, "Berth.SnapshotFiles", r)
			if err != nil {
				return err
			}
			return a.printVersions(got.Versions, r)
		},
	}
	c.Flags().BoolVar(&r.Deleted, "deleted", false, "what the directory had in a snapshot and has no more")
	c.Flags().BoolVar(&r.Checksum, "checksum", false, "read every version, also what is proven to be equal")
	return c
}

func (a *app) printVersions(all []snapshot.FileVersion, r snapshot.FileRequest) error {
	if a.json {
		return a.printJSON(all)
	}
	vol, _, _ := strings.Cut(r.Ref, ":")
	label := func(s reference.Snapshot) string { return quoted(s.Name) }
	var ids []string
	var rows [][]string
	for i, f := range all {
		name, note := "live", ""
		if len(f.Snapshots) > 0 {
			s := f.Snapshots[len(f.Snapshots)-1]
			if f.Live {
				name, note = "live", "the same since "+label(s)
			} else {
				name, note = label(f.Snapshots[0]), fmt.Sprintf("also in %d older, down to %s", len(f.Snapshots)-1, label(s))
				if len(f.Snapshots) == 1 {
					note = ""
				}
			}
			ids = append(ids, reference.Ref{Volume: vol, Snapshot: f.Snapshots[0].Name, Path: f.Name()}.String())
		}
		if i > 0 && f.Differs != "" && f.SizeBytes == all[i-1].SizeBytes && f.Modified.Equal(all[i-1].Modified) {
			note = strings.TrimPrefix(note+"; other "+f.Differs+" than the version above", "; ")
		}
		if i == 0 && !f.Live && !r.Deleted {
			when := "deleted before any newer snapshot"
			if f.Deleted != nil {
				when = "deleted since " + a.snapTime(*f.Deleted) + " (" + label(*f.Deleted) + ")"
			}
			rows = append(rows, []string{"live", "", "", "", when})
		}
		row := []string{name, a.stamp(f.Modified), size(f.SizeBytes), f.Kind, note}
		if r.Deleted {
			row = append([]string{quoted(f.Name())}, row...)
		}
		rows = append(rows, row)
	}
	if a.quiet {
		return a.ids(ids)
	}
	heading := []string{"VERSION", "MODIFIED", "SIZE", "KIND", "NOTE"}
	if r.Deleted {
		heading = append([]string{"PATH"}, heading...)
	}
	if err := a.table(heading, rows); err != nil {
		return err
	}
	if len(ids) > 0 {
		a.say("look at one: berth snapshot cat %s", shellWord(ids[len(ids)-1]))
	}
	return nil
}

func (a *app) snapshotCat() *cobra.Command {
	return &cobra.Command{
		Use:               "cat VOLUME[@SNAPSHOT][:PATH]",
		Short:             "Print a file of a version, or a directory as a tar archive",
		Example:           "  berth snapshot cat blog@yesterday:wp-config.php\n  berth snapshot cat blog@latest:wp-content/themes | tar -tv",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeVolumes,
		RunE: func(c *cobra.Command, args []string) error {
			if a.isTerminal(a.stdout) {
				got, err := ask[snapshot.Browsed](c.Context(), a, "Berth.SnapshotBrowse", snapshot.BrowseRequest{Ref: args[0], Limit: 1})
				if err == nil && got.File.Kind == "directory" {
					err = &usageError{"a tar archive is not for a terminal", "send it to a file or to tar: ... > blog.tar, ... | tar -tv"}
				}
				if err != nil {
					return err
				}
			}
			return a.stream(c.Context(), "Berth.SnapshotCat", plugin.RefRequest{Ref: args[0]}, a.stdout)
		},
	}
}

func (a *app) snapshotCheck() *cobra.Command {
	var limit, warn string
	c := &cobra.Command{
		Use:     "check --max-age AGE",
		Short:   "Say whether the newest snapshot is young enough, for monitoring",
		Long:    "Say whether the newest snapshot is young enough.\nexit codes (as Nagios has them): 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN",
		Example: "  berth snapshot check --max-age 26h",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			max, err := parseAge(limit)
			if err == nil && max == 0 {
				err = &usageError{"--max-age is missing", "for example --max-age 26h"}
			}
			soon, warnErr := parseAge(warn)
			if err = errors.Join(err, warnErr); err != nil {
				return &verdict{3, "UNKNOWN - " + err.Error()}
			}
			got, err := ask[plugin.Newest](c.Context(), a, "Berth.SnapshotNewest", plugin.Empty{})
			if err != nil {
				_, reason, _ := judge(err)
				return &verdict{3, "UNKNOWN - " + reason}
			}
			return judgeAge(got.Snapshot, time.Now(), max, soon)
		},
	}
	c.Flags().StringVar(&limit, "max-age", "", "CRITICAL if the newest snapshot is older: 90m, 26h, 3d")
	c.Flags().StringVar(&warn, "warn-age", "", "WARNING if it is older than this")
	return c
}

// verdict is a monitoring check's answer: a line on stdout and an exit code of
// its own.
type verdict struct {
	code int
	line string
}

func (v *verdict) Error() string { return v.line }

func judgeAge(s *reference.Snapshot, now time.Time, max, warn time.Duration) error {
	if s == nil {
		return &verdict{2, "CRITICAL - the export has no snapshot"}
	}
	if s.Time.IsZero() {
		return &verdict{3, fmt.Sprintf("UNKNOWN - nobody says when %s was made; set BERTH_ONTAP", quoted(s.Name))}
	}
	if ahead := s.Time.Sub(now); ahead > reference.Skew {
		return &verdict{3, fmt.Sprintf("UNKNOWN - the newest snapshot, %s, is of a time that is %s in the future; set BERTH_TZ to the filer's time zone, and compare the clocks", quoted(s.Name), age(ahead.Seconds()))}
	}
	old := now.Sub(s.Time)
	if old < 0 {
		old = 0 // the clocks differ a little
	}
	line := fmt.Sprintf("the newest snapshot, %s, is %s old | age=%ds;%d;%d", quoted(s.Name), age(old.Seconds()), int(old.Seconds()), int(warn.Seconds()), int(max.Seconds()))
	switch {
	case old > max:
		return &verdict{2, "CRITICAL - " + line}
	case warn > 0 && old > warn:
		return &verdict{1, "WARNING - " + line}
	}
	return &verdict{0, "OK - " + line}
}

// quoted prints a name so that a terminal cannot be harmed by it, and no two
// names look the same.
func quoted(name string) string { return text.Quote(name) }

// sentence prints a text of somebody else's, quoted where it holds what cannot
// be seen.
func sentence(said string) string {
	if text.Visible(said) == said && !strings.Contains(said, "\n") {
		return said
	}
	return fmt.Sprintf("%q", said)
}

// shellWord is a name as it is typed to a shell.
func shellWord(name string) string {
	if q := quoted(name); q != name || plainWord.MatchString(name) {
		return q
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)
