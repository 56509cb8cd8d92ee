package uml

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/integration/lab"
)

// In a lab with a swarm the filer has addresses that nothing else has, so that
// the way to it can be cut, and hosts know it by a name, so that it can move.
const (
	filerName    = "filer"
	filerAddress = "10.99.0.2"
	movedAddress = "10.99.0.3"
	apiAddress   = "10.99.0.4"
)

// FilerURL is the export as a setting of berth on the hosts of a swarm.
var FilerURL = strings.Replace(ExportURL, serverAddress, filerName, 1)

// StartSwarm starts a lab that ends with the test process: hosts of one swarm,
// with the plugin in its settings, on the export of a filer with an API. The
// first host alone manages it. Managers that are cut off and come back make the
// others elect another leader, which has taken them 10 s, and more than a minute
// on a machine with much to do: that is Raft's matter, not berth's.
func StartSwarm(t testing.TB, hosts int, settings ...string) (*Lab, error) {
	l, err := start(t, hosts, filerAddress)
	if err != nil {
		return nil, err
	}
	if err := l.joinSwarm(t, settings); err != nil {
		l.Log(t)
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Lab) joinSwarm(t testing.TB, settings []string) error {
	filer, err := l.Server.StartFiler()
	if err != nil {
		return err
	}
	// The API has another certificate after every start, and hosts do not see
	// files of the machine change.
	filer = slices.DeleteFunc(filer, func(s string) bool { return strings.HasPrefix(s, "BERTH_ONTAP_CA=") })
	settings = slices.Concat([]string{"BERTH_EXPORT=" + FilerURL, "BERTH_ONTAP_INSECURE=1"}, filer, settings)
	var all errgroup.Group
	for _, h := range l.Hosts {
		all.Go(func() error { return h.InstallPlugin(settings...) })
	}
	all.Go(func() error {
		first := l.Manager()
		if _, err := first.TryDocker("swarm", "init", "--advertise-addr", first.Address, "--dispatcher-heartbeat", "2s", "--task-history-limit", "50"); err != nil {
			return err
		}
		token, err := first.TryDocker("swarm", "join-token", "--quiet", "worker")
		for _, h := range l.Hosts[1:] {
			if err == nil {
				_, err = h.TryDocker("swarm", "join", "--advertise-addr", h.Address, "--token", token, first.Address+":2377")
			}
		}
		return err
	})
	return all.Wait()
}

// A Side is what a host has a way to.
type Side int

// The sides of a host.
const (
	Swarm Side = iota // the other hosts
	Filer             // the export, its locks and the filer's API
)

// Cut cuts the host off from a side, both ways.
func (h *Host) Cut(s Side) error { return h.drop(s, true, true) }

// CutIn loses what comes from a side; what the host sends still arrives.
func (h *Host) CutIn(s Side) error { return h.drop(s, true, false) }

// CutOut loses what the host sends to a side; what comes still arrives.
func (h *Host) CutOut(s Side) error { return h.drop(s, false, true) }

// drop makes the host's kernel lose packets. The test reaches the host all the
// time, as its own address is on no side.
func (h *Host) drop(s Side, in, out bool) error {
	far := []string{filerAddress, movedAddress, apiAddress}
	if s == Swarm {
		far = nil
		for _, other := range h.lab.Hosts {
			if other != h {
				far = append(far, other.Address)
			}
		}
	}
	var rules []string
	for _, address := range far {
		if in {
			rules = append(rules, "INPUT -s "+address+" -j DROP")
		}
		if out {
			rules = append(rules, "OUTPUT -d "+address+" -j DROP")
		}
	}
	if h.cuts == nil {
		h.cuts = map[Side][]string{}
	}
	h.cuts[s] = append(h.cuts[s], rules...)
	return h.filter("-I ", rules)
}

// Heal ends every cut of the host.
func (h *Host) Heal() error { return errors.Join(h.Reach(Filer), h.Reach(Swarm)) }

// Reach ends the host's cuts from one side.
func (h *Host) Reach(s Side) error {
	rules := h.cuts[s]
	delete(h.cuts, s)
	if len(rules) == 0 || h.agent == nil {
		return nil
	}
	return h.filter("-D ", rules)
}

func (h *Host) filter(verb string, rules []string) error {
	// The engine changes rules too: its turn is waited for.
	c := Command{Args: []string{"iptables-restore", "--wait", "30", "--noflush"}, Stdin: "*filter\n"}
	for _, rule := range rules {
		c.Stdin += verb + rule + "\n"
	}
	c.Stdin += "COMMIT\n"
	var r Result
	if err := h.agent.Call("Agent.Run", c, &r); err != nil {
		return err
	}
	return r.error(c.Args)
}

// client makes requests in the lab's network.
func (l *Lab) client(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(_ context.Context, _, address string) (net.Conn, error) { return l.dial(address) },
	}}
}

