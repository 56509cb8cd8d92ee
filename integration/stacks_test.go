package integration

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
)

// stackFiles are the shipped files on a swarm of one. There is no registry, so
// the image is ours, with this machine's programs and with scripts that do what
// the official images' entrypoints do. All else is as shipped, but that probes
// come each second, updates are not watched for a minute and, as the kernel may
// have no IPVS, ports are the node's and names the tasks': what the mesh and
// its addresses do is Docker's, and not tried here.
type stackFiles struct {
	t    *testing.T
	l    *lab.Lab
	n    *lab.Node
	root string // the top of the checkout
}

// A standIn is what runs in place of a service's official image: a script, as
// the user that the image's server is.
type standIn struct{ script, user string }

var (
	mariadb   = standIn{"mariadb.sh", "999:999"}
	wordpress = standIn{"wordpress.sh", "33:33"}
	drupal    = standIn{"drupal.sh", "33:33"}
	nginx     = standIn{"nginx.sh", "0:0"}
)

// sitesImage is the stand-ins' image. It has what drupal.yml relies on in the
// official one: a directory "sites" of www-data's, which Docker copies into the
// empty volume.
const sitesImage = "sites:1"

func newStackFiles(t *testing.T) stackFiles {
	t.Helper()
	for _, program := range []string{"/usr/sbin/mariadbd", "/usr/bin/php8.2", "/usr/sbin/php-fpm8.2", "/usr/sbin/nginx", "/usr/bin/curl", "/usr/share/wordpress/wp-load.php"} {
		if _, err := os.Stat(program); err != nil {
			lab.Skip(t, "the sites need Debian's mariadb-server, php-cli, php-fpm, php-mysql, nginx, curl and wordpress: no %s", program)
		}
	}
	l, n := single(t, lab.Options{})
	root, err := lab.Root()
	require.NoError(t, err)
	require.NoError(t, n.Import(sitesArchive(t), sitesImage))
	return stackFiles{t, l, n, root}
}

func sitesArchive(t *testing.T) io.Reader {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "tmp/", Mode: 0o1777}))
	for _, name := range []string{"opt/drupal/web/sites/", "opt/drupal/web/sites/default/", "opt/drupal/web/sites/default/default.settings.php"} {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Uid: 33, Gid: 33}))
	}
	require.NoError(t, w.Close())
	return &archive
}

// shell runs commands on the node as a user would, at the top of the checkout.
func (s stackFiles) shell(commands ...string) string {
	s.t.Helper()
	out, err := s.tryShell(commands...)
	require.NoError(s.t, err)
	return out
}

func (s stackFiles) tryShell(commands ...string) (string, error) {
	path := "PATH=" + lab.PluginFolder(s.t) + "/rootfs:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	return s.n.Run("env", path, "bash", "-euc", "cd "+s.root+"\n"+strings.Join(commands, "\n"))
}

// standIns puts programs of ours in the place of the images of a stack that is
// deployed already.
func (s stackFiles) standIns(stack, file string, port int, env string, services map[string]standIn) {
	s.t.Helper()
	over := "version: \"3.8\"\nservices:\n"
	for name, in := range services {
		over += s.service(name, in) + `
    healthcheck: {interval: 1s}
    deploy: {endpoint_mode: dnsrr, replicas: 1, update_config: {monitor: 1s}}
`
		if name == "web" {
			over += fmt.Sprintf("    ports: [{target: 80, published: %d, mode: host}]\n", port)
		}
	}
	deploy := fmt.Sprintf("docker stack deploy --resolve-image never -c %s -c %s $STACK", file, s.write(over))
	// The swarm may be changing a service that was deployed just now, and refuses.
	lab.Eventually(s.t, "the stand-ins to be deployed", func() error {
		_, err := s.tryShell("cd deploy/stacks", "export STACK="+stack+" "+env, deploy)
		return err
	})
}

// service is a service of a file that overrides the shipped one.
func (s stackFiles) service(name string, in standIn) string {
	signal := "SIGKILL" // PHP's own server, as the first process, hears no other
	if in == mariadb {
		signal = "SIGTERM"
	}
	return fmt.Sprintf(`  %s:
    image: %s
    user: %q
    entrypoint: [bash, /test/%s]
    stop_signal: %s
    extra_hosts: ["www.example.edu:127.0.0.1"]
    volumes: ["/usr:/usr:ro", "/usr/lib:/lib:ro", "/usr/lib64:/lib64:ro", "/usr/bin:/bin:ro", "/etc/passwd:/etc/passwd:ro",
      "/etc/group:/etc/group:ro", "/etc/php:/etc/php:ro", "%s/integration/testdata/stacks:/test:ro"]`, name, sitesImage, in.user, in.script, signal, s.root)
}

