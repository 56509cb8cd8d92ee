package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/show"
)

func ontapCommand(a *app) *cobra.Command {
	return group("ontap", "The NetApp ONTAP filer behind the export", &cobra.Command{
		Use:     "status",
		Short:   "Show what berth sees of the filer, what its role lacks, and what to type there",
		Example: "  berth ontap status",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runONTAPStatus(c.Context(), a) },
	})
}

func runONTAPStatus(ctx context.Context, a *app) error {
	st, err := ask[plugin.ONTAPStatus](ctx, a, "Berth.ONTAPStatus", plugin.Empty{})
	if err != nil {
		return err
	}
	err = a.show(st, []string{st.SVM + ":" + st.Volume}, func(w io.Writer, width int) error {
		show.ONTAP(w, st, width)
		return nil
	})
	if err == nil && st.Blocked() {
		err = &plugin.Failure{Kind: problem.Failed, Reason: "berth cannot do its work with this filer as it is", Hint: "see above; docs/ontap.md says what to run there, once"}
	}
	return err
}
