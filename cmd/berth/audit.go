package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/show"
	"github.com/casit/berth/text"
)

func auditCommand(a *app) *cobra.Command {
	var since string
	c := &cobra.Command{
		Use:               "audit [VOLUME]",
		Short:             "Show who made, removed, restored or changed what, on all nodes",
		Example:           "  berth audit shop_db --since 7d",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: volumeNames(a),
		RunE: func(c *cobra.Command, args []string) error {
			var req plugin.AuditRequest
			if len(args) > 0 {
				req.Volume = args[0]
			}
			limit, err := show.ParseAge(since)
			if err != nil {
				return err
			}
			if limit > 0 {
				req.Since = time.Now().Add(-limit)
			}
			return runAudit(c.Context(), a, req)
		},
	}
	c.Flags().StringVar(&since, "since", "", "only what happened since: 90m, 12h, 3d")
	return c
}

func runAudit(ctx context.Context, a *app, req plugin.AuditRequest) error {
	got, err := ask[plugin.Audit](ctx, a, "Berth.Audit", req)
	if err != nil {
		return err
	}
	t := a.times()
	var names []string
	var rows [][]string
	for _, r := range got.Records {
		names = append(names, r.Volume)
		rows = append(rows, []string{t.When(r.Time), r.Node, r.By, r.Op, r.Volume, r.Detail})
	}
	return a.show(got.Records, names, func(w io.Writer, width int) error {
		return show.Table(w, []string{"TIME", "NODE", "BY", "DID", "VOLUME", "DETAIL"}, rows, width)
	})
}

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the versions of this command and of the running plugin, its export and nodes",
		Example: "  berth version --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runVersion(c.Context(), a) },
	}
}

// runVersion prints this command's version also where no plugin answers.
func runVersion(ctx context.Context, a *app) error {
	got, err := ask[plugin.About](ctx, a, "Berth.Version", plugin.Empty{})
	if a.json {
		if err != nil {
			return err
		}
		return a.printJSON(map[string]any{"command": version, "plugin": got})
	}
	fmt.Fprintf(a.stdout, "command  %s\n", version)
	if a.quiet || err != nil {
		return err
	}
	return renderAbout(a.stdout, got, a.width(a.stdout))
}

// renderAbout writes what a plugin says of itself, and the nodes it knows.
func renderAbout(w io.Writer, got plugin.About, width int) error {
	for _, line := range [][2]string{{"plugin", got.Version}, {"node", got.Node}, {"export", got.Export}, {"id", got.ID}, {"mount", got.Mount}, {"metrics", got.Metrics}, {"health", got.Health}} {
		if line[1] != "" {
			fmt.Fprintf(w, "%-8s %s\n", line[0], text.Line(line[1]))
		}
	}
	if len(got.Nodes) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, n := range got.Nodes {
		rows = append(rows, []string{n.Node, string(n.State), show.Age(n.Age), n.Version, n.Health})
	}
	return show.Table(w, []string{"NODE", "STATE", "HEARTBEAT", "VERSION", "HEALTH"}, rows, width)
}