func (s stackFiles) write(text string) (file string) {
	s.t.Helper()
	file = filepath.Join(s.t.TempDir(), "override.yml")
	require.NoError(s.t, os.WriteFile(file, []byte(text), 0o644))
	return file
}

// get asks a site as the proxy does.
func (s stackFiles) get(port int, site, path string, more ...string) (string, error) {
	return s.curl(fmt.Sprintf("http://%s:%d%s", s.n.Address, port, path),
		append(more, "-H", "Host: "+site, "-H", "X-Forwarded-Proto: https", "-H", "X-Forwarded-For: 192.0.2.7")...)
}

func (s stackFiles) curl(url string, more ...string) (string, error) {
	return s.n.Run(append([]string{"curl", "-sS", "--max-time", "60", url}, more...)...)
}

// serves waits until a site's page has the text.
func (s stackFiles) serves(port int, site, path, text string) {
	s.t.Helper()
	lab.Eventually(s.t, site+path+" with "+text, func() error {
		page, err := s.get(port, site, path)
		if err == nil && !strings.Contains(page, text) {
			err = fmt.Errorf("it is: %s", page)
		}
		return err
	})
}

// requireRoot checks whose a volume's directory is.
func (s stackFiles) requireRoot(volume string, uid uint32, mode os.FileMode) {
	s.t.Helper()
	info, err := os.Stat(filepath.Join(s.l.Export, volume))
	require.NoError(s.t, err)
	require.Equal(s.t, uid, info.Sys().(*syscall.Stat_t).Uid, volume)
	require.Equal(s.t, mode, info.Mode().Perm(), volume)
}

// healthy waits for the one container of a service, another one than before.
func (s stackFiles) healthy(service, before string) (id string) {
	s.t.Helper()
	lab.Eventually(s.t, "a healthy container of "+service, func() error {
		id = s.n.Docker(s.t, "ps", "--no-trunc", "--quiet", "--filter", "label=com.docker.swarm.service.name="+service, "--filter", "health=healthy")
		if len(strings.Fields(id)) != 1 || id == before {
			return fmt.Errorf("there are: %q", id)
		}
		return nil
	})
	return id
}

// requireOneAfterTheOther checks, by the engine's clock, that each container of
// a service began after the one before had ended, and that there were no others.
func (s stackFiles) requireOneAfterTheOther(service string, ids ...string) {
	s.t.Helper()
	all := strings.Fields(s.n.Docker(s.t, "ps", "--all", "--no-trunc", "--quiet", "--filter", "label=com.docker.swarm.service.name="+service))
	require.ElementsMatch(s.t, ids, all)
	var ended time.Time
	for _, id := range ids {
		var began time.Time
		state := strings.Fields(s.n.Docker(s.t, "inspect", "--format", "{{.State.StartedAt}} {{.State.FinishedAt}}", id))
		require.NoError(s.t, began.UnmarshalText([]byte(state[0])))
		require.True(s.t, began.After(ended), "%s began %s, and the one before it ended %s", id, began, ended)
		require.NoError(s.t, ended.UnmarshalText([]byte(state[1])))
	}
}

// requireExternalIsLocal shows what stack check warns of: a node that knows no
// volume of an external one's name makes one, local and empty.
func (s stackFiles) requireExternalIsLocal() {
	s.t.Helper()
	file := s.write(`{version: "3.8", services: {site: {image: "` + lab.SiteImage + `", command: [append, /data/log], volumes: ["data:/data"]}},
volumes: {data: {external: true, name: nowhere}}}`)
	_, err := s.n.TryBerth("stack", "check", file)
	require.Error(s.t, err)
	s.n.Docker(s.t, "stack", "deploy", "--resolve-image", "never", "-c", file, "lost")
	lab.Eventually(s.t, "a volume that nobody made", func() error {
		driver, err := s.n.TryDocker("volume", "inspect", "--format", "{{.Driver}}", "nowhere")
		if err == nil {
			require.Equal(s.t, "local", driver)
		}
		return err
	})
	lab.Insist(s.t, s.n, "stack", "rm", "lost")
}

