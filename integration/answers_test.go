package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// hostile is what a hacked node, or a program in a service's place, may answer.
// Whatever evaluates it makes the file $TRAP.
var hostile = []string{
	`x[$(touch $TRAP)0]`, "`touch $TRAP`", `'; touch $TRAP; '`, `"; touch $TRAP; "`, `&& touch $TRAP`, `/e;s//touch $TRAP/e`,
	"-n", "--help", "%n%s%b", "08", "*=]@", "", "\x1b]52;c;cm0=\x07\x1b[2J\xc2\x9b31m\u202egnp\xff\xfe\r\b", strings.Repeat("x", 300<<10),
}

// requireHarmless fails where an answer was run, or reached the terminal as more
// than text.
func requireHarmless(t *testing.T, trap, answer string, out []byte) {
	t.Helper()
	require.NoFileExists(t, trap, "%q was evaluated: %s", answer, out)
	require.Less(t, len(out), 2<<20, "%.50q", answer)
	for _, b := range out {
		require.True(t, b == '\n' || b == '\t' || b >= ' ' && b <= '~', "%.50q: byte %#x in %.500q", answer, b, out)
	}
}

// A node is asked by ssh, and its root may answer what he likes.
func TestWhatANodeAnswersIsNeverEvaluated(t *testing.T) {
	root, err := lab.Root()
	require.NoError(t, err)
	script := filepath.Join(root, "deploy", "berth-nodes.sh")
	require.FileExists(t, script) // a look by this process: the test's cached result ends with a change of the file
	dir := t.TempDir()
	trap := filepath.Join(dir, "trap")
	// The first node is what it should be, so that the program comes to every
	// question; evil answers $1 to one of them, or to all.
	ssh := `#!/bin/bash
host=$1 asked=${2##*$'\n'} asked=${asked//\'/} asked=${asked//\\/} asked=${asked# }
truth() {
	case $asked in
	node_look*)
		printf '%s\n' engine=29.0.0 kernel=6.1.0 swarm=abc manager=true plugin=enabled version=0.1.0 health=ok \
			export=nfs://filer/vol config=/etc/berth command=0.1.0 installed=x previous=y env=yes ;;
	node_clock*) date +%s%3N ;;
	node_availability*) echo active ;;
	node_modes* | node_lockers* | node_shadows* | node_differs* | node_replace*) ;;
	esac
}
cat >/dev/null
case $host.$FIELD in
good.*) truth ;;
evil.status) echo "$ANSWER"; echo "$ANSWER" >&2; exit $STATUS ;;
evil.look) case $asked in node_look*) truth | sed 's/=.*//' | while read -r key; do printf '%s=%s\n' "$key" "$ANSWER"; done ;; *) truth ;; esac ;;
evil.all) case $asked in node_look*) truth; printf '%s=1\n%s\n' "$ANSWER" "$ANSWER" ;; *) printf '%s %s\n%s\n' "$ANSWER" "$ANSWER" "$ANSWER"; echo "$ANSWER" >&2 ;; esac ;;
evil.*) case $asked in $FIELD*) printf '%s %s %s\n%s\n' "$ANSWER" "$ANSWER" "$ANSWER" "$ANSWER"; echo "$ANSWER" >&2 ;; *) truth ;; esac ;;
esac
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ssh"), []byte(ssh), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "berth.env"), []byte("BERTH_EXPORT=file:///export\n"), 0o600))
	plugin := filepath.Join(dir, "plugin")
	require.NoError(t, os.MkdirAll(filepath.Join(plugin, "rootfs"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(plugin, "config.json"), []byte("{}"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(plugin, "rootfs", "berth"), nil, 0o700))
	run := func(t *testing.T, field, status, answer string, args ...string) string {
		t.Helper()
		answer = strings.ReplaceAll(answer, "$TRAP", trap)
		cmd := exec.Command("bash", append([]string{script, "--nodes", "good,evil"}, args...)...)
		// A long answer is too much for an environment: the stand-in makes it.
		prolog := "ANSWER=$(<" + filepath.Join(dir, "answer") + ")\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, "answer"), []byte(answer), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "ssh"), []byte(strings.Replace(ssh, "\n", "\n"+prolog, 1)), 0o755))
		cmd.Env = append(os.Environ(), "BERTH_SSH="+filepath.Join(dir, "ssh"), "FIELD="+field, "STATUS="+status, "TMPDIR="+dir)
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
			require.NoError(t, err)
		}
		requireHarmless(t, trap, answer, out)
		return string(out)
	}

	upgrade := []string{"upgrade", "--plugin", plugin, "--env", filepath.Join(dir, "berth.env"), "--drain"}
	for i, answer := range hostile {
		for _, field := range []string{"look", "all"} {
			out := run(t, field, "", answer, "doctor")
			require.Contains(t, out, "\nall ", "the doctor came to its end: %s", out)
		}
		field := []string{"look", "status", "node_availability", "node_replace", "node_shadows", "node_begin"}[i%6]
		run(t, field, []string{"0", "1", "10", "13", "255"}[i%5], answer, upgrade...)
	}

	out := run(t, "node_shadows", "", "blog;id", "doctor")
	require.Contains(t, out, "evil", out)
	out = run(t, "node_modes", "", "600", "doctor")
	require.Contains(t, strings.Join(strings.Fields(out), " "), `type 'chown root 600\ 600; chmod 0600 600\ 600'`)
	out = run(t, "none", "", "", "doctor")
	require.NotContains(t, strings.Join(strings.Fields(out), " "), "evil WRONG clock", out)
	out = run(t, "look", "", "ABC --label-add=x", upgrade...)
	require.Contains(t, strings.Join(strings.Fields(out), " "), "what it says is no node of a swarm: ABC --label-add=x")
}

// A node of a swarm names itself, and a manager lists it by that name.
func TestNamesOfNodesAreOnlyNamesToRebalance(t *testing.T) {
	root, err := lab.Root()
	require.NoError(t, err)
	script := filepath.Join(root, "deploy", "rebalance.sh")
	require.FileExists(t, script)
	dir := t.TempDir()
	trap := filepath.Join(dir, "trap")
	docker := `#!/bin/bash
case $* in
info*) echo true ;;
'node ls'*) printf 'good Ready Active\n%s Ready Active\n%s\n' "$ANSWER" "$ANSWER" ;;
'service ls'*) printf 'a one 1/1\nb two 1/1\nc three 1/1\n' ;;
'service ps'*) printf '%s Running 3 days\n' "$ANSWER" ;;
esac
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte(docker), 0o755))
	for _, answer := range hostile[:len(hostile)-1] {
		answer = strings.ReplaceAll(answer, "$TRAP", trap)
		for _, flag := range []string{"--dry-run", "--most=1"} {
			cmd := exec.Command("bash", append([]string{script}, strings.Split(flag, "=")...)...)
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "ANSWER="+answer)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%q: %s", answer, out)
			requireHarmless(t, trap, answer, out)
		}
	}
}

