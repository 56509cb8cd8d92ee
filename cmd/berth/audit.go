package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
)

func (a *app) auditCommand() *cobra.Command {
	var since string
	c := &cobra.Command{
		Use:               "audit [VOLUME]",
		Short:             "Show who made, removed, restored or changed what, on all nodes",
		Example:           "  berth audit shop_db --since 7d",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeVolumes,
		RunE: func(c *cobra.Command, args []string) error {
			limit, err := parseAge(since)
			if err != nil {
				return err
			}
			var req plugin.AuditRequest
			if len(args) > 0 {
				req.Volume = args[0]
			}
			if limit > 0 {
				req.Since = time.Now().Add(-limit)
			}
			got, err := ask[plugin.Audit](c.Context(), a, "Berth.Audit", req)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(got.Records)
			}
			var names []string
			var rows [][]string
			for _, r := range got.Records {
				names = append(names, r.Volume)
				rows = append(rows, []string{a.when(r.Time), r.Node, r.By, r.Op, r.Volume, r.Detail})
			}
			if a.quiet {
				return a.ids(names)
			}
			return a.table([]string{"TIME", "NODE", "BY", "DID", "VOLUME", "DETAIL"}, rows)
		},
	}
	c.Flags().StringVar(&since, "since", "", "only what happened since: 90m, 12h, 3d")
	return c
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the versions of this command and of the running plugin, its export and nodes",
		Example: "  berth version --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := ask[plugin.About](c.Context(), a, "Berth.Version", plugin.Empty{})
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
			for _, line := range [][2]string{{"plugin", got.Version}, {"node", got.Node}, {"export", got.Export}, {"id", got.ID}, {"mount", got.Mount}, {"metrics", got.Metrics}, {"health", got.Health}} {
				if line[1] != "" {
					fmt.Fprintf(a.stdout, "%-8s %s\n", line[0], line[1])
				}
			}
			if len(got.Nodes) == 0 {
				return nil
			}
			fmt.Fprintln(a.stdout)
			var rows [][]string
			for _, n := range got.Nodes {
				rows = append(rows, []string{n.Node, string(n.State), age(n.Age), n.Version, n.Health})
			}
			return a.table([]string{"NODE", "STATE", "HEARTBEAT", "VERSION", "HEALTH"}, rows)
		},
	}
}
