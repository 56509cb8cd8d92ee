package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/proxy"
	"github.com/casit/berth/several"
)

func (a *app) proxyCommand() *cobra.Command {
	return group("proxy", "The NGINX in front of the swarm", a.proxyRender())
}

func (a *app) proxyRender() *cobra.Command {
	var out, nodes string
	var diff bool
	c := &cobra.Command{
		Use:   "render --out DIR",
		Short: "Write the proxies' include files from the services' labels",
		Long: `Write the proxies' include files from the services' labels, one file per site, for the repository that the
proxies are configured from. It runs on a manager. One wrong label, and nothing is written. The same services give the same bytes.
Files in DIR that are not of this command stay as they are; docs/proxy.md has the labels and what to do with the files.

Exit codes: 0 done, or with --diff nothing differs; 1 failed, or with --diff something does; 2 a label is wrong`,
		Example: "  berth proxy render --out puppet/files/proxy --diff\n  berth proxy render --out puppet/files/proxy",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" {
				return &usageError{"where to?", "say it with --out DIR, a directory of the proxies' repository"}
			}
			addresses, err := parseNodes(nodes)
			if err != nil {
				return err
			}
			services, addresses, err := readSwarm(c.Context(), addresses)
			if err != nil {
				return err
			}
			changes, err := a.planRender(services, addresses, out)
			if err == nil && !diff {
				err = changes.Write()
			}
			if err != nil {
				return err
			}
			return a.printRender(changes, addresses, diff)
		},
	}
	c.Flags().StringVar(&out, "out", "", "the directory to write to")
	c.Flags().BoolVar(&diff, "diff", false, "show what would change, and change nothing")
	c.Flags().StringVar(&nodes, "nodes", "", "addresses of the swarm's nodes, separated by commas (default: those that are ready and not drained)")
	_ = c.MarkFlagDirname("out")
	return c
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

// readSwarm asks the manager here for the services, and for the nodes where
// none are given.
func readSwarm(ctx context.Context, nodes []netip.Addr) (services []proxy.Service, _ []netip.Addr, err error) {
	err = errNoEngine
	withDocker(ctx, func(ctx context.Context, docker *client.Client) {
		if err = requireManager(ctx, docker); err != nil {
			return
		}
		var list client.ServiceListResult
		if list, err = docker.ServiceList(ctx, client.ServiceListOptions{}); err != nil {
			return
		}
		for _, s := range list.Items {
			services = append(services, proxyService(s))
		}
		if len(nodes) == 0 {
			nodes, err = nodeAddresses(ctx, docker)
		}
	})
	slices.SortFunc(nodes, netip.Addr.Compare)
	return services, nodes, err
}

const onManager = "type it on a manager of the swarm, as a user who may use docker"

var errNoEngine error = &plugin.Failure{Kind: problem.Failed, Reason: "no Docker engine answers here", Hint: onManager}

// requireManager says who the managers are, if this node is none.
func requireManager(ctx context.Context, docker *client.Client) error {
	info, err := docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return &plugin.Failure{Kind: problem.Failed, Reason: fmt.Sprintf("no Docker engine answers here: %v", err), Hint: onManager}
	}
	s := info.Info.Swarm
	if s.ControlAvailable {
		return nil
	}
	var managers []string
	for _, m := range s.RemoteManagers {
		managers = append(managers, m.Addr)
	}
	if len(managers) == 0 {
		return &plugin.Failure{Kind: problem.Failed, Reason: "this node is in no swarm", Hint: onManager}
	}
	slices.Sort(managers)
	return &plugin.Failure{Kind: problem.Failed, Reason: "only a manager knows the services, and this node is a worker",
		Hint: "type it on a manager: " + strings.Join(managers, ", ")}
}

func proxyService(s swarm.Service) proxy.Service {
	out := proxy.Service{Name: s.Spec.Name, Labels: s.Spec.Labels}
	for _, p := range s.Endpoint.Ports {
		if p.Protocol == network.TCP && p.PublishedPort != 0 {
			out.Ports = append(out.Ports, proxy.Port{Published: uint16(p.PublishedPort), Target: uint16(p.TargetPort)})
		}
	}
	return out
}

