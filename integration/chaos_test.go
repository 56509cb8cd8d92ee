package integration

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/integration/lab"
)

// The chaos on real engines: an operator types verbs on three nodes in the
// order that a seed says, while nodes lose power, plugins and engines are
// killed, cables are cut and exports go away under them. A model knows what
// every volume has to hold; it is compared with the export after each step.
// Leases under a simulated network and clock are TestChaos of package volume.

var (
	chaosSeeds = flag.Int("seeds", 1, "how many stories the chaos tells")
	chaosFirst = flag.Uint64("seed", 1, "the first of them")
)

const chaosSteps = 40

// chaos is one story.
type chaos struct {
	t      *testing.T
	l      *lab.Lab
	random *rand.Rand
	sites  []*modelSite
	off    map[*lab.Node]bool
	away   map[*lab.Node]bool // its export
	cut    map[*lab.Node]bool
	writes int
	snaps  int
	met    map[string]int
	log    []string
}

// modelSite is what a volume has to be.
type modelSite struct {
	name   string
	single bool
	there  bool
	text   string
	before *string           // what undo brings back
	trash  []string          // removed, oldest first
	snaps  map[string]string // versions
	holder *lab.Node         // a container runs there
}

func (c *chaos) note(format string, args ...any) {
	c.log = append(c.log, fmt.Sprintf(format, args...))
}

