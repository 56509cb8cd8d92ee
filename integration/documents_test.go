package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
)

var remark = regexp.MustCompile(`\s+# .*$`)

// asks are the commands that a person at a terminal is asked about, and
// differing those whose exit code 1 is an answer.
var (
	asks      = regexp.MustCompile(`^berth (snapshot restore|undo|snapshot rm|trash purge)\b`)
	differing = regexp.MustCompile(`^berth (snapshot diff|stack check|doctor|proxy render .*--diff)\b`)
)

// typeIn types a document's command at the node's shell, in dir, and agrees
// where berth asks.
func typeIn(t *testing.T, n *lab.Node, dir, command string) string {
	t.Helper()
	command = remark.ReplaceAllString(command, "")
	if asks.MatchString(command) && !strings.Contains(command, "--dry-run") {
		command += " --yes"
	}
	path := filepath.Join(lab.PluginFolder(t), "rootfs") + ":" + os.Getenv("PATH")
	out, err := n.Run("env", "-C", dir, "PATH="+path, "bash", "-euo", "pipefail", "-c", command)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 && differing.MatchString(command) {
		return out
	}
	require.NoError(t, err, "%s\n%s", command, out)
	return out
}

// TestTheDocumentsAreTyped types what docs/restore.md and docs/options.md say,
// in their order.
func TestTheDocumentsAreTyped(t *testing.T) {
	l, n := single(t, lab.Options{})
	n.Docker(t, "tag", lab.SiteImage, "site")
	file := func(name, text string) {
		t.Helper()
		name = filepath.Join(l.Export, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	for _, v := range []string{"blog", "shop_web", "shop_db"} {
		n.Docker(t, "volume", "create", "-d", "berth", v)
	}
	fill := func(blog string) {
		t.Helper()
		file(blog+"/index.php", "as of "+blog)
		file(blog+"/wp-config.php", "config of "+blog)
		file(blog+"/wp-content/plugin.php", "plugin")
	}
	fill("blog")
	file("shop_web/page", "page")
	n.Berth(t, "snapshot", "create", "--name", "nightly")
	// What another tool made the day before.
	fill(".snapshot/daily." + time.Now().AddDate(0, 0, -1).Format("2006-01-02") + "_0010/blog")
	require.NoError(t, os.Remove(filepath.Join(l.Export, "blog/wp-content/plugin.php")))
	file("blog/index.php", "HACKED")
	file("blog/wp-config.php", "HACKED too")
	file("shop_web/page", "HACKED")

	dir := t.TempDir()
	for _, c := range docs.Commands(t, "docs/restore.md", "TestTheDocumentsAreTyped") {
		if strings.Contains(c, "--stop") && strings.HasPrefix(c, "berth snapshot restore blog") {
			startWriter(t, l, n, "blog")
		}
		out := typeIn(t, n, dir, c)
		if strings.HasPrefix(c, "docker run") {
			require.Equal(t, "config of blog", out)
		}
	}
	text, err := os.ReadFile(filepath.Join(l.Export, "blog", "index.old"))
	require.NoError(t, err)
	require.Contains(t, string(text), "as of .snapshot/daily.")
	require.DirExists(t, filepath.Join(l.Export, "blog-old"))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yml"), []byte(`
services: {}
volumes:
  web: { driver: berth, driver_opts: { mode: "2775" } }
  db: { driver: berth, driver_opts: { access: single } }
`), 0o644))
	for _, c := range docs.Commands(t, "docs/options.md", "TestTheDocumentsAreTyped") {
		require.Contains(t, typeIn(t, n, dir, c), "berth volume set shop_db access=single")
	}
}
