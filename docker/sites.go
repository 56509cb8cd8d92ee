package docker

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/proxy"
)

// Sites asks the manager here for the services behind the proxies, and for the
// addresses of the nodes where none are given.
func Sites(ctx context.Context, nodes []netip.Addr) (services []proxy.Service, _ []netip.Addr, err error) {
	err = errNoEngine
	With(ctx, func(ctx context.Context, engine *client.Client) {
		if err = requireManager(ctx, engine); err != nil {
			return
		}
		var list client.ServiceListResult
		if list, err = engine.ServiceList(ctx, client.ServiceListOptions{}); err != nil {
			return
		}
		for _, s := range list.Items {
			services = append(services, proxyService(s))
		}
		if len(nodes) == 0 {
			nodes, err = nodeAddresses(ctx, engine)
		}
	})
	slices.SortFunc(nodes, netip.Addr.Compare)
	return services, nodes, err
}

const onManager = "type it on a manager of the swarm, as a user who may use docker"

var errNoEngine error = problem.New(problem.Failed, onManager, "no Docker engine answers here")

// requireManager says who the managers are, if this node is none.
func requireManager(ctx context.Context, engine *client.Client) error {
	info, err := engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return problem.New(problem.Failed, onManager, "no Docker engine answers here: %v", err)
	}
	s := info.Info.Swarm
	if s.ControlAvailable {
		return nil
	}
	if len(s.RemoteManagers) == 0 {
		return problem.New(problem.Failed, onManager, "this node is in no swarm")
	}
	return problem.New(problem.Failed, "type it on a manager: "+strings.Join(managers(s), ", "), "only a manager knows the services, and this node is a worker")
}

func proxyService(s swarm.Service) proxy.Service {
	out := proxy.Service{Name: s.Spec.Name, Labels: s.Spec.Labels, Created: s.CreatedAt}
	for _, p := range s.Endpoint.Ports {
		if p.Protocol == network.TCP && p.PublishedPort != 0 {
			out.Ports = append(out.Ports, proxy.Port{Published: uint16(p.PublishedPort), Target: uint16(p.TargetPort)})
		}
	}
	return out
}

// nodeAddresses are those of the nodes that carry traffic: each answers on the
// ports of all services.
func nodeAddresses(ctx context.Context, engine *client.Client) (out []netip.Addr, err error) {
	nodes, err := engine.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return nil, err
	}
	for _, n := range nodes.Items {
		if n.Status.State != swarm.NodeStateReady || n.Spec.Availability == swarm.NodeAvailabilityDrain {
			continue
		}
		addr, ok := nodeAddress(n)
		if !ok {
			return nil, problem.New(problem.Failed, "give the addresses of all nodes with --nodes", "node %s has no address that others could reach: %q", n.Description.Hostname, n.Status.Addr)
		}
		out = append(out, addr)
	}
	if len(out) == 0 {
		return nil, problem.New(problem.Failed, "'docker node ls' shows why; or give the addresses with --nodes", "no node of the swarm is ready")
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
