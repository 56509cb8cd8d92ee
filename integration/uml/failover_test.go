package uml

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/integration/lab"
)

// trio is a shared lab: a swarm of three hosts, with the plugin on the export of
// a filer that makes snapshots.
func trio(t *testing.T) *Lab {
	t.Helper()
	return swarms.share(t, func(t testing.TB) (*Lab, error) {
		return StartSwarm(t, 3, "BERTH_MOUNT_OPTIONS=vers=3,hard,proto=tcp,noacl", "BERTH_LEASE_TTL=9s")
	})
}

// serve starts a service on one of the workers, for as long as the test runs. A
// task that ends is replaced at once.
func serve(t *testing.T, l *Lab, name string, args ...string) {
	t.Helper()
	l.Manager().Docker(t, append([]string{"service", "create", "--detach", "--quiet", "--no-resolve-image", "--name", name, "--restart-delay", "0s",
		"--constraint", "node.role==worker"}, args...)...)
	t.Cleanup(func() { lab.Insist(t, l.Manager(), "service", "rm", name) })
}

// onVolume is a volume of berth for a service.
func onVolume(volume, target string) string {
	return "--mount=type=volume,volume-driver=berth,source=" + volume + ",target=" + target
}

// webPort is where the ingress answers, on every host.
const webPort = 8080

// browse gets a page from the ingress of a host.
func browse(h *Host, page string) (string, error) {
	answer, err := h.lab.client(5 * time.Second).Get(fmt.Sprintf("http://%s:%d/%s", h.Address, webPort, page))
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", page, answer.Status)
	}
	return string(text), err
}

// serveDatabase starts a service that is Debian's MariaDB, with the host's
// programs and on the host's network.
func serveDatabase(t *testing.T, l *Lab, name, volume string) {
	t.Helper()
	args := []string{"--network", "host", "--entrypoint", "/usr/sbin/mariadbd", onVolume(volume, "/var/lib/mysql")}
	for _, m := range [][2]string{{"/usr", "/usr"}, {"/usr/lib", "/lib"}, {"/usr/lib64", "/lib64"}, {"/etc/passwd", "/etc/passwd"}} {
		args = append(args, "--mount=type=bind,readonly,source="+m[0]+",target="+m[1])
	}
	for _, dir := range []string{"/tmp", "/run"} {
		args = append(args, "--mount=type=tmpfs,target="+dir)
	}
	serve(t, l, name, append(args, lab.SiteImage, "--no-defaults", "--user=root", "--datadir=/var/lib/mysql",
		"--socket=/run/db.sock", "--skip-grant-tables", "--skip-name-resolve", "--innodb-buffer-pool-size=16M",
		"--innodb-buffer-pool-size-max=16M", "--innodb-log-file-size="+logFileSize)...)
}

// logFileSize keeps what a takeover has to copy small.
const logFileSize = "16M"

// plantDatabase makes the directory of an empty database on the export.
func plantDatabase(t *testing.T, l *Lab, volume string) {
	t.Helper()
	c := Command{Args: []string{"mariadb-install-db", "--no-defaults", "--user=root", "--datadir=" + exportPath + "/" + volume,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=" + logFileSize}}
	var r Result
	require.NoError(t, l.agent.Call("Agent.Run", c, &r))
	require.NoError(t, r.error(c.Args))
}

// A session is a client of the database on a host that stays connected.
type session struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // what it answers; closed when it has ended
}

func connect(l *Lab, h *Host) (*session, error) {
	cmd := exec.Command("nsenter", "-t", fmt.Sprint(l.room.Process.Pid), "-n", "--", "mariadb", "--no-defaults", "--user=root",
		"--host="+h.Address, "--connect-timeout=5", "--batch", "--skip-column-names", "--unbuffered")
	cmd.Env = systemEnv()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s := &session{cmd: cmd, in: in, lines: make(chan string, 100)}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.lines)
		for text := bufio.NewScanner(out); text.Scan(); {
			s.lines <- text.Text()
		}
	}()
	return s, nil
}