// Another program may answer in NGINX's place, and apply.sh goes back to what
// NGINX says that it serves.
func TestWhatAnswersInPlaceOfNGINXNamesNoGeneration(t *testing.T) {
	root, err := lab.Root()
	require.NoError(t, err)
	script := filepath.Join(root, "deploy", "proxy", "apply.sh")
	require.FileExists(t, script)
	dir := t.TempDir()
	trap := filepath.Join(dir, "trap")
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o755))
	}
	write("bin/curl", "#!/bin/sh\nprintf '%s' \"$ANSWER\"\n")
	write("bin/nginx", "#!/bin/sh\n")
	write("from/manifest", "")
	write("from/snippets/a.conf", "")
	write("etc/nginx.conf", "")
	write("nginx-master/nginx", "#!/bin/sh\n")
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	program, err := os.ReadFile(sleep)
	require.NoError(t, err)
	write("nginx-master/nginx", string(program))
	apply := func(answer string) ([]byte, error) {
		cmd := exec.Command("bash", script, "--from", filepath.Join(dir, "from"))
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "ANSWER="+answer, "BERTH_WAIT=1",
			"BERTH_NGINX_DIR="+filepath.Join(dir, "etc"), "BERTH_NGINX_PID="+filepath.Join(dir, "pid"), "BERTH_NGINX_LOG="+filepath.Join(dir, "log"))
		return cmd.CombinedOutput()
	}
	write("from/nginx.conf", "# 0")
	out, err := apply("")
	require.NoError(t, err, "%s", out)
	live := func() string {
		to, err := os.Readlink(filepath.Join(dir, "etc", "berth.d"))
		require.NoError(t, err)
		return to
	}
	require.Equal(t, "berth.1", live())
	for i, answer := range append(hostile[:len(hostile)-1:len(hostile)-1], "d-000000000000", "1/../1-000000000000", "../etc-1") {
		answer = strings.ReplaceAll(answer, "$TRAP", trap)
		master := exec.Command(filepath.Join(dir, "nginx-master", "nginx"), "60") // the reload ends it
		require.NoError(t, master.Start())
		write("pid", fmt.Sprintln(master.Process.Pid))
		write("from/nginx.conf", fmt.Sprintf("# %d of %q", i+1, "x"))
		reaped := make(chan error, 1)
		go func() { reaped <- master.Wait() }()
		out, err := apply(answer)
		require.Error(t, err, "%q: %s", answer, out)
		<-reaped
		requireHarmless(t, trap, answer, out)
		require.Equal(t, "berth.1", live(), "%q: %s", answer, out)
	}
}
