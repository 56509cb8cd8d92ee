package firewall

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/integration/netns"
)

func TestMain(m *testing.M) { lab.Main(m) }

// Guarded are engines on nodes with the project's rules, and a machine that is
// their proxy.
type guarded struct {
	nodes []*lab.Node
	proxy *lab.Node
	rules string
	token string // to join the swarm with
}

// filer is an address of the proxy's machine.
const filer = "10.98.0.201"

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	netns.Need(t, "nft", "curl")
	l := lab.New(t, lab.Options{Nodes: 4})
	g := &guarded{nodes: l.Nodes[:3], proxy: l.Nodes[3]}
	var addresses []string
	for _, n := range g.nodes {
		addresses = append(addresses, n.Address)
		require.NoError(t, n.ImportSite())
	}
	g.rules = ruleset(t, "swarm-node.nft", map[string]string{"nodes": strings.Join(addresses, ", "), "proxies": g.proxy.Address, "filer": filer})
	return g
}

// load gives nodes rules.
func (g *guarded) load(t *testing.T, rules string, nodes ...*lab.Node) {
	t.Helper()
	for _, n := range nodes {
		run(t, n, "sh", "-c", `printf %s "$0" | nft --file -`, rules)
	}
}

func run(t *testing.T, n *lab.Node, args ...string) string {
	t.Helper()
	out, err := n.Run(args...)
	require.NoError(t, err)
	return out
}

func TestASwarmBehindTheRules(t *testing.T) {
	g := newGuarded(t)
	g.besideDockersRules(t)
	g.managers(t)
	g.overlay(t)
	g.containersAndTheFiler(t)
	g.published(t)
}

// besideDockersRules loads the rules, twice on one node: Docker's are as before.
func (g *guarded) besideDockersRules(t *testing.T) {
	dockers := func() []string {
		return regexp.MustCompile(`(?m)^-A.*`).FindAllString(run(t, g.nodes[0], "iptables-save"), -1)
	}
	before := dockers()
	require.Contains(t, before, "-A FORWARD -j DOCKER-USER")
	g.load(t, g.rules, g.nodes...)
	g.load(t, g.rules, g.nodes[0])
	require.Equal(t, before, dockers())
}

var dropped = regexp.MustCompile(`counter packets (\d+) .* comment "dropped"`)

// managers makes a swarm of the first node, which the second one cannot join
// before it may.
func (g *guarded) managers(t *testing.T) {
	first, second := g.nodes[0], g.nodes[1]
	g.load(t, lacking(t, g.rules, "swarm-managers"), first)
	first.Docker(t, "swarm", "init", "--advertise-addr", first.Address)
	g.token = first.Docker(t, "swarm", "join-token", "--quiet", "worker")

	joined := make(chan error)
	go func() { joined <- g.join(second) }()
	lab.Eventually(t, "a join that is dropped", func() error {
		if m := dropped.FindStringSubmatch(run(t, first, "nft", "list", "chain", "inet", "berth", "input")); m == nil || m[1] == "0" {
			return fmt.Errorf("counted: %v", m)
		}
		return nil
	})
	g.load(t, g.rules, first)
	<-joined // or it has given up, and goes on in the background
	g.waitForNode(t, second)
}

func (g *guarded) join(n *lab.Node) error {
	_, err := n.TryDocker("swarm", "join", "--advertise-addr", n.Address, "--token", g.token, g.nodes[0].Address+":2377")
	return err
}

func (g *guarded) waitForNode(t *testing.T, n *lab.Node) {
	t.Helper()
	lab.Eventually(t, n.Name+" in the swarm", func() error {
		nodes, err := g.nodes[0].TryDocker("node", "ls", "--format", "{{.Hostname}} {{.Status}}")
		if err == nil && !strings.Contains(nodes, n.Name+" Ready") {
			err = fmt.Errorf("its nodes are %s", nodes)
		}
		return err
	})
}