// ask sends statements, of which the last one answers with one line.
func (s *session) ask(sql string) (string, error) {
	if _, err := io.WriteString(s.in, sql+";\n"); err != nil {
		return "", err
	}
	select {
	case line, ok := <-s.lines:
		if !ok {
			return "", errors.New("the connection is closed")
		}
		return line, nil
	case <-time.After(10 * time.Second):
		return "", errors.New("no answer")
	}
}

func (s *session) close() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// query asks the database on a host, once.
func query(l *Lab, h *Host, sql string) (string, error) {
	s, err := connect(l, h)
	if err != nil {
		return "", err
	}
	defer s.close()
	return s.ask(sql)
}

// order inserts one row after the other into the database on a host, and
// counts those that are acknowledged, until it no longer answers.
func order(l *Lab, h *Host, acknowledged *atomic.Int64) error {
	s, err := connect(l, h)
	if err != nil {
		return err
	}
	defer s.close()
	for {
		id := acknowledged.Load() + 1
		if _, err := s.ask(fmt.Sprintf("INSERT INTO shop.orders VALUES (%d, REPEAT('x', 100)); SELECT 1", id)); err != nil {
			return err
		}
		acknowledged.Store(id)
	}
}

// marks are the parts of a recovery, in the order in which they ended.
type marks struct {
	began time.Time
	last  time.Time
	parts []string
}

// end notes the end of a part, once.
func (m *marks) end(part string) {
	for _, p := range m.parts {
		if strings.HasPrefix(p, part+" ") {
			return
		}
	}
	now := time.Now()
	m.parts = append(m.parts, fmt.Sprintf("%s %.1f s", part, now.Sub(m.last).Seconds()))
	m.last = now
}

func (m *marks) String() string {
	return fmt.Sprintf("%.1f s: %s", m.last.Sub(m.began).Seconds(), strings.Join(m.parts, ", "))
}

// epoch is a volume's highest, as it is on the export.
func epoch(l *Lab, name string) (top cluster.Epoch, number int) {
	entries, _ := os.ReadDir(l.Server.Path(".berth", "leases", name))
	for _, e := range entries {
		n, err := strconv.Atoi(strings.TrimPrefix(e.Name(), "epoch."))
		if err == nil && n > number {
			number = n
		}
	}
	_ = l.Server.control(&top, "leases", name, fmt.Sprintf("epoch.%d", number))
	return top, number
}

// recovery follows how a service on an access=single volume comes back on
// another host than it was, until it answers there. break breaks that host.
func recovery(t *testing.T, l *Lab, service, name string, was *Host, breakHost func() error, answers func(*Host) error) (*Host, *marks) {
	t.Helper()
	old := map[string]bool{}
	tasks, err := l.Tasks(service)
	require.NoError(t, err)
	for _, task := range tasks {
		old[task.ID] = true
	}
	_, before := epoch(l, name)
	now := time.Now()
	m := &marks{began: now, last: now}
	require.NoError(t, breakHost())
	var host *Host
	lab.Eventually(t, service+" to answer on another host", func() error {
		tasks, err := l.Tasks(service)
		if err != nil {
			return err
		}
		host = nil
		for _, task := range tasks {
			if old[task.ID] {
				continue
			}
			m.end("swarm's detection")
			if task.DesiredState == "running" && task.Status.State == "running" {
				host = task.Host
			}
		}
		var lock cluster.Lock
		top, number := epoch(l, name)
		if l.Server.control(&lock, "locks", name) == nil && lock.Op == cluster.OpTakeover || number > before {
			m.end("lease")
		}
		if number > before {
			m.end("takeover")
		}
		if number > before && top.State == cluster.Held {
			m.end("mount")
		}
		if host == nil {
			return errors.New(describe(tasks))
		}
		m.end("container")
		return answers(host)
	})
	m.end("recovery in it")
	return host, m
}

