package integration

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
)

// released is the one file of the release that a pattern names.
func released(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(lab.ReleaseFolder(t), pattern))
	require.NoError(t, err)
	require.Len(t, files, 1, pattern)
	return files[0]
}

// entry is a member of an archive.
type entry struct {
	tar.Header
	text []byte
}

func readArchive(t *testing.T, file string) (entries []entry) {
	t.Helper()
	f, err := gzip.NewReader(bytes.NewReader(mustRead(t, file)))
	require.NoError(t, err)
	require.True(t, f.ModTime.IsZero() && f.Name == "", "gzip wrote down a name or a time")
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return entries
		}
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		entries = append(entries, entry{*h, text})
	}
}

// program runs a program of the machine and returns what it prints.
func program(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		lab.Skip(t, "needs the program %s", args[0])
	}
	out, err := exec.Command(args[0], args[1:]...).Output()
	require.NoError(t, err, "%v", args)
	return string(out)
}

func TestTwoBuildsOfAReleaseAreTheSameBytes(t *testing.T) {
	t.Parallel()
	root, err := lab.Root()
	require.NoError(t, err)
	sums := mustRead(t, released(t, "SHA256SUMS"))
	commit := readArchive(t, released(t, "*-linux-amd64.tar.gz"))[0].ModTime

	// Another path, without git; other rights, another time zone, user and locale.
	elsewhere := filepath.Join(t.TempDir(), "some where")
	for name := range strings.FieldsSeq(program(t, "git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard")) {
		from, err := os.Lstat(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		require.NoError(t, err)
		to := filepath.Join(elsewhere, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o700))
		if from.Mode().Type() == os.ModeSymlink {
			target, err := os.Readlink(filepath.Join(root, name))
			require.NoError(t, err)
			require.NoError(t, os.Symlink(target, to))
			continue
		}
		require.NoError(t, os.WriteFile(to, mustRead(t, filepath.Join(root, name)), from.Mode().Perm()&0o700))
	}
	cmd := exec.Command("sh", "-c", "umask 077 && exec make release")
	cmd.Dir = elsewhere
	key := filepath.Join(t.TempDir(), "key")
	program(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", commit.Unix()), "TZ=Asia/Tokyo", "LC_ALL=de_DE.UTF-8", "USER=somebody", "GOAMD64=v3",
		"BERTH_SIGNING_KEY="+key)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	built := filepath.Join(elsewhere, "build/release/SHA256SUMS")
	require.Equal(t, string(sums), string(mustRead(t, built)))
	signers := filepath.Join(t.TempDir(), "signers")
	require.NoError(t, os.WriteFile(signers, append([]byte(`* namespaces="berth-release" `), mustRead(t, key+".pub")...), 0o600))
	verify := exec.Command("ssh-keygen", "-Y", "verify", "-f", signers, "-I", "anybody", "-n", "berth-release", "-s", built+".sig")
	verify.Stdin = bytes.NewReader(sums)
	out, err = verify.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestAReleaseIsSigned types how docs/install.md signs and checks a release.
func TestAReleaseIsSigned(t *testing.T) {
	dir := t.TempDir()
	archive := filepath.Base(released(t, "*-linux-amd64.tar.gz"))
	for _, name := range []string{"SHA256SUMS", archive} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), mustRead(t, released(t, name)), 0o600))
	}
	shell := func(script string) (string, error) {
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		lab.Skip(t, "needs the program ssh-keygen (openssh-client)")
	}
	commands := docs.Commands(t, "docs/install.md", "TestAReleaseIsSigned")
	out, err := shell(strings.Join(commands, "\n"))
	require.NoError(t, err, out)
	require.Contains(t, out, `Good "berth-release" signature for releases@example.org`)
	require.Contains(t, out, archive+": OK")

	check := strings.Join(commands[len(commands)-2:], "\n")
	sums := string(mustRead(t, filepath.Join(dir, "SHA256SUMS")))
	another := "ssh-keygen -q -t ed25519 -N '' -f another && rm SHA256SUMS.sig && ssh-keygen -q -Y sign -f another -n berth-release SHA256SUMS"
	purpose := "rm SHA256SUMS.sig && ssh-keygen -q -Y sign -f berth-release -n git SHA256SUMS"
	for _, c := range []struct{ what, before string }{
		{"other sums", "echo >>SHA256SUMS"},
		{"another archive", "echo >>" + archive},
		{"another's signature", another},
		{"a signature for something else", purpose},
		{"no signature", "rm SHA256SUMS.sig"},
	} {
		out, err := shell(`d=$(mktemp -d); trap 'rm -r "$d"' EXIT; cp -a . "$d"; cd "$d"` + "\n" + c.before + "\n" + check)
		require.Error(t, err, "%s: %s", c.what, out)
	}
	require.Equal(t, sums, string(mustRead(t, filepath.Join(dir, "SHA256SUMS"))))
}

