package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

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
	err = a.show(st, []string{st.SVM + ":" + st.Volume}, func(w io.Writer, _ int) error {
		renderONTAP(w, st)
		return nil
	})
	if err == nil && st.Blocked() {
		err = &plugin.Failure{Kind: problem.Failed, Reason: "berth cannot do its work with this filer as it is", Hint: "see above; docs/ontap.md says what to run there, once"}
	}
	return err
}

// renderONTAP writes what is known of the filer, a line each; what nobody could
// ask for has no line.
func renderONTAP(w io.Writer, st plugin.ONTAPStatus) {
	line := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); strings.Trim(text, " ,:/") != "" {
			fmt.Fprintf(w, "%-10s %s\n", name, text)
		}
	}
	line("cluster", "%s, ONTAP %s, at %s", st.Cluster, st.Version, st.Address)
	line("user", "%s, role %s", st.User, st.Role)
	line("svm", "%s", st.SVM)
	if st.Volume != "" {
		line("volume", "%s at %s, security style %s", st.Volume, st.Junction+strings.TrimSuffix("/"+st.Below, "/"), st.Security)
		line("space", "%s, %s available, snapshots use %s", show.Size(st.SizeBytes), show.Size(st.AvailableBytes), known(st.SnapshotUsedBytes, show.Size))
		line("snapshots", "%s; policy %s", known(st.Snapshots, func(n int64) string { return strconv.FormatInt(n, 10) }), orNone(st.Policy))
	}
	visible := "visible to NFSv3 clients"
	if len(st.Hidden) > 0 {
		visible = "HIDDEN: " + strings.Join(st.Hidden, "; ")
	}
	line(".snapshot", "%s", visible)
	restore := "by copying: this release has no directory-restore"
	if st.DirectoryRestore {
		restore = "by the filer, without copying"
	}
	line("restore", "%s", restore)
	if len(st.RootSquashed) > 0 {
		line("root", "SQUASHED for %s: set -superuser sys in the export rule", strings.Join(st.RootSquashed, ", "))
	}
	for _, m := range st.Missing {
		need := "needed for"
		if m.Optional {
			need = "wanted for"
		}
		line("missing", "%s (%s), %s %s", m.Path, m.Access, need, m.For)
		line("", "type there: %s", m.Grant)
	}
	for _, p := range st.Problems {
		line("problem", "%s: %s", p.Part, p.Error)
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// known prints a number of the filer, or that the filer did not tell it.
func known(n *int64, text func(int64) string) string {
	if n == nil {
		return "unknown"
	}
	return text(*n)
}
