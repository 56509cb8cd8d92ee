package uml

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// ledger is a service on an access=single volume of its own that writes
// records with its host's name and a number, each acknowledged only when it is
// on the filer. The first number of a successor follows the last one found.
type ledger struct {
	t      *testing.T
	l      *Lab
	name   string
	holder *Host  // where it runs
	task   string // its container there
}

func startLedger(t *testing.T, l *Lab, name string) *ledger {
	t.Helper()
	for _, h := range l.Hosts {
		lab.Eventually(t, h.Name+" to be in the swarm", func() error { return ready(l, h) })
	}
	l.Manager().Docker(t, "volume", "create", "-d", "berth", "-o", "access=single", name)
	serve(t, l, name, "--network", "host", "--stop-grace-period", "1s", onVolume(name, "/data"), lab.SiteImage, "stamp", "/data/log")
	x := &ledger{t: t, l: l, name: name}
	t.Cleanup(func() {
		for _, h := range l.Hosts {
			require.NoError(t, h.Heal())
		}
	})
	x.settle()
	x.grows(x.holder.Name)
	return x
}

// settle notes where the service runs.
func (x *ledger) settle(avoid ...*Host) {
	x.t.Helper()
	task := x.l.Running(x.t, x.name, 1, avoid...)[0]
	x.holder, x.task = task.Host, task.Status.ContainerStatus.ContainerID
}

// lines are the records of a log on the export.
func (x *ledger) lines(elem ...string) []string {
	text, _ := os.ReadFile(x.l.Server.Path(elem...))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return slices.DeleteFunc(lines, func(l string) bool { return l == "" })
}

// grows waits until a host has written more records into the volume.
func (x *ledger) grows(host string) {
	x.t.Helper()
	before := len(x.lines(x.name, "log"))
	lab.Eventually(x.t, "records of "+host, func() error {
		now := x.lines(x.name, "log")
		if len(now) < before+3 || !strings.HasPrefix(now[len(now)-1], host+" ") {
			return fmt.Errorf("%d records, now %d, the last %q", before, len(now), slices.Concat([]string{""}, now)[len(now)])
		}
		return nil
	})
}

// acknowledged are the records that a container was told are written.
func (x *ledger) acknowledged(h *Host, container string) []string {
	x.t.Helper()
	out, err := h.TryDocker("logs", container)
	require.NoError(x.t, err)
	return slices.DeleteFunc(strings.Split(out, "\n"), func(l string) bool { return l == "" || strings.HasPrefix(l, "found") })
}

