package firewall

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/integration/netns"
)

// roles are who is who in the table.
var roles = map[string][]string{
	"filer": {"filer"}, "node": {"node1", "node2"}, "proxy": {"proxy1", "proxy2"},
	"admin": {"admin"}, "monitor": {"monitor"}, "any": {"filer", "node1", "node2", "proxy1", "proxy2", "admin", "monitor", "stranger"},
}

// ours are the hosts that have a firewall of ours, one for each file.
var ours = map[string]string{"node1": "swarm-node.nft", "proxy1": "proxy-node.nft"}

// A site is one host for each role, and a stranger.
type site struct {
	*netns.Net
	defines map[string]string
}

func newSite(t *testing.T) *site {
	t.Helper()
	netns.Need(t, "nft")
	s := &site{Net: netns.New(t, "10.97.8.0/24", roles["any"]...)}
	s.defines = map[string]string{
		"filer": s.addresses("filer"), "nodes": s.addresses("node"), "proxies": s.addresses("proxy"),
		"admins": s.addresses("admin"), "monitors": s.addresses("monitor"),
	}
	return s
}

// addresses are a role's, as a set of nft has them.
func (s *site) addresses(role string) string {
	var all []string
	for _, name := range roles[role] {
		all = append(all, s.Host(name).Address)
	}
	return strings.Join(all, ", ")
}

// load gives a host rules.
func load(t *testing.T, h *netns.Host, rules string) {
	t.Helper()
	h.Run(t, "sh", "-c", `printf %s "$0" | nft --file -`, rules)
}

// Watched is a table that notes what arrives before any rule decides, and what
// is let in after all have. Answers are not noted.
const watched = `
table inet watched
delete table inet watched
table inet watched {
	set arrived { type ipv4_addr . inet_proto . inet_service; flags dynamic; size 65535; }
	set let_in { type ipv4_addr . inet_proto . inet_service; flags dynamic; size 65535; }
	chain before { type filter hook input priority -50; ct state new add @arrived { ip saddr . meta l4proto . th dport }; }
	chain after { type filter hook input priority 50; ct state new add @let_in { ip saddr . meta l4proto . th dport }; }
}`

// A probe is a packet of one host.
type probe struct {
	from string
	packet
}

func (p probe) String() string { return p.from + " " + p.packet.String() }

// try sends every packet from every host to one, and returns which were let in.
func (s *site) try(t *testing.T, to string, packets []packet) (letIn []string) {
	t.Helper()
	target := s.Host(to)
	load(t, target, watched)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	names := map[string]string{} // of probes, by what nft calls them
	for _, name := range roles["any"] {
		if name == to {
			continue
		}
		h := s.Host(name)
		for _, p := range packets {
			names[fmt.Sprintf("%s . %s . %d", h.Address, p.protocol, p.port)] = probe{name, p}.String()
			go p.send(ctx, h, target.Address)
		}
	}
	lab.Eventually(t, "the packets at "+to, func() error {
		arrived := elements(t, target, "arrived")
		for key, name := range names {
			if !arrived[key] {
				return fmt.Errorf("%s has not arrived", name)
			}
		}
		return nil
	})
	for key := range elements(t, target, "let_in") {
		letIn = append(letIn, names[key])
	}
	slices.Sort(letIn)
	return letIn
}

// send sends the packet, and again, until it is told to stop: TCP's connect
// and a datagram that got lost in a full queue of the host's neighbours.
func (p packet) send(ctx context.Context, h *netns.Host, address string) {
	network := p.protocol
	if p.port == 0 {
		network = "ip4:" + p.protocol
	} else {
		address = fmt.Sprintf("%s:%d", address, p.port)
	}
	c, err := h.Dial(ctx, network, address)
	if err != nil {
		return
	}
	defer c.Close()
	if p.protocol != "tcp" {
		_, _ = c.Write(make([]byte, 8))
	}
}

var element = regexp.MustCompile(`([0-9.]+) \. (\w+) \. (\d+)`)

// elements reads a set of the table watched.
func elements(t *testing.T, h *netns.Host, set string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, m := range element.FindAllStringSubmatch(h.Run(t, "nft", "--numeric", "list", "set", "inet", "watched", set), -1) {
		protocol := m[2]
		switch protocol {
		case "6":
			protocol = "tcp"
		case "17":
			protocol = "udp"
		}
		all[m[1]+" . "+protocol+" . "+m[3]] = true
	}
	return all
}

func TestTheRulesLetInWhatTheTableLists(t *testing.T) {
	s := newSite(t)
	lines := matrix(t)
	packets := everything(lines)
	for to, name := range ours {
		rules := ruleset(t, name, s.defines)
		load(t, s.Host(to), rules)
		require.Equal(t, expected(lines, to, ""), s.try(t, to, packets), "let in by %s", name)

		// And each rule is there for its line.
		for _, rule := range named(rules) {
			require.True(t, slices.ContainsFunc(lines, func(l line) bool { return l.rule == rule }), "%s of %s is not in docs/ports.md", rule, name)
			load(t, s.Host(to), lacking(t, rules, rule))
			require.Equal(t, expected(lines, to, rule), s.try(t, to, packets), "let in by %s without %s", name, rule)
		}
	}
}

var ruleName = regexp.MustCompile(`accept comment "([\w-]+)"`)

// named are the names of the rules: comments of one word.
func named(rules string) (names []string) {
	for _, m := range ruleName.FindAllStringSubmatch(rules, -1) {
		names = append(names, m[1])
	}
	return names
}

// everything is each packet of the table, and some that nobody may send.
func everything(lines []line) []packet {
	seen := map[packet]bool{}
	all := []packet{{"tcp", 23}, {"tcp", 2375}, {"tcp", 3306}, {"tcp", 8080}, {"udp", 53}, {"udp", 2049}, {"89", 0}}
	for _, l := range lines {
		if !seen[l.packet] {
			seen[l.packet] = true
			all = append(all, l.packet)
		}
	}
	return all
}

// expected lists what the table lets in to a host, but for one rule.
func expected(lines []line, to, without string) (all []string) {
	seen := map[string]bool{}
	for _, l := range lines {
		if l.rule == "" || l.rule == without || l.rule == "published" || !slices.Contains(roles[l.to], to) {
			continue
		}
		for _, from := range roles[l.from] {
			if name := (probe{from, l.packet}).String(); from != to && !seen[name] {
				seen[name] = true
				all = append(all, name)
			}
		}
	}
	slices.Sort(all)
	return all
}

// TestPortsDocument types the commands of docs/ports.md on a host with an /etc
// of its own.
func TestPortsDocument(t *testing.T) {
	netns.Need(t, "nft")
	root, err := lab.Root()
	require.NoError(t, err)
	h := netns.New(t, "10.97.8.0/24", "node1").Host("node1")
	h.Run(t, "sh", "-c", "mkdir /run/upper /run/work && mount -t overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work overlay /etc")
	for _, command := range docs.Commands(t, "docs/ports.md", "TestPortsDocument") {
		out := h.Run(t, "sh", "-c", `cd "$0" && `+command, root)
		if strings.Contains(command, " list ") {
			require.Contains(t, out, `comment "swarm-overlay"`)
		}
	}
	require.Empty(t, h.Run(t, "nft", "list", "ruleset"))
	require.Equal(t, file(t, "deploy/firewall/swarm-node.nft"), h.Run(t, "cat", "/etc/berth/firewall.nft")+"\n")
}
