package plugin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/doctor"
	"github.com/casit/berth/nfs/ganeshatest"
	"github.com/casit/berth/tree/treetest"
)

// examined are the findings by check.
type examined map[string]doctor.Finding

func (s *served) examine() (found examined, r doctor.Report) {
	s.t.Helper()
	require.NoError(s.t, json.Unmarshal([]byte(s.post("Berth.Doctor", `{"max_age_ns":93600000000000}`)), &r))
	found = examined{}
	for _, f := range r.Findings {
		require.NotContains(s.t, found, f.Check, "two findings of one name")
		require.NotEmpty(s.t, f.Evidence, f.Check)
		require.True(s.t, doctor.Known(f.Check), "docs/doctor.md lacks %s", f.Check)
		if f.State != doctor.OK {
			require.NotEmpty(s.t, f.Next, "%s: %s", f.Check, f.Evidence)
		}
		found[f.Check] = f
	}
	return found, r
}

// examineUntil examines until just these checks are not ok. Each check has a
// time limit, so a machine that is busy with something else fails any of them
// now and then; and a process that is told to stop does so a little later.
func (s *served) examineUntil(bad ...string) (found examined, r doctor.Report) {
	s.t.Helper()
	for end := time.Now().Add(5 * time.Minute); ; {
		found, r = s.examine()
		if slices.Equal(found.bad(), append([]string{}, bad...)) {
			return found, r
		}
		require.Less(s.t, time.Now(), end, "want %q, found %v", bad, found)
		time.Sleep(100 * time.Millisecond)
	}
}

// bad are the checks that are not ok, sorted.
func (e examined) bad() []string {
	out := []string{}
	for name, f := range e {
		if f.State != doctor.OK {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// configure changes the settings of a server that has none in its environment,
// and waits until they are in force.
func (s *served) configure(export string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(filepath.Join(s.base, "berth.env"), []byte("BERTH_EXPORT="+export+"\n"), 0o600))
	require.Eventually(s.t, func() bool {
		var a About
		require.NoError(s.t, json.Unmarshal([]byte(s.post("Berth.Version", "")), &a))
		return a.Export == export
	}, time.Minute, 20*time.Millisecond)
}

func TestDoctorWithWrongSettingsSaysWhichAndWhere(t *testing.T) {
	s := serve(t, map[string]string{"BERTH_EXPORT": ""})
	found, r := s.examine()
	require.Equal(t, []string{"settings"}, found.bad())
	require.Contains(t, found["settings"].Evidence, "BERTH_EXPORT is not set")
	require.Equal(t, []string{"export"}, r.Unasked)
	require.Contains(t, r.Settings, doctor.Setting{Name: "BERTH_LEASE_TTL", Value: "3s", Source: "environment"})

	s.configure("file://" + s.dir)
	found, r = s.examine()
	require.Empty(t, found.bad())
	require.Empty(t, r.Unasked)
	require.Contains(t, r.Settings, doctor.Setting{Name: "BERTH_EXPORT", Value: "file://" + s.dir, Source: filepath.Join(s.base, "berth.env")})
	require.Contains(t, r.Settings, doctor.Setting{Name: "BERTH_TRASH_TTL", Value: "168h", Source: "default"})
}

func TestDoctorOfAnExportThatIsAwayHasOneCause(t *testing.T) {
	s := serve(t, nil)
	found, _ := s.examine()
	require.Empty(t, found.bad())
	require.NoError(t, os.Rename(s.dir, s.dir+".away"))
	require.NoError(t, os.Mkdir(s.dir, 0o755))
	found, r := s.examine()
	require.Equal(t, []string{"export"}, found.bad())
	require.Contains(t, found["export"].Evidence, "is away")
	require.Contains(t, r.Unasked, "probe")
	there, err := os.ReadDir(s.dir)
	require.NoError(t, err)
	require.Empty(t, there, "nothing is put where the export is missing")
}

// Every check of an nfs:// export against nfs-ganesha, one thing broken at a
// time.
func TestDoctorOfAnNFSExport(t *testing.T) {
	if why := ganeshatest.Missing(); why != "" {
		treetest.Skip(t, why)
	}
	if !ganeshatest.Inside(t) {
		return
	}
	const dir, squashed = "/run/export", "/run/squashed"
	// A time in the name: an age that is guessed of a directory is never ok.
	require.NoError(t, os.MkdirAll(dir+"/.snapshot/hourly."+time.Now().UTC().Format("2006-01-02_1504"), 0o755))
	require.NoError(t, os.Mkdir(squashed, 0o777))
	require.NoError(t, os.Chmod(squashed, 0o777))
	server := ganeshatest.Start(t, ganeshatest.Export{Dir: dir}, ganeshatest.Export{Dir: squashed, RootSquash: true})
	stopStatd := ganeshatest.StartStatd(t)
	s := serve(t, map[string]string{"BERTH_EXPORT": ""})

	s.configure("nfs://127.0.0.1" + dir)
	found, r := s.examineUntil()
	require.Empty(t, r.Unasked)
	require.Contains(t, found["portmap"].Evidence, "NLM at port")
	require.Contains(t, found["lock"].Evidence, "let one in")
	require.Eventually(t, func() bool { // the reserve is made in it
		left, err := os.ReadDir(dir + "/.berth/staging")
		return err == nil && len(left) == 0
	}, 10*time.Second, 10*time.Millisecond)

	t.Run("without rpc.statd", func(t *testing.T) {
		stopStatd()
		found, _ = s.examineUntil("lock", "statd")
		require.Contains(t, found["lock"].Evidence, "NLM4_DENIED_NOLOCKS")
		require.Contains(t, found["statd"].Next, "nfs-common")
	})
	ganeshatest.StartStatd(t)
	t.Run("without snapshots", func(t *testing.T) {
		require.NoError(t, os.Rename(dir+"/.snapshot", "/run/kept"))
		defer func() { require.NoError(t, os.Rename("/run/kept", dir+"/.snapshot")) }()
		s.examineUntil("snapdir", "snapshot-age")
	})
	t.Run("a dead port", func(t *testing.T) {
		s.configure("nfs://127.0.0.1" + dir + "?port=1&mountport=1")
		found, r := s.examineUntil("mount")
		require.Contains(t, found["mount"].Evidence, "is not reached")
		require.Contains(t, r.Unasked, "nfs")
	})
	t.Run("a wrong path", func(t *testing.T) {
		s.configure("nfs://127.0.0.1/nowhere")
		found, _ := s.examineUntil("mount")
		require.Contains(t, found["mount"].Evidence, "exports /run/export, /run/squashed, and not /nowhere")
	})
	t.Run("root is squashed", func(t *testing.T) {
		s.configure("nfs://127.0.0.1" + squashed)
		found, _ := s.examine()
		require.Contains(t, found.bad(), "root")
		require.Contains(t, found["root"].Evidence, "uid 0 is squashed")
		require.Contains(t, found["root"].Next, "no_root_squash")
	})
	t.Run("a server that answers nothing", func(t *testing.T) {
		s.configure("nfs://127.0.0.1" + dir)
		s.examineUntil()
		server.Signal(syscall.SIGSTOP)
		defer server.Signal(syscall.SIGCONT)
		_, r := s.examineUntil("mount")
		require.Contains(t, r.Unasked, "lock")
	})
}
