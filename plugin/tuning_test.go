package plugin

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/renameio/v2"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/job"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/tree"
)

// others is another right value of each setting.
func others(base string) map[string]string {
	return map[string]string{
		"BERTH_EXPORT": "file://" + base + "/other", "BERTH_NODE": "n2", "BERTH_LEASE_TTL": "4s", "BERTH_MOUNT_ROOT": base + "/mounts2",
		"BERTH_MOUNT_OPTIONS": "vers=3,hard,noatime", "BERTH_ONTAP": "filer", "BERTH_ONTAP_USER": "berth", "BERTH_ONTAP_PASSWORD_FILE": base + "/password",
		"BERTH_ONTAP_CERT": base + "/cert.pem", "BERTH_ONTAP_KEY": base + "/key.pem",
		"BERTH_ONTAP_CA": base + "/ca.pem", "BERTH_ONTAP_INSECURE": "1", "BERTH_ONTAP_SVM": "svm2", "BERTH_TZ": "Europe/Berlin",
		"BERTH_TRASH_TTL": "2h", "BERTH_SOCKET": base + "/other.sock", "BERTH_METRICS": "127.0.0.1:0", "BERTH_LOG_LEVEL": "debug",
	}
}

func TestEverySettingIsIdentityOrTuning(t *testing.T) {
	base := t.TempDir()
	load := func(changed, value string) Settings {
		s, err := LoadSettings(filepath.Join(base, "none"), func(name string) string {
			return map[string]string{"BERTH_EXPORT": "file:///srv/x", "BERTH_NODE": "n1", changed: value}[name]
		})
		require.NoError(t, err)
		return s
	}
	was := load("", "")
	for _, s := range SettingTable {
		now := load(s.Name, others(base)[s.Name])
		require.NotEqual(t, was, now, s.Name)
		require.Equal(t, s.Class == OfIdentity, now.Identity != was.Identity, s.Name)
		require.Equal(t, s.Class == OfTuning, now.Tuning != was.Tuning, s.Name)
		require.Equal(t, s.Class == OfStart, now.Socket != was.Socket, s.Name)
		if s.Class == OfIdentity {
			require.Equal(t, []string{s.Name}, was.differences(now.Identity))
		}
	}
}

// held is a plugin whose export has a volume blog and a snapshot s1 of it. While
// the server is told to, it lets nobody make a symlink, which holds every
// restore of blog.
type held struct {
	*served
	server *nfstest.Server
}

func hold(t *testing.T, env map[string]string) held {
	t.Helper()
	server := nfstest.New(t)
	server.WriteFile("/vols/blog/page", []byte("new"))
	server.WriteFile("/vols/site/page", []byte("new"))
	server.WriteFile("/vols/.snapshot/s1/blog/page", []byte("old"))
	server.WriteFile("/vols/.snapshot/s1/site/page", []byte("old"))
	target, err := nfs.ParseTarget(server.URL("/vols"))
	require.NoError(t, err)
	fsys, err := tree.OpenWire(t.Context(), target, nil)
	require.NoError(t, err)
	defer fsys.Close()
	require.NoError(t, fsys.Symlink(t.Context(), "page", ".snapshot/s1/blog/link", tree.SetAttr{}))
	all := map[string]string{"BERTH_EXPORT": server.URL("/vols")}
	maps.Copy(all, env)
	return held{serve(t, all), server}
}

// restoring begins the restore of blog and waits until it is held.
func (h held) restoring() (id string) {
	h.t.Helper()
	h.server.On(nfstest.Symlink, -1, nfstest.Fault{Status: jukebox})
	id = berth[job.Job](h.served, "RestorePrepare", PrepareRequest{Request: snapshot.RestoreRequest{Refs: []string{"blog@s1"}}}).ID
	berth[Empty](h.served, "JobStart", JobRequest{ID: id})
	calls := h.server.Calls(nfstest.Symlink)
	require.Eventually(h.t, func() bool { return h.server.Calls(nfstest.Symlink) > calls }, time.Minute, 10*time.Millisecond)
	return id
}

// jukebox is NFS3ERR_JUKEBOX: later.
const jukebox = 10008

// finish lets the restore go on to its end.
func (h held) finish(id string) {
	h.t.Helper()
	h.server.Reset()
	var p job.Progress
	for !p.Over {
		p = berth[job.Progress](h.served, "JobWait", JobRequest{ID: id})
	}
	require.Equal(h.t, job.Swapped, p.State)
	page, err := h.server.ReadFile("/vols/blog/page")
	require.NoError(h.t, err)
	require.Equal(h.t, "old", string(page))
}

// write replaces the settings file in one step.
func (s *served) write(values map[string]string) {
	s.t.Helper()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		lines = append(lines, name+"="+values[name]+"\n")
	}
	require.NoError(s.t, renameio.WriteFile(filepath.Join(s.base, "berth.env"), []byte(strings.Join(lines, "")), 0o600))
}

