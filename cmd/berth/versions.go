package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/archive"
	"github.com/casit/berth/snapshot/reference"
)

func versionsCommand(a *app) *cobra.Command {
	var r snapshot.FileRequest
	c := &cobra.Command{
		Use:               "versions VOLUME:PATH",
		Short:             "List the distinct versions of one file, or with --deleted what a directory has lost",
		Example:           "  berth snapshot versions blog:wp-config.php\n  berth snapshot versions --deleted blog:wp-content/plugins",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: volumeNames(a),
		RunE: func(c *cobra.Command, args []string) error {
			r.Ref = args[0]
			return runVersions(c.Context(), a, r)
		},
	}
	c.Flags().BoolVar(&r.Deleted, "deleted", false, "what the directory had in a snapshot and has no more")
	c.Flags().BoolVar(&r.Checksum, "checksum", false, "read every version, also what is proven to be equal")
	return c
}

func runVersions(ctx context.Context, a *app, r snapshot.FileRequest) error {
	got, err := ask[plugin.FileVersions](ctx, a, "Berth.SnapshotFiles", r)
	if err != nil {
		return err
	}
	vol, _, _ := strings.Cut(r.Ref, ":")
	var ids []string
	for _, f := range got.Versions {
		if len(f.Snapshots) > 0 {
			ids = append(ids, reference.Ref{Volume: vol, Snapshot: f.Snapshots[0].Name, Path: f.Name()}.String())
		}
	}
	err = a.show(got.Versions, ids, func(w io.Writer, width int) error {
		return renderVersions(w, got.Versions, r.Deleted, a.times(), width)
	})
	if err == nil && len(ids) > 0 {
		a.say("look at one: berth snapshot cat %s", show.ShellWord(ids[len(ids)-1]))
	}
	return err
}

// renderVersions writes the table of a file's versions, newest first, or of
// what a directory has lost.
func renderVersions(w io.Writer, all []snapshot.FileVersion, deleted bool, t show.Times, width int) error {
	label := func(s reference.Snapshot) string { return show.Quoted(s.Name) }
	var rows [][]string
	for i, f := range all {
		name, note := "live", ""
		if n := len(f.Snapshots); n > 0 {
			oldest := f.Snapshots[n-1]
			switch {
			case f.Live:
				note = "the same since " + label(oldest)
			case n == 1:
				name = label(oldest)
			default:
				name, note = label(f.Snapshots[0]), fmt.Sprintf("also in %d older, down to %s", n-1, label(oldest))
			}
		}
		if i > 0 && f.Differs != "" && f.SizeBytes == all[i-1].SizeBytes && f.Modified.Equal(all[i-1].Modified) {
			note = strings.TrimPrefix(note+"; other "+f.Differs+" than the version above", "; ")
		}
		if i == 0 && !f.Live && !deleted {
			when := "deleted before any newer snapshot"
			if f.Deleted != nil {
				when = "deleted since " + t.Snapshot(*f.Deleted) + " (" + label(*f.Deleted) + ")"
			}
			rows = append(rows, []string{"live", "", "", "", when})
		}
		row := []string{name, t.Stamp(f.Modified), show.Size(f.SizeBytes), f.Kind, note}
		if deleted {
			row = append([]string{show.Quoted(f.Name())}, row...)
		}
		rows = append(rows, row)
	}
	heading := []string{"VERSION", "MODIFIED", "SIZE", "KIND", "NOTE"}
	if deleted {
		heading = append([]string{"PATH"}, heading...)
	}
	return show.Table(w, heading, rows, width)
}

func catCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "cat VOLUME[@SNAPSHOT][:PATH]",
		Short:             "Print a file of a version, or a directory as a tar archive",
		Example:           "  berth snapshot cat blog@yesterday:wp-config.php\n  berth snapshot cat blog@latest:wp-content/themes | tar -tv",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: volumeNames(a),
		RunE:              func(c *cobra.Command, args []string) error { return runCat(c.Context(), a, args[0]) },
	}
}

func runCat(ctx context.Context, a *app, ref string) error {
	if isTerminal(a.stdout) {
		got, err := ask[snapshot.Browsed](ctx, a, "Berth.SnapshotBrowse", snapshot.BrowseRequest{Ref: ref, Limit: 1})
		if err == nil && got.File.Kind == "directory" {
			err = &usageError{"a tar archive is not for a terminal", "send it to a file or to tar: ... > blog.tar, ... | tar -tv"}
		}
		if err != nil {
			return err
		}
		return a.stream(ctx, "Berth.SnapshotCat", plugin.RefRequest{Ref: ref}, a.stdout)
	}
	out := archive.Save(unescaped(a.stdout))
	return errors.Join(a.stream(ctx, "Berth.SnapshotCat", plugin.RefRequest{Ref: ref}, out), out.End())
}
