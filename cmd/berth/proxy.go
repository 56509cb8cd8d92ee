package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/casit/berth/docker"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/proxy"
	"github.com/casit/berth/text"
)

// proxyOptions are the flags of `berth proxy render`.
type proxyOptions struct {
	out   string
	nodes []netip.Addr
	diff  bool
}

func proxyCommand(a *app) *cobra.Command {
	var o proxyOptions
	var nodes string
	c := &cobra.Command{
		Use:   "render --out DIR",
		Short: "Write the proxies' include files from the services' labels",
		Long: `Write the proxies' include files from the services' labels, one file per site, for the repository that the
proxies are configured from. It runs on a manager. The same services give the same bytes.
A site with a wrong label, or with a name that another site has, stays as it was and is named; the others are written.
Files in DIR that this command did not write stay as they are; docs/proxy.md has the labels and what to do with the files.

Exit codes: 0 done, or with --diff nothing differs; 1 failed, a label is wrong, or with --diff something differs; 2 usage`,
		Example: "  berth proxy render --out puppet/files/proxy --diff\n  berth proxy render --out puppet/files/proxy",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if o.out == "" {
				return &usageError{"--out DIR is missing", "name a directory of the proxies' repository"}
			}
			if o.nodes, err = parseNodes(nodes); err != nil {
				return err
			}
			return runRender(c.Context(), a, o)
		},
	}
	c.Flags().StringVar(&o.out, "out", "", "the directory to write to")
	c.Flags().BoolVar(&o.diff, "diff", false, "show what would change, and change nothing")
	c.Flags().StringVar(&nodes, "nodes", "", "addresses of the swarm's nodes, separated by commas (default: those that are ready and not drained)")
	_ = c.MarkFlagDirname("out")
	return group("proxy", "The NGINX in front of the swarm", c)
}

// parseNodes reads --nodes. Names are refused: NGINX would look them up when
// it starts, and not start without DNS.
func parseNodes(list string) (out []netip.Addr, err error) {
	for _, word := range strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ' ' }) {
		n, err := netip.ParseAddr(word)
		if err != nil || n.Zone() != "" || n.IsUnspecified() {
			return nil, &usageError{fmt.Sprintf("--nodes: %q is no address", word), "give IP addresses, as 'docker node inspect --format \"{{.Status.Addr}}\" NODE' prints them"}
		}
		out = append(out, n.Unmap())
	}
	return out, nil
}

// runRender writes all sites that are right, and then says what is wrong with others.
func runRender(ctx context.Context, a *app, o proxyOptions) error {
	services, nodes, err := docker.Sites(ctx, o.nodes)
	if err != nil {
		return err
	}
	changes, wrong, err := proxy.Plan(o.out, services, nodes)
	if err != nil {
		return err
	}
	if left := slices.ContainsFunc(changes.List, isSite); !left && changes.Removes() && len(wrong) == 0 {
		return &plugin.Failure{Kind: problem.Failed, Reason: "no service of this swarm has a label berth.site, and all sites of " + o.out + " would go",
			Hint: "is it the right swarm? If so, remove the files below sites/ yourself"}
	}
	if !o.diff {
		if err := changes.Write(); err != nil {
			return err
		}
	}
	err = showChanges(a, changes, wrong, nodes, o.diff)
	if len(wrong) > 0 && (err == nil || errors.As(err, new(*differs))) {
		return wrongLabels(a, wrong)
	}
	return err
}

// isSite tells the sites that will be there.
func isSite(c proxy.Change) bool {
	return strings.HasPrefix(c.Name, "sites/") && c.Kind != proxy.Removed
}

// wrongLabels prints what is wrong, but for the last, which is the error.
func wrongLabels(a *app, all proxy.LabelErrors) error {
	for _, e := range all[:len(all)-1] {
		fmt.Fprintf(a.stderr, "berth: %s\nberth: hint: %s\n", text.Message(e.Error()), text.Message(e.Hint))
	}
	last := all[len(all)-1]
	return &plugin.Failure{Kind: problem.Failed, Reason: last.Error(), Hint: last.Hint + "; a site with a wrong label stays as it was, the others are as their labels say"}
}

// showChanges prints what was changed, or with diff what would be.
func showChanges(a *app, changes proxy.Changes, wrong proxy.LabelErrors, nodes []netip.Addr, diff bool) error {
	type file struct {
		Name   string `json:"name"`
		Change string `json:"change"`
	}
	files, counts := []file{}, map[string]int{}
	var names []string
	for _, c := range changes.List {
		files = append(files, file{c.Name, c.Kind})
		counts[c.Kind]++
		if c.Kind != proxy.Same {
			names = append(names, c.Name)
		}
	}
	said := map[string]any{"dir": changes.Dir, "nodes": nodes, "files": files}
	if len(wrong) > 0 {
		said["wrong"] = wrong
	}
	err := a.show(said, names, func(w io.Writer, _ int) error {
		return changes.Print(w, diff)
	})
	a.say("%d files in %s: %d added, %d changed, %d removed; %d nodes", len(files)-counts[proxy.Removed], changes.Dir,
		counts[proxy.Added], counts[proxy.Changed], counts[proxy.Removed], len(nodes))
	if err == nil && diff && changes.Any() {
		err = &differs{}
	}
	return err
}