// TestTheBillOfAReleaseIsItsProgram: what the list says is in the program, the
// program says too, and nothing else.
func TestTheBillOfAReleaseIsItsProgram(t *testing.T) {
	listed := string(mustRead(t, released(t, "SHA256SUMS")))
	for _, arch := range []string{"amd64", "arm64"} {
		file := released(t, "*-linux-"+arch+".cdx.json")
		require.Contains(t, listed, "  "+filepath.Base(file)+"\n")
		type part struct {
			Type       string
			BOMRef     string `json:"bom-ref"`
			Name       string
			Version    string
			PURL       string
			Properties []struct{ Name, Value string }
		}
		var bill struct {
			BOMFormat   string
			SpecVersion string
			Metadata    struct {
				Timestamp time.Time
				Component part
			}
			Components []part
		}
		require.NoError(t, json.Unmarshal(mustRead(t, file), &bill))
		require.Equal(t, "CycloneDX 1.5", bill.BOMFormat+" "+bill.SpecVersion)
		require.Equal(t, "berth", bill.Metadata.Component.Name)

		var text []byte
		for _, e := range readArchive(t, released(t, "*-linux-"+arch+".tar.gz")) {
			require.False(t, strings.HasSuffix(e.Name, ".cdx.json"))
			if strings.HasSuffix(e.Name, "/bin/berth") {
				text = e.text
			}
			require.True(t, bill.Metadata.Timestamp.Equal(e.ModTime))
		}
		info, err := buildinfo.Read(bytes.NewReader(text))
		require.NoError(t, err)
		want := []string{"std " + strings.TrimPrefix(info.GoVersion, "go")}
		for _, d := range info.Deps {
			want = append(want, d.Path+" "+d.Version+" "+d.Sum)
		}
		var got []string
		refs := map[string]bool{}
		for _, c := range bill.Components {
			line := c.Name + " " + c.Version
			for _, p := range c.Properties {
				line += " " + p.Value
			}
			got = append(got, line)
			require.True(t, strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@"), c.PURL)
			require.NotContains(t, c.PURL, "+")
			require.False(t, refs[c.BOMRef], "%s twice", c.BOMRef)
			refs[c.BOMRef] = true
		}
		require.Equal(t, want, got)
	}
}

func TestAReleaseHasWhatANodeNeeds(t *testing.T) {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	listed := string(mustRead(t, released(t, "SHA256SUMS")))
	for arch, machine := range machines {
		file := released(t, "*-linux-"+arch+".tar.gz")
		require.Contains(t, listed, "  "+filepath.Base(file)+"\n")
		top := strings.TrimSuffix(filepath.Base(file), ".tar.gz")
		var names []string
		for _, e := range readArchive(t, file) {
			names = append(names, strings.TrimPrefix(e.Name, top+"/"))
			require.Zero(t, e.Uid+e.Gid, e.Name)
			require.Empty(t, e.Uname+e.Gname, e.Name)
			if e.Typeflag == tar.TypeSymlink {
				require.True(t, strings.HasPrefix(path.Join(path.Dir(e.Name), e.Linkname), top+"/"), "%s leads out of the release", e.Name)
			} else {
				require.Contains(t, []int64{0o644, 0o755}, e.Mode, e.Name)
			}
			switch strings.TrimPrefix(e.Name, top+"/") {
			case "bin/berth":
				requireStatic(t, machine, e.text)
			case "plugin/rootfs/berth":
				require.Equal(t, top+"/bin/berth", e.Linkname, "the plugin's program is the command line's")
			case "install.sh":
				require.Equal(t, int64(0o755), e.Mode)
			}
		}
		require.True(t, slices.IsSorted(names), "%v", names)
		require.Subset(t, names, []string{"README.md", "deploy/berth.service", "deploy/berth-nodes.sh", "deploy/ontap/berth-role.txt", "docs/install.md", "plugin/config.json", "plugin/rootfs/berth",
			"share/bash-completion/completions/berth", "share/fish/vendor_completions.d/berth.fish", "share/zsh/site-functions/_berth",
			"share/man/man1/berth.1.gz", "share/man/man1/berth-snapshot-restore.1.gz"})
	}
}

// requireStatic checks a program's machine, and that it needs nothing of the
// one that it runs on.
func requireStatic(t *testing.T, machine elf.Machine, text []byte) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(text))
	require.NoError(t, err)
	require.Equal(t, machine, f.Machine)
	for _, p := range f.Progs {
		require.NotEqual(t, elf.PT_INTERP, p.Type, "is linked dynamically")
	}
	require.Nil(t, f.Section(".note.go.buildid"), "has a build id")
}

func TestThePackages(t *testing.T) {
	want := []string{"/usr/bin/berth", "/usr/lib/berth/install.sh", "/usr/lib/berth/plugin/config.json", "/usr/lib/berth/plugin/rootfs/berth",
		"/usr/lib/systemd/system/berth.service", "/usr/share/bash-completion/completions/berth", "/usr/share/doc/berth/README.md", "/usr/share/man/man1/berth-ls.1.gz"}
	for arch, rpm := range map[string]string{"amd64": "x86_64", "arm64": "aarch64"} {
		deb := released(t, "berth_*_"+arch+".deb")
		require.Equal(t, "berth "+arch+" nfs-common", strings.Join(strings.Fields(program(t, "dpkg-deb", "--show",
			"--showformat=${Package} ${Architecture} ${Recommends}", deb)), " "))
		var files []string
		for line := range strings.Lines(program(t, "dpkg-deb", "--contents", deb)) {
			fields := strings.Fields(line)
			require.Equal(t, "root/root", fields[1], line)
			files = append(files, strings.TrimPrefix(fields[5], "."))
		}
		require.Subset(t, files, append(want, "/usr/share/zsh/vendor-completions/_berth"))
		for name := range readTar(t, []byte(program(t, "dpkg-deb", "--ctrl-tarfile", deb))) {
			require.Contains(t, []string{".", "control", "md5sums"}, filepath.Base(name), "a package has no scripts")
		}

		file := released(t, "berth-*."+rpm+".rpm")
		require.Equal(t, "berth "+rpm+" localhost", program(t, "rpm", "-qp", "--queryformat", "%{name} %{arch} %{buildhost}", file))
		require.Subset(t, strings.Fields(program(t, "rpm", "-qlp", file)), append(want, "/usr/lib/berth", "/usr/share/zsh/site-functions/_berth"))
		require.Equal(t, "nfs-utils\n", program(t, "rpm", "-qp", "--recommends", file))
		require.Empty(t, program(t, "rpm", "-qp", "--scripts", file))
	}
}