func TestADatabaseOutlivesTheNodeThatRunsIt(t *testing.T) {
	if _, err := exec.LookPath("mariadbd"); err != nil {
		lab.Skip(t, "Debian's mariadb-server is not installed")
	}
	l := trio(t)
	l.Manager().Docker(t, "volume", "create", "-d", "berth", "-o", "access=single", "shop_db")
	plantDatabase(t, l, "shop_db")
	began := time.Now()
	serveDatabase(t, l, "shop_db", "shop_db")
	serve(t, l, "shop_web", "--publish", "8080:80", onVolume("shop_pages", "/data"), lab.SiteImage, "serve", "/data")
	holder := l.Running(t, "shop_db", 1)[0].Host
	answers := func(h *Host) error {
		_, err := query(l, h, "SELECT 1")
		return err
	}
	lab.Eventually(t, "the database to answer", func() error { return answers(holder) })
	t.Logf("the database answers on %s after %s", holder.Name, time.Since(began).Round(time.Millisecond))
	_, err := query(l, holder, "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, what VARCHAR(200)) ENGINE=InnoDB; SELECT 1")
	require.NoError(t, err)
	l.Running(t, "shop_web", 1)
	require.NoError(t, os.WriteFile(l.Server.Path("shop_pages", "index.html"), []byte("hello"), 0o644))
	for _, h := range l.Hosts {
		requirePage(t, h)
	}
	t.Logf("the site is served by every host after %s", time.Since(began).Round(time.Millisecond))

	var acknowledged atomic.Int64
	ended := make(chan error, 1)
	go func() { ended <- order(l, holder, &acknowledged) }()
	lab.Eventually(t, "orders", func() error {
		if n := acknowledged.Load(); n < 200 {
			return fmt.Errorf("%d so far", n)
		}
		return nil
	})
	t.Cleanup(func() {
		if holder.pid == 0 {
			require.NoError(t, holder.Start())
		}
	})
	now, m := recovery(t, l, "shop_db", "shop_db", holder, holder.PowerOff, answers)
	t.Logf("%s is off, the database answers on %s after %s", holder.Name, now.Name, m)
	require.Error(t, <-ended)
	orders := acknowledged.Load()
	got, err := query(l, now, fmt.Sprintf("SELECT CONCAT(COUNT(*), ' ', MAX(id)) FROM shop.orders WHERE id <= %d", orders))
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("%d %d", orders, orders), got, "every acknowledged order is there")
	got, err = query(l, now, "CHECK TABLE shop.orders EXTENDED")
	require.NoError(t, err)
	require.Regexp(t, `\tstatus\tOK$`, got)
	t.Logf("%d orders were acknowledged, and are there", orders)
	for _, h := range l.Others(holder) {
		requirePage(t, h)
	}
	require.Regexp(t, `takeover +shop_db`, now.Berth(t, "audit"))
	require.Regexp(t, `shop_db.*fenced`, now.Berth(t, "trash", "ls"))

	began = time.Now()
	require.NoError(t, holder.Start())
	lab.Eventually(t, holder.Name+" to be back", func() error { return ready(l, holder) })
	t.Logf("%s is back in the swarm after %s", holder.Name, time.Since(began).Round(time.Millisecond))
	t.Log(holder.Berth(t, "volume", "ps", "shop_db"))
	require.NoError(t, answers(now), "and the database stays where it is")
}

// ready tells whether a host is a member of the swarm in good standing.
func ready(l *Lab, h *Host) error {
	nodes, err := l.nodes()
	for _, n := range nodes {
		if n.Description.Hostname == h.Name && n.Status.State != "ready" {
			err = fmt.Errorf("it is %s", n.Status.State)
		}
	}
	return err
}

func requirePage(t *testing.T, h *Host) {
	t.Helper()
	lab.Eventually(t, "the page from "+h.Name, func() error {
		text, err := browse(h, "")
		if err == nil && text != "hello" {
			err = fmt.Errorf("it is %q", text)
		}
		return err
	})
}