func TestStackFilesRunRealSites(t *testing.T) {
	t.Parallel()
	s := newStackFiles(t)
	s.l.Swarm(t)
	require.NoError(t, os.Mkdir(filepath.Join(s.l.Export, "old_site"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(s.l.Export, "old_site/index.html"), []byte("Welcome to 1998"), 0o644))

	s.requireExternalIsLocal()

	// The files as they are, as the document says: Docker takes them whole.
	s.shell(docs.Commands(t, "docs/stacks.md", t.Name())...)
	s.standIns("blog", "wordpress.yml", 8081, "SITE=www.example.edu PORT=8081", map[string]standIn{"web": wordpress, "db": mariadb})
	s.standIns("news", "drupal.yml", 8082, "SITE=news.example.edu PORT=8082 PROXIES="+s.n.Address+"/8", map[string]standIn{"web": drupal, "db": mariadb})
	s.standIns("legacy", "legacy.yml", 8083, "SITE=old.example.edu PORT=8083 VOLUME=old_site", map[string]standIn{"web": nginx})

	require.Equal(t, "10.0.0.0/24", s.n.Docker(t, "network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", "ingress"), "as drupal.yml has it")
	s.serves(8083, "old.example.edu", "/", "Welcome to 1998")
	s.useDrupal()
	s.installWordPress()
	s.requireRoot("blog_web", 33, 0o755)
	s.requireRoot("blog_db", 999, 0o750)
	s.requireRoot("news_sites", 33, 0o755)
	require.Equal(t, "nothing differs", s.shell("berth stack check deploy/stacks/wordpress.yml --stack blog"), "as deployed")

	// An update, and a death: one server after the other on the same files.
	first := s.healthy("blog_db", "")
	lab.Insist(t, s.n, "service", "update", "--detach", "--force", "blog_db")
	second := s.healthy("blog_db", first)
	s.serves(8081, "www.example.edu", "/", "Our blog<h2>Hello world!</h2>")
	s.n.Docker(t, "kill", "--signal", "KILL", second)
	third := s.healthy("blog_db", second)
	s.serves(8081, "www.example.edu", "/", "Our blog<h2>Hello world!</h2>")
	s.requireOneAfterTheOther("blog_db", first, second, third)
}

// wordpressForm is what the installer asks.
const wordpressForm = "weblog_title=Our+blog&user_name=admin&admin_password=pw&admin_password2=pw&pw_weak=on&admin_email=a@example.edu&language="

// installWordPress goes through the installer.
func (s stackFiles) installWordPress() {
	s.t.Helper()
	const site = "www.example.edu"
	s.serves(8081, site, "/wp-admin/install.php", "weblog_title")
	page, err := s.get(8081, site, "/wp-admin/install.php?step=2", "-d", wordpressForm)
	require.NoError(s.t, err)
	require.Contains(s.t, page, "WordPress has been installed")
	s.serves(8081, site, "/", "Our blog<h2>Hello world!</h2>https://www.example.edu/")
	// Without the proxy's word for it, WordPress would send https to https.
	head, err := s.get(8081, site, "/", "--head")
	require.NoError(s.t, err)
	require.Contains(s.t, head, "200 OK")
}

// useDrupal uses a page in Drupal's place, on its settings, its volume and its
// database: Debian has no Drupal.
func (s stackFiles) useDrupal() {
	s.t.Helper()
	const site = "news.example.edu"
	s.serves(8082, site, "/", "titles: ;")
	page, err := s.get(8082, site, "/", "-d", "title=First news")
	require.NoError(s.t, err)
	require.Equal(s.t, "titles: First news; file: First news; client: 192.0.2.7; salt: 48; level: READ-COMMITTED", page)
	page, err = s.get(8082, "evil.example.com", "/")
	require.NoError(s.t, err)
	require.Contains(s.t, page, "not valid for this server")
}

func TestALaptopsWordPress(t *testing.T) {
	t.Parallel()
	compose := "docker compose"
	if exec.Command("docker", "compose", "version").Run() != nil {
		compose = "docker-compose"
		if _, err := exec.LookPath(compose); err != nil {
			lab.Skip(t, "there is no Docker Compose: neither 'docker compose' nor docker-compose")
		}
	}
	s := newStackFiles(t)
	over := s.write("services:\n" + s.service("web", wordpress) + "\n" + s.service("db", mariadb) + "\n")
	const site = "http://127.0.0.1:8080"
	body := func(path string, more ...string) string {
		t.Helper()
		page, err := s.curl(site+path, more...)
		require.NoError(t, err)
		return page
	}
	for _, line := range docs.Commands(t, "docs/stacks.md", t.Name()) {
		line = strings.ReplaceAll(line, "docker compose -p dev -f compose.dev.yml", compose+" -p dev -f compose.dev.yml -f "+over)
		s.shell("cd deploy/stacks", line)
		switch {
		case strings.HasSuffix(line, " up -d"):
			lab.Eventually(t, "the installer", func() error { _, err := s.curl(site+"/wp-admin/install.php", "--fail"); return err })
			require.Contains(t, body("/wp-admin/install.php?step=2", "-d", wordpressForm), "WordPress has been installed")
		case strings.Contains(line, "snapshot create"):
			require.NoError(t, os.RemoveAll(filepath.Join(s.l.Export, "dev_web/wp-content")))
		case strings.Contains(line, "snapshot restore"):
			lab.Eventually(t, "the page", func() error { _, err := s.curl(site+"/", "--fail"); return err })
			require.Contains(t, body("/"), "Hello world!")
		}
	}
	require.Equal(t, []string{"dev_db", "dev_web"}, volumes(t, s.n))
}