// usable are the nodes on which verbs have to work.
func (c *chaos) usable() (nodes []*lab.Node) {
	for _, n := range c.l.Nodes {
		if !c.off[n] && !c.away[n] {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func pick[T any](c *chaos, from []T) (one T) {
	if len(from) > 0 {
		one = from[c.random.IntN(len(from))]
	}
	return one
}

// outcome is checked against what the model expects: a refusal has to say so.
func (c *chaos) outcome(what string, n *lab.Node, err error, may bool, refusals ...string) bool {
	c.t.Helper()
	c.note("%s on %s: %v", what, n.Name, err)
	if err == nil {
		require.True(c.t, may, "%s on %s was not refused", what, n.Name)
		c.met[strings.Fields(what)[0]]++
		return true
	}
	require.False(c.t, may && len(refusals) == 0, "%s on %s: %v", what, n.Name, err)
	if len(refusals) > 0 {
		require.True(c.t, slices.ContainsFunc(refusals, func(r string) bool { return strings.Contains(err.Error(), r) }), "%s on %s: %v", what, n.Name, err)
	}
	c.met["refused"]++
	return false
}

// step does one thing.
func (c *chaos) step() {
	n, s := pick(c, c.usable()), pick(c, c.sites)
	if n == nil {
		c.mend()
		return
	}
	held := s.holder != nil
	elsewhere := s.single && held && s.holder != n
	switch c.random.IntN(14) {
	case 0, 1, 2:
		c.writes++
		text := fmt.Sprintf("text %d", c.writes)
		if !s.there {
			options := []string{"volume", "create", "-d", "berth"}
			if s.single {
				options = append(options, "-o", "access=single")
			}
			_, err := n.TryDocker(append(options, s.name)...)
			c.outcome("create "+s.name, n, err, true)
			s.there, s.text, s.before = true, "", nil
		}
		_, err := n.TryDocker("run", "--rm", "--network", "none", "-v", s.name+":/data", "--volume-driver", "berth", lab.SiteImage, "write", "/data/page", text)
		if c.outcome("write "+s.name, n, err, !elsewhere) {
			s.text = text
		}
	case 3:
		_, err := n.TryDocker("volume", "rm", s.name)
		if c.outcome("remove "+s.name, n, err, s.there && !held, "in use", "no such volume", "held by") && s.there {
			s.there, s.trash = false, append(s.trash, s.text)
		}
	case 4, 5:
		_, err := n.TryBerth("trash", "restore", s.name)
		if c.outcome("undelete "+s.name, n, err, !s.there && len(s.trash) > 0) {
			last := len(s.trash) - 1
			s.there, s.text, s.trash, s.before = true, s.trash[last], s.trash[:last], nil
		}
	case 6:
		c.snaps++
		name := fmt.Sprintf("%s.%d", s.name, c.snaps)
		_, err := n.TryBerth("snapshot", "create", s.name, "--name", name)
		if c.outcome("snapshot "+s.name, n, err, s.there) {
			s.snaps[name] = s.text
		}
	case 7, 8:
		name := ""
		for have := range s.snaps {
			name = max(name, have)
		}
		if name == "" || !s.there {
			return
		}
		_, err := n.TryBerth("snapshot", "restore", s.name+"@"+name, "--yes")
		if s.text == s.snaps[name] {
			c.note("restore %s to what it is: %v", s.name, err)
		} else if c.outcome("restore "+s.name, n, err, !held) {
			was := s.text
			s.before, s.text = &was, s.snaps[name]
		}
	case 9:
		if s.before == nil || !s.there {
			return
		}
		_, err := n.TryBerth("undo", s.name, "--yes")
		if *s.before == s.text {
			c.note("undo %s to what it is: %v", s.name, err)
		} else if c.outcome("undo "+s.name, n, err, !held) {
			was := s.text
			s.text, s.before = *s.before, &was
		}
	case 10:
		c.hold(n, s)
	default:
		c.fault(n)
	}
}

// hold starts a container that stays, or ends it.
func (c *chaos) hold(n *lab.Node, s *modelSite) {
	if s.holder != nil {
		if c.off[s.holder] {
			return
		}
		_, err := s.holder.TryDocker("rm", "--force", "hold-"+s.name)
		c.outcome("release "+s.name, s.holder, err, true)
		s.holder = nil
		return
	}
	if !s.there {
		return
	}
	_, err := n.TryDocker("run", "--detach", "--name", "hold-"+s.name, "--network", "none", "-v", s.name+":/data", "--volume-driver", "berth", lab.SiteImage, "append", "/data/log")
	if c.outcome("hold "+s.name, n, err, true) {
		s.holder = n
	}
}

// fault breaks or mends something at a node.
func (c *chaos) fault(n *lab.Node) {
	t := c.t
	others := c.usable()
	what := pick(c, []string{"power", "power", "plugin", "engine", "export", "cable"})
	c.met[what]++
	c.note("-- %s: %s", n.Name, what)
	switch what {
	case "power":
		if len(others) < 2 {
			c.mend()
			return
		}
		require.NoError(t, n.Kill9())
		c.off[n] = true
	case "plugin":
		pid, err := n.PluginPID()
		require.NoError(t, err)
		require.NoError(t, unix.Kill(pid, unix.SIGKILL))
		lab.Eventually(t, "the plugin to be there again", func() error {
			_, err := n.TryBerth("volume", "ls")
			return err
		})
	case "engine":
		// Killed, it forgets to tell of the containers that it ends.
		require.NoError(t, n.RestartEngine(unix.SIGTERM))
		for _, s := range c.sites {
			if s.holder == n {
				_, err := n.TryDocker("rm", "--force", "hold-"+s.name)
				require.NoError(t, err)
				s.holder = nil
			}
		}
		c.waitFor(n)
	case "export":
		if len(others) < 2 || slices.ContainsFunc(c.sites, func(s *modelSite) bool { return s.holder == n }) {
			return
		}
		require.NoError(t, n.TakeExportAway())
		c.away[n] = true
		began := time.Now()
		n.Docker(t, "volume", "ls", "--quiet")
		require.Less(t, time.Since(began), 30*time.Second, "docker volume ls without an export")
	case "cable":
		if c.cut[n] {
			require.NoError(t, n.Heal())
		} else {
			require.NoError(t, n.Cut())
		}
		c.cut[n] = !c.cut[n]
	}
}

// waitFor waits until verbs work on a node.
func (c *chaos) waitFor(n *lab.Node) {
	lab.Eventually(c.t, n.Name+" to work", func() error {
		_, err := n.TryBerth("volume", "ps")
		return err
	})
}

// mend brings every node back. What a node held that lost its power is taken
// over from it first.
func (c *chaos) mend() {
	t := c.t
	c.note("-- all nodes come back")
	for _, n := range c.l.Nodes {
		if c.away[n] {
			require.NoError(t, n.BringExportBack())
			c.away[n] = false
			c.waitFor(n)
		}
	}
	for _, s := range c.sites {
		if s.holder == nil || !c.off[s.holder] {
			continue
		}
		n := c.usable()[0]
		if s.single {
			lab.Eventually(t, s.name+" to be taken over from "+s.holder.Name, func() error {
				_, err := n.TryBerth("volume", "takeover", s.name, "--from", s.holder.Name, "--yes")
				return err
			})
			c.met["takeover"]++
			require.Regexp(t, "fenced", n.Berth(t, "trash", "ls"))
		}
	}
	for _, n := range c.l.Nodes {
		if c.cut[n] && !c.off[n] {
			require.NoError(t, n.Heal())
		}
		if c.off[n] {
			require.NoError(t, n.Boot())
			c.off[n] = false
			c.waitFor(n)
			for _, s := range c.sites {
				if s.holder == n {
					_, err := n.TryDocker("rm", "--force", "hold-"+s.name)
					require.NoError(t, err)
					s.holder = nil
					c.forgetLost(n, s)
				}
			}
		}
		c.cut[n] = false
	}
}

// forgetLost has the engine say that nobody on the node uses a volume: the
// machine's boot id does not change with a node's power, as a real node's does.
func (c *chaos) forgetLost(n *lab.Node, s *modelSite) {
	if s.single || !s.there {
		return
	}
	c.outcome("remove "+s.name, n, func() error { _, err := n.TryDocker("volume", "rm", s.name); return err }(), true)
	_, err := n.TryBerth("trash", "restore", s.name)
	c.outcome("undelete "+s.name, n, err, true)
	s.before = nil
}

// check compares the export with the model.
func (c *chaos) check() {
	c.t.Helper()
	for _, s := range c.sites {
		text, err := os.ReadFile(filepath.Join(c.l.Export, s.name, "page"))
		if s.there {
			if s.text != "" {
				require.NoError(c.t, err, "%s", s.name)
			}
			require.Equal(c.t, s.text, strings.TrimSpace(string(text)), "%s", s.name)
		} else {
			require.NoDirExists(c.t, filepath.Join(c.l.Export, s.name))
		}
	}
	if n := pick(c, c.usable()); n != nil {
		listed := volumes(c.t, n)
		for _, s := range c.sites {
			require.Equal(c.t, s.there, slices.Contains(listed, s.name), "%s lists %v", n.Name, listed)
		}
	}
}

func TestChaosOnRealEngines(t *testing.T) {
	l := swarm(t)
	met := map[string]int{}
	began := time.Now()
	for i := range uint64(*chaosSeeds) {
		seed := *chaosFirst + i
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			c := &chaos{t: t, l: l, random: rand.New(rand.NewPCG(seed, 2)), met: met,
				off: map[*lab.Node]bool{}, away: map[*lab.Node]bool{}, cut: map[*lab.Node]bool{}}
			for _, name := range []string{"blog", "shop", "db"} {
				c.sites = append(c.sites, &modelSite{name: fmt.Sprintf("chaos%d-%s", seed, name), single: name == "db", snaps: map[string]string{}})
			}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the story of -seed %d:\n%s", seed, strings.Join(c.log, "\n"))
				}
				c.mend()
				for _, s := range c.sites {
					if s.holder != nil {
						_, _ = s.holder.TryDocker("rm", "--force", "hold-"+s.name)
					}
					_, _ = l.Nodes[0].TryDocker("volume", "rm", s.name)
				}
			})
			for range chaosSteps {
				c.step()
				c.check()
			}
			c.mend()
			c.check()
		})
	}
	t.Logf("%d seeds in %s: %v", *chaosSeeds, time.Since(began).Round(time.Second), met)
}