// nodeAddresses are those of the nodes that carry traffic: each answers on the
// ports of all services.
func nodeAddresses(ctx context.Context, docker *client.Client) (out []netip.Addr, err error) {
	nodes, err := docker.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return nil, err
	}
	for _, n := range nodes.Items {
		if n.Status.State != swarm.NodeStateReady || n.Spec.Availability == swarm.NodeAvailabilityDrain {
			continue
		}
		addr, ok := nodeAddress(n)
		if !ok {
			return nil, &plugin.Failure{Kind: problem.Failed, Reason: fmt.Sprintf("node %s has no address that others could reach: %q", n.Description.Hostname, n.Status.Addr),
				Hint: "give the addresses of all nodes with --nodes"}
		}
		out = append(out, addr)
	}
	if len(out) == 0 {
		return nil, &plugin.Failure{Kind: problem.Failed, Reason: "no node of the swarm is ready", Hint: "'docker node ls' shows why; or give the addresses with --nodes"}
	}
	return out, nil
}

// nodeAddress is a node's address as the others know it. A manager may not
// know its own, but has said where it can be reached.
func nodeAddress(n swarm.Node) (netip.Addr, bool) {
	candidates := []string{n.Status.Addr}
	if n.ManagerStatus != nil {
		host, _, _ := net.SplitHostPort(n.ManagerStatus.Addr)
		candidates = append(candidates, host)
	}
	for _, c := range candidates {
		if a, err := netip.ParseAddr(c); err == nil && !a.IsUnspecified() && !a.IsLoopback() && a.Zone() == "" {
			return a.Unmap(), true
		}
	}
	return netip.Addr{}, false
}

// planRender compares the directory with what the labels say.
func (a *app) planRender(services []proxy.Service, nodes []netip.Addr, dir string) (changes proxy.Changes, err error) {
	sites, err := proxy.Sites(services)
	if err != nil {
		return changes, a.wrongLabels(err)
	}
	changes, err = proxy.Compare(dir, proxy.Render(sites, nodes))
	if e := (*proxy.NotOurs)(nil); errors.As(err, &e) {
		return changes, &plugin.Failure{Kind: problem.Failed, Reason: err.Error(), Hint: "move it away or rename it; nothing was written"}
	}
	if removed := slices.IndexFunc(changes.List, func(c proxy.Change) bool { return c.Kind == proxy.Removed }); err == nil && len(sites) == 0 && removed >= 0 {
		return changes, &plugin.Failure{Kind: problem.Failed, Reason: "no service of this swarm has a label berth.site, and all sites of " + dir + " would go",
			Hint: "is it the right swarm? If so, remove the files below sites/ yourself"}
	}
	return changes, err
}

// wrongLabels prints what is wrong, but for the last, which is the error.
func (a *app) wrongLabels(err error) error {
	var all proxy.LabelErrors
	if !errors.As(err, &all) {
		return err
	}
	for _, e := range all[:len(all)-1] {
		fmt.Fprintf(a.stderr, "berth: %v\nberth: hint: %s\n", e, e.Hint)
	}
	last := all[len(all)-1]
	return &plugin.Failure{Kind: problem.Invalid, Reason: last.Error(), Hint: last.Hint + "; nothing was written"}
}

// printRender prints what was changed, or with diff what would be.
func (a *app) printRender(changes proxy.Changes, nodes []netip.Addr, diff bool) error {
	type file struct {
		Name   string `json:"name"`
		Change string `json:"change"`
	}
	files, counts := []file{}, map[string]int{}
	var names []string
	var failed several.Errors
	for _, c := range changes.List {
		files = append(files, file{c.Name, c.Kind})
		if c.Kind == proxy.Same {
			continue
		}
		counts[c.Kind]++
		names = append(names, c.Name)
		if diff && !a.json && !a.quiet {
			failed.Add(a.printChange(c))
		}
	}
	err := failed.Err()
	switch {
	case a.json:
		err = a.printJSON(map[string]any{"dir": changes.Dir, "nodes": nodes, "files": files})
	case a.quiet:
		err = a.ids(names)
	case !diff:
		for _, f := range files {
			if f.Change != proxy.Same {
				fmt.Fprintf(a.stdout, "%-8s %s\n", f.Change, f.Name)
			}
		}
	}
	a.say("%d files in %s: %d added, %d changed, %d removed; %d nodes", len(files)-counts[proxy.Removed], changes.Dir,
		counts[proxy.Added], counts[proxy.Changed], counts[proxy.Removed], len(nodes))
	if err == nil && diff && changes.Any() {
		err = &differs{}
	}
	return err
}

// printChange is a unified diff of one file.
func (a *app) printChange(c proxy.Change) error {
	from, to := "a/"+c.Name, "b/"+c.Name
	if c.Old == nil {
		from = "/dev/null"
	}
	if c.New == nil {
		to = "/dev/null"
	}
	return difflib.WriteUnifiedDiff(a.stdout, difflib.UnifiedDiff{A: lines(string(c.Old)), B: lines(string(c.New)), FromFile: from, ToFile: to, Context: 3})
}
