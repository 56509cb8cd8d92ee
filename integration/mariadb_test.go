package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// A database is Debian's MariaDB in a container of our image, with the
// machine's programs.
type database struct {
	t         *testing.T
	n         *lab.Node
	container string
}

// programs makes the machine's programs the container's.
var programs = []string{"-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro", "-v", "/usr/bin:/bin:ro",
	"-v", "/etc/passwd:/etc/passwd:ro", "--tmpfs", "/tmp", "--tmpfs", "/run", "--network", "none", "--volume-driver", "berth"}

// startDatabase runs a server on a volume, and waits until it answers.
func startDatabase(t *testing.T, n *lab.Node, container, volume string) database {
	t.Helper()
	args := append([]string{"run", "-d", "--name", container, "-v", volume + ":/var/lib/mysql", "--entrypoint", "/usr/sbin/mariadbd"}, programs...)
	n.Docker(t, append(args, lab.SiteImage, "--no-defaults", "--user=root", "--datadir=/var/lib/mysql", "--socket=/run/db.sock",
		"--skip-networking", "--innodb-buffer-pool-size=16M")...)
	d := database{t, n, container}
	d.answers()
	return d
}

// try asks the server, as one would at its prompt.
func (d database) try(sql string) (string, error) {
	return d.n.TryDocker("exec", d.container, "/usr/bin/mariadb", "--no-defaults", "--socket=/run/db.sock", "--batch", "--skip-column-names", "--execute", sql)
}

func (d database) ask(sql string) string {
	d.t.Helper()
	out, err := d.try(sql)
	require.NoError(d.t, err)
	return out
}

func (d database) answers() {
	d.t.Helper()
	lab.Eventually(d.t, d.container+" to answer", func() error {
		_, err := d.try("SELECT 1")
		if err != nil {
			logs, _ := d.n.TryDocker("logs", "--tail", "5", d.container)
			err = fmt.Errorf("%w; it says: %s", err, logs)
		}
		return err
	})
}

// requireClean lets the server check its tables.
func (d database) requireClean(rows int) {
	d.t.Helper()
	require.Equal(d.t, fmt.Sprint(rows), d.ask("SELECT COUNT(*) FROM shop.orders"))
	for line := range strings.Lines(d.ask("CHECK TABLE shop.orders EXTENDED")) {
		require.Regexp(d.t, `\tstatus\tOK\n?$`, line)
	}
}

func TestADatabaseGoesBackAndOneTableIsCarriedOver(t *testing.T) {
	if _, err := exec.LookPath("/usr/sbin/mariadbd"); err != nil {
		lab.Skip(t, "Debian's mariadb-server is not installed")
	}
	_, n := single(t, lab.Options{})
	n.Docker(t, "volume", "create", "-d", "berth", "-o", "access=single", "db")
	args := append([]string{"run", "--rm", "-v", "db:/var/lib/mysql", "--entrypoint", "/usr/bin/bash"}, programs...)
	n.Docker(t, append(args, lab.SiteImage, "/usr/bin/mariadb-install-db", "--no-defaults", "--user=root", "--datadir=/var/lib/mysql",
		"--auth-root-authentication-method=normal", "--skip-test-db")...)
	db := startDatabase(t, n, "db", "db")
	db.ask("CREATE DATABASE shop; CREATE TABLE shop.orders (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(200)) ENGINE=InnoDB")
	db.ask("INSERT INTO shop.orders (what) SELECT REPEAT('x', 200) FROM shop.seq_1_to_1000")

	// An instant of the volume, as a filer's: on a local disk, by holding still.
	n.Docker(t, "pause", "db")
	n.Berth(t, "snapshot", "create", "db", "--name", "good")
	n.Docker(t, "unpause", "db")
	db.ask("INSERT INTO shop.orders (what) VALUES ('after the snapshot'); DROP TABLE shop.orders")

	_, err := n.TryBerth("snapshot", "restore", "db@good", "--live", "--yes")
	require.ErrorContains(t, err, "database", "not under a running server")
	n.Berth(t, "snapshot", "restore", "db@good", "--stop", "--yes")
	db.answers()
	db.requireClean(1000)
	n.Berth(t, "undo", "db", "--stop", "--yes")
	db.answers()
	_, err = db.try("SELECT COUNT(*) FROM shop.orders")
	require.ErrorContains(t, err, "doesn't exist")

	// docs/restore.md, "One dropped table".
	n.Berth(t, "snapshot", "restore", "db@good", "--as", "db_old")
	old := startDatabase(t, n, "old-db", "db_old")
	old.requireClean(1000)
	dump, err := n.TryDocker("exec", "old-db", "/usr/bin/mariadb-dump", "--no-defaults", "--socket=/run/db.sock", "shop", "orders")
	require.NoError(t, err)
	load := n.Command("docker", "exec", "-i", "db", "/usr/bin/mariadb", "--no-defaults", "--socket=/run/db.sock", "shop")
	load.Stdin = strings.NewReader(dump)
	load.Stderr = os.Stderr
	require.NoError(t, load.Run())
	db.requireClean(1000)
	n.Docker(t, "rm", "-f", "old-db")
	n.Docker(t, "volume", "rm", "db_old")
}