// logs waits until the log has a line with all the words.
func (s *served) logs(words ...string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		for line := range strings.Lines(s.log.String()) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				return true
			}
		}
		return false
	}, time.Minute, 10*time.Millisecond, "%q", words)
}

// Whatever tuning changes while a restore runs and another is planned, the
// session goes on, and so do they.
func TestTuningEndsNothing(t *testing.T) {
	s := hold(t, nil)
	id := s.restoring()
	values, other := map[string]string{}, others(s.base)
	for _, set := range SettingTable {
		if set.Class == OfIdentity {
			continue
		}
		values[set.Name] = other[set.Name]
		s.write(values)
		s.logs("settings changed in place", "changed=", set.Name)
		if !strings.HasPrefix(set.Name, "BERTH_ONTAP") { // there is no such filer
			berth[snapshot.Plan](s.served, "RestorePlan", snapshot.RestoreRequest{Refs: []string{"site@s1"}})
		}
		for _, name := range []string{"BERTH_ONTAP", "BERTH_ONTAP_CA"} {
			delete(values, name)
		}
	}
	for name, wrong := range map[string]string{"BERTH_LOG_LEVEL": "shout", "BERTH_TZ": "Mars", "BERTH_TRASH_TTL": "long",
		"BERTH_ONTAP_INSECURE": "yes", "BERTH_METRICS": "9624", "BERTH_LOST": "1"} {
		was := values[name]
		values[name] = wrong
		s.write(values)
		says := name + "=" + wrong
		if name == "BERTH_LOST" {
			says = "unknown setting BERTH_LOST"
		}
		s.logs("those before them stay in force", says)
		require.Contains(t, s.about().Health, says)
		require.NotContains(t, s.about().Health, "degraded", "which deploy's scripts take for healthy")
		found, _ := s.examine()
		require.Contains(t, found["settings"].Evidence, says)
		if values[name] = was; was == "" {
			delete(values, name)
		}
	}
	s.write(values)
	s.finish(id)
	require.Equal(t, 1, strings.Count(s.log.String(), "settings in force"), "one session")
}

func TestTuningIsUsedFromTheNextStepOn(t *testing.T) {
	s := serve(t, nil)
	s.ok("Create", map[string]any{"Name": "blog"})
	s.write(map[string]string{"BERTH_TRASH_TTL": "2h", "BERTH_LOG_LEVEL": "debug", "BERTH_TZ": "Asia/Tokyo"})
	s.logs("settings changed in place", "BERTH_TZ BERTH_TRASH_TTL BERTH_LOG_LEVEL")
	s.ok("Remove", map[string]any{"Name": "blog"})
	items := berth[Trash](s, "TrashList", Empty{}).Items
	require.Len(t, items, 1)
	require.InDelta(t, 2, items[0].Expires.Sub(items[0].Removed).Hours(), 0.01)
	require.Contains(t, s.log.String(), "level=debug")
}

// wait waits for the end of a id as the command line does.
func (h held) wait(id string) (end chan error) {
	end = make(chan error, 1)
	go func() {
		client := NewClient(h.socket, "test")
		var err error
		for p := (job.Progress{}); err == nil && !p.Over; {
			err = client.Call(h.t.Context(), "Berth.JobWait", JobRequest{ID: id}, &p)
		}
		end <- err
	}()
	return end
}

// Whoever waits for a id hears why it has no end.
func TestAnotherExportInterruptsAJob(t *testing.T) {
	s := hold(t, map[string]string{"BERTH_EXPORT": ""})
	s.configure(s.server.URL("/vols"))
	end := s.wait(s.restoring())
	s.write(map[string]string{"BERTH_EXPORT": "file://" + s.dir})
	f := (*Failure)(nil)
	require.ErrorAs(t, <-end, &f)
	t.Log(f.Err)
}

func TestAnotherIdentityInterruptsAJobThatCanBeResumed(t *testing.T) {
	s := hold(t, map[string]string{"BERTH_LEASE_TTL": ""})
	id := s.restoring()
	waits := s.wait(id)
	s.write(map[string]string{"BERTH_LEASE_TTL": "100s"})
	s.logs("settings in force", "BERTH_LEASE_TTL")
	f := (*Failure)(nil)
	require.ErrorAs(t, <-waits, &f)
	t.Log(f.Reason, f.Hint)
	require.Contains(t, f.Reason, "interrupted")
	require.Contains(t, f.Hint, "--resume")
	jobs := berth[Jobs](s.served, "JobList", Empty{}).Jobs
	require.Len(t, jobs, 1)
	require.Equal(t, job.Copying, jobs[0].State)
	require.True(t, jobs[0].Interrupted)
	require.NotContains(t, s.log.String(), "not left cleanly")
	s.server.Reset()
	berth[Empty](s.served, "JobStart", JobRequest{ID: id})
	s.finish(id)
}