// overlay connects containers of two nodes, and cannot without its two ports.
func (g *guarded) overlay(t *testing.T) {
	first, second, third := g.nodes[0], g.nodes[1], g.nodes[2]
	first.Docker(t, "network", "create", "--driver", "overlay", "--attachable", "inner")
	g.startSite(t, first)
	g.startSite(t, second)
	lab.Eventually(t, "a container on n1", func() error { return g.inner(t, second, first) })
	g.load(t, lacking(t, g.rules, "swarm-overlay"), first)
	require.Error(t, g.inner(t, second, first), "without swarm-overlay")

	// Who cannot gossip is not told where the containers of others are. Those
	// who did before are not stopped: their connections are established.
	g.load(t, lacking(t, lacking(t, g.rules, "swarm-gossip-tcp"), "swarm-gossip-udp"), g.nodes...)
	require.NoError(t, g.join(third))
	g.startSite(t, third)
	lab.Eventually(t, "a container on n1", func() error { return g.inner(t, second, first) })
	require.Error(t, g.inner(t, third, first), "without swarm-gossip")
	g.load(t, g.rules, g.nodes...)
	lab.Eventually(t, "a container on n1, from n3", func() error { return g.inner(t, third, first) })
}

// startSite starts a site in the overlay network.
func (g *guarded) startSite(t *testing.T, n *lab.Node) {
	t.Helper()
	n.Docker(t, "run", "--detach", "--name", "inner", "--network", "inner", lab.SiteImage, "serve", "/")
}

// inner asks one node's container from that of another.
func (g *guarded) inner(t *testing.T, from, to *lab.Node) error {
	t.Helper()
	address := to.Docker(t, "inspect", "--format", "{{.NetworkSettings.Networks.inner.IPAddress}}", "inner")
	pid := from.Docker(t, "inspect", "--format", "{{.State.Pid}}", "inner")
	_, err := from.Run("nsenter", "-t", pid, "-n", "curl", "-sS", "--max-time", "2", "http://"+address+"/")
	return err
}

// containersAndTheFiler: root in a container may take a port below 1024, which
// Docker leaves as it is behind the node's address. To a filer that is the
// node's root, so that it would have the whole export.
func (g *guarded) containersAndTheFiler(t *testing.T) {
	n := g.nodes[0]
	run(t, g.proxy, "ip", "address", "add", filer+"/24", "dev", "eth0")
	watch := fmt.Sprintf(`table inet watched
		delete table inet watched
		table inet watched {
			chain in { type filter hook input priority -50; ip saddr %s ip daddr %s tcp sport < 1024 tcp dport 2049 counter; }
		}`, n.Address, filer)
	pid := n.Docker(t, "inspect", "--format", "{{.State.Pid}}", "inner")
	arrives := func(rules string) bool {
		g.load(t, rules, n)
		g.load(t, watch, g.proxy)
		_, err := n.Run("nsenter", "-t", pid, "-n", "curl", "-sS", "--max-time", "2", "--local-port", "700-800", "http://"+filer+":2049/")
		require.Error(t, err) // refused, or no answer
		return !strings.Contains(run(t, g.proxy, "nft", "list", "chain", "inet", "watched", "in"), "counter packets 0 ")
	}
	require.True(t, arrives(lacking(t, g.rules, "containers-and-filer")), "without the rule, as root of the node")
	require.False(t, arrives(g.rules))
}

// published reaches the ports that are for the proxies, and nothing else does.
func (g *guarded) published(t *testing.T) {
	n := g.nodes[0]
	n.Docker(t, "service", "create", "--detach", "--no-resolve-image", "--constraint", "node.hostname=="+n.Name,
		"--publish", "mode=host,published=8080,target=80", lab.SiteImage, "serve", "/")
	n.Docker(t, "run", "--detach", "--publish", "9090:80", lab.SiteImage, "serve", "/")
	ask := func(args ...string) error {
		_, err := g.proxy.Run(append([]string{"curl", "-sS", "--max-time", "2"}, args...)...)
		return err
	}
	site := "http://" + n.Address
	lab.Eventually(t, "a published port", func() error { return ask(site + ":8080") })
	require.Error(t, ask(site+":9090"), "a port that is not of the proxies'")
	run(t, g.proxy, "ip", "address", "add", "10.98.0.200/24", "dev", "eth0")
	require.Error(t, ask("--interface", "10.98.0.200", site+":8080"), "from somebody else")
	g.load(t, lacking(t, g.rules, "published"), n)
	require.Error(t, ask(site+":8080"), "without published")
}
