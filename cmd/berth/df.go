package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot/df"
)

func dfCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "df",
		Short:   "Show where the export's space is, and what can be freed",
		Example: "  berth df",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runDf(c.Context(), a) },
	}
}

func runDf(ctx context.Context, a *app) error {
	u, err := ask[df.Usage](ctx, a, "Berth.Usage", plugin.UsageRequest{})
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(u)
	}
	if err := show.Usage(a.stdout, &u, a.times(), a.width(a.stdout)); err != nil {
		return err
	}
	for _, remark := range show.UsageRemarks(&u) {
		a.say("%s", remark)
	}
	return nil
}