// requireOneWriter checks that the numbers of a log go up by one: the host that
// wrote into that tree did so alone, and went on where the last one had ended.
// A swarm may start a host's next container before its last one has ended, so
// one host may repeat a number. It returns the hosts in the order in which they
// wrote.
func requireOneWriter(t *testing.T, lines []string) (hosts []string) {
	t.Helper()
	last := 0
	for i, line := range lines {
		var host string
		var number int
		_, err := fmt.Sscan(line, &host, &number)
		require.NoError(t, err, "record %d is %q", i+1, line)
		if len(hosts) == 0 || host != hosts[len(hosts)-1] || number > last {
			require.Equal(t, last+1, number, "record %d is %q", i+1, line)
		}
		last = max(last, number)
		if len(hosts) == 0 || hosts[len(hosts)-1] != host {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// fenced is the trash item of the tree that was taken over, "" for none.
func (x *ledger) fenced() string {
	x.t.Helper()
	var trash []struct{ ID, Kind, Volume string }
	out := x.l.Manager().Berth(x.t, "trash", "ls", "--json")
	require.NoError(x.t, json.Unmarshal([]byte(out), &trash), out)
	for _, i := range trash {
		if i.Kind == "fenced" && i.Volume == x.name {
			return i.ID
		}
	}
	return ""
}

// refusal waits until a task elsewhere was refused, and returns its words.
func (x *ledger) refusal(part string) (words string) {
	x.t.Helper()
	lab.Eventually(x.t, "a task that is refused", func() error {
		tasks, err := x.l.Tasks(x.name)
		if err != nil {
			return err
		}
		for _, task := range tasks {
			if strings.Contains(task.Status.Err, part) {
				words = task.Status.Err
				return nil
			}
		}
		return fmt.Errorf("%s", describe(tasks))
	})
	return words
}

// requireTakenOver checks, with the old holder healed, that nothing is lost and
// that no tree had two writers.
func (x *ledger) requireTakenOver(old *Host, container string, before []string) {
	x.t.Helper()
	id := x.fenced()
	require.NotEmpty(x.t, id)
	acknowledged := x.acknowledged(old, container) // before the files are read: it may still be writing
	live, kept := x.lines(x.name, "log"), x.lines(".berth", "trash", id, "data", "log")
	require.Equal(x.t, []string{old.Name, x.holder.Name}, requireOneWriter(x.t, live))
	require.Equal(x.t, []string{old.Name}, requireOneWriter(x.t, kept))
	require.Subset(x.t, live, before, "what was acknowledged before the takeover is in the volume")
	for _, record := range acknowledged {
		require.True(x.t, slices.Contains(live, record) || slices.Contains(kept, record), "%s was acknowledged and is nowhere", record)
	}
	late := 0
	for _, record := range kept {
		if !slices.Contains(live, record) {
			late++
		}
	}
	x.t.Logf("%d records in the volume, %d of them by %s; %d late ones of %s are in the trash", len(live), len(live)-len(kept)+late, x.holder.Name, late, old.Name)
	require.Regexp(x.t, `takeover +`+x.name, x.holder.Berth(x.t, "audit"))
}

func TestANodeThatReachesTheFilerKeepsItsVolume(t *testing.T) {
	l := trio(t)
	x := startLedger(t, l, "ledger-swarm")
	old := x.holder
	require.NoError(t, old.Cut(Swarm))
	began := time.Now()
	words := x.refusal("held by " + old.Name)
	t.Logf("refused after %s: %s", time.Since(began).Round(time.Second), words)
	require.Contains(t, words, "access=single")
	require.Contains(t, words, "heartbeat")
	for range 3 {
		x.grows(old.Name) // for longer than a lease: site down beats two writers
		time.Sleep(4 * time.Second)
	}
	require.NoError(t, old.Heal())
	// The swarm ends what it had given up, and the volume is given back.
	x.settle()
	x.grows(x.holder.Name)
	hosts := requireOneWriter(t, x.lines(x.name, "log"))
	require.Equal(t, old.Name, hosts[0])
	require.Empty(t, x.fenced(), "nothing was taken over")
	t.Logf("written by %v, one after the other", hosts)
}

// cutInMidWrite cuts a host off from the filer with a write under way that the
// filer has not seen: a record is one WRITE, and requests are lost first. A container
// that is killed then has one to make late; had only the answer been lost, none.
func cutInMidWrite(h *Host) error {
	err := h.CutOut(Filer)
	time.Sleep(2 * time.Second) // many records
	return errors.Join(err, h.CutIn(Filer))
}

func TestANodeThatIsCutOffIsFencedOff(t *testing.T) {
	l := trio(t)
	for _, c := range []struct {
		name  string
		cut   func(h *Host) error
		drain bool
	}{
		{"both", func(h *Host) error { return h.Cut(Filer) }, false},
		{"answers", func(h *Host) error { return h.CutIn(Filer) }, false},
		{"filer", cutInMidWrite, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := startLedger(t, l, "ledger-"+c.name)
			old, container := x.holder, x.task
			require.NoError(t, c.cut(old))
			began := time.Now()
			if c.drain {
				// The node looks well to the swarm, so an operator moves the task.
				lab.Insist(t, l.Manager(), "node", "update", "--availability", "drain", old.Name)
				t.Cleanup(func() { lab.Insist(t, l.Manager(), "node", "update", "--availability", "active", old.Name) })
			} else {
				require.NoError(t, old.Cut(Swarm))
			}
			x.settle(old)
			x.grows(x.holder.Name)
			before := x.acknowledged(old, container) // nothing is acknowledged to it from the cut on
			t.Logf("%s writes after %s", x.holder.Name, time.Since(began).Round(time.Second))
			// The filer first: the swarm ends the container as soon as it can, and
			// then it may have written nothing late.
			require.NoError(t, old.Reach(Filer))
			id := x.fenced()
			lab.Eventually(t, "the late writes", func() error {
				if live, kept := x.lines(x.name, "log"), x.lines(".berth", "trash", id, "data", "log"); len(kept) == 0 || slices.Contains(live, kept[len(kept)-1]) {
					return fmt.Errorf("%d records in the trash, all of them in the volume", len(kept))
				}
				return nil
			})
			require.NoError(t, old.Heal())
			lab.Eventually(t, old.Name+" to be back", func() error { return ready(l, old) })
			x.grows(x.holder.Name)
			x.requireTakenOver(old, container, before)
			lab.Eventually(t, "the late writes to be reported", func() error {
				if out := x.holder.Berth(t, "volume", "ps", x.name); !strings.Contains(out, "late writes: ") {
					return fmt.Errorf("%s", out)
				}
				return nil
			})
		})
	}
}