// get asks the host's engine, whose command line is slower than its answers.
func (h *Host) get(path string, into any, timeout time.Duration) error {
	answer, err := h.lab.client(timeout).Get("http://" + h.Address + dockerPort + path)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s answers %s: %s", h.Name, path, answer.Status, bytes.TrimSpace(text))
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	return err
}

// Manager is the host that manages the swarm.
func (l *Lab) Manager() *Host { return l.Hosts[0] }

// A node is a host, as the manager knows it.
type node struct {
	ID          string
	Description struct{ Hostname string }
	Status      struct{ State string }
}

func (l *Lab) nodes() (nodes []node, err error) {
	return nodes, l.Manager().get("/nodes", &nodes, 10*time.Second)
}

// A Task is one of a service's, as the manager knows it.
type Task struct {
	ID           string
	NodeID       string
	Slot         int
	CreatedAt    time.Time
	DesiredState string
	Status       struct {
		Timestamp       time.Time
		State           string
		Err             string
		ContainerStatus struct{ ContainerID string }
	}

	Host *Host `json:"-"` // nil before it has one
}

// Tasks are the tasks of a service, the newest first.
func (l *Lab) Tasks(service string) ([]Task, error) {
	nodes, err := l.nodes()
	if err != nil {
		return nil, err
	}
	var tasks []Task
	filters := fmt.Sprintf(`{"service":[%q]}`, service)
	if err := l.Manager().get("/tasks?filters="+url.QueryEscape(filters), &tasks, 10*time.Second); err != nil {
		return nil, err
	}
	hosts := map[string]*Host{} // by the IDs of their nodes
	for _, n := range nodes {
		for _, h := range l.Hosts {
			if h.Name == n.Description.Hostname {
				hosts[n.ID] = h
			}
		}
	}
	for i := range tasks {
		tasks[i].Host = hosts[tasks[i].NodeID]
	}
	slices.SortFunc(tasks, func(a, b Task) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return tasks, nil
}

// Running waits until the tasks of a service that should run do: so many, and
// none on the hosts to avoid.
func (l *Lab) Running(t testing.TB, service string, count int, avoid ...*Host) []Task {
	t.Helper()
	var running []Task
	lab.Eventually(t, fmt.Sprintf("%d running tasks of %s", count, service), func() error {
		tasks, err := l.Tasks(service)
		if err != nil {
			return err
		}
		running = nil
		for _, task := range tasks {
			if task.DesiredState == "running" && task.Status.State == "running" && !slices.Contains(avoid, task.Host) {
				running = append(running, task)
			}
		}
		if len(running) != count {
			return fmt.Errorf("there are %d; %s", len(running), describe(tasks))
		}
		return nil
	})
	return running
}

// describe is for messages.
func describe(tasks []Task) string {
	var lines []string
	for _, task := range tasks {
		on := "nowhere"
		if task.Host != nil {
			on = task.Host.Name
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s, to be %s, on %s %s", task.Status.State, task.DesiredState, on, task.Status.Err)))
	}
	return strings.Join(lines, "\n")
}

// Others are the hosts but for some.
func (l *Lab) Others(but ...*Host) []*Host {
	return slices.DeleteFunc(slices.Clone(l.Hosts), func(h *Host) bool { return slices.Contains(but, h) })
}

// Move makes the filer crash and come back at another address, under its name.
func (s *Server) Move(address string) error {
	if err := s.Kill(); err != nil {
		return err
	}
	if err := s.lab.ip("addr del "+s.address+"/24 dev br0", "addr add "+address+"/24 dev br0"); err != nil {
		return err
	}
	s.address = address
	if s.api != nil {
		if err := s.api.stop(); err != nil {
			return err
		}
		if err := s.api.start(); err != nil {
			return err
		}
	}
	for _, h := range s.lab.Hosts {
		// In place: the plugin has this very file.
		if _, err := h.TryRun("sh", "-c", fmt.Sprintf("printf '%%s' '%s' >/etc/hosts", hostsFile(h.Name, address))); err != nil {
			return err
		}
	}
	s.lab.filer = address
	return s.Start()
}

// Fill leaves no space on the export, until Free.
func (s *Server) Fill() error {
	var st unix.Statfs_t
	if err := unix.Statfs(s.Path(), &st); err != nil {
		return err
	}
	return s.resize(fmt.Sprint((st.Blocks - st.Bfree) * uint64(st.Bsize)))
}

// Free ends Fill.
func (s *Server) Free() error { return s.resize("50%") }

func (s *Server) resize(size string) error {
	var r Result
	c := Command{Args: []string{"mount", "-o", "remount,size=" + size, "/run"}}
	if err := s.lab.agent.Call("Agent.Run", c, &r); err != nil {
		return err
	}
	return r.error(c.Args)
}

// control reads one of berth's own files on the export, past the server.
func (s *Server) control(into any, elem ...string) error {
	text, err := os.ReadFile(s.Path(append([]string{".berth"}, elem...)...))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	return err
}
