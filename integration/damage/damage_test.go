package damage

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/repair"
	"github.com/casit/berth/tree/treetest"
)

var (
	seeds   = flag.Int("seeds", 12, "how many exports are damaged")
	seed    = flag.Uint64("seed", 1, "the first seed")
	only    = flag.String("only", "", "FILE:MUTATION, parts of the names of those that are tried")
	verbose = flag.Bool("said", false, "print what the nodes say")
)

// looks is for how many rounds the node looks after a damaged export, which are more
// than two minutes at a TTL of 90 s. A round looks at the locks up to three times.
const looks = 30

// result is what becomes of an export.
type result struct {
	volumes  map[string]string // by name: the tree, the metadata, and the trees in the trash
	perRound float64           // calls in a round of the node
	said     int64             // lines
}

func TestDamagedFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		treetest.Skip(t, "mounting needs root")
	}
	whole := filepath.Join(t.TempDir(), "x")
	build(t, whole)
	files := controlFiles(t, whole)
	belongs := owners(t, whole, files)
	reference := run(t, whole, func(string) {}, nil)
	for _, v := range volumes {
		require.NotEmpty(t, reference.volumes[v], "what becomes of %s", v)
		t.Log(v, strings.ReplaceAll(reference.volumes[v], "\n", ", "))
	}
	again := run(t, whole, func(string) {}, func(_, doctor string) {
		require.False(t, strings.Contains(doctor, "is damaged"), "nothing is")
	})
	require.Equal(t, reference.volumes, again.volumes, "what becomes of the whole export is no chance")
	begin := time.Now()
	limit := make(chan struct{}, 4) // they wait as much as they work
	var all sync.WaitGroup
	for i := range *seeds {
		n := *seed + uint64(i)
		limit <- struct{}{}
		all.Go(func() {
			defer func() { <-limit }()
			t.Run(fmt.Sprint("seed=", n), func(t *testing.T) { one(t, n, whole, files, belongs, reference) })
		})
	}
	all.Wait()
	t.Logf("%d exports damaged in %s; the whole one: %.0f calls a round, %d lines", *seeds, time.Since(begin).Round(time.Second), reference.perRound, reference.said)
}

// one damages a copy of an export.
func one(t *testing.T, n uint64, whole string, files []string, belongs map[string][]string, reference result) {
	r := rand.New(rand.NewPCG(n, 0))
	var hit []string                                     // the files that were damaged
	must, mine := map[string]string{}, map[string]bool{} // mine are the volumes that it may cost
	say := ""
	got := run(t, whole, func(dir string) {
		for range 1 + r.IntN(8)/6 {
			left := slices.DeleteFunc(slices.Clone(files), func(f string) bool {
				_, err := os.Lstat(filepath.Join(dir, f))
				return err != nil
			})
			name, m := damage(t, r, dir, left)
			hit = append(hit, name)
			// The tree of an item of the trash is counted with the volume that its record says.
			if data, err := small(filepath.Join(dir, name)); err == nil && strings.HasPrefix(name, ".berth/trash/") {
				for _, v := range volumes {
					mine[v] = mine[v] || strings.Contains(string(data), `"`+v)
				}
			}
			say += fmt.Sprintf("%s: %s; ", name, m.name)
			if m.sure {
				must[name] = state(filepath.Join(dir, name))
			}
		}
	}, func(dir string, doctor string) {
		for name, was := range must {
			if state(filepath.Join(dir, name)) == was && judged(name) {
				volume := strings.TrimSuffix(strings.TrimPrefix(name, ".berth/volumes/"), ".json") // of several, the doctor gives one path
				require.True(t, strings.Contains(doctor, name) || metadataOf(volume).MatchString(doctor), "seed %d, %s: doctor says nothing of it: %s", n, say, found(doctor))
			}
		}
	})
	t.Log(say)
	for _, f := range hit {
		for _, v := range belongs[f] {
			mine[v] = true
		}
	}
	for v, want := range reference.volumes {
		if !mine[v] && !mine["*"] {
			require.Equal(t, want, got.volumes[v], "seed %d, %s: volume %s is another one", n, say, v)
		}
	}
	require.Less(t, got.perRound, 4*reference.perRound+500, "seed %d, %s: calls a round", n, say)
	require.Less(t, got.said, reference.said+40, "seed %d, %s: lines", n, say)
}

// found is what doctor has found wrong.
func found(doctor string) (out []string) {
	var r struct {
		Findings []struct{ Check, State, Evidence string }
		Unasked  []string `json:"not_looked_at"`
	}
	_ = json.Unmarshal([]byte(doctor), &r)
	for _, f := range r.Findings {
		if f.State != "ok" {
			out = append(out, f.Check+": "+f.Evidence)
		}
	}
	return append(out, r.Unasked...)
}

// judged tells the files that doctor looks at. The others may be damaged and cost
// nothing: what is kept in the cache and the reserve, and numbers that are over.
func judged(name string) bool {
	for _, ignored := range []string{".berth/cache", ".berth/reserve", ".berth/staging/tmp.", ".berth/staging/purge.", ".berth/audit/", ".snapshot"} {
		if strings.HasPrefix(name, ignored) {
			return false
		}
	}
	return true
}

// state is what is at a path, to see whether it was touched.
func state(name string) string {
	st, err := os.Lstat(name)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(st.Mode(), st.Size(), st.ModTime())
}

// metadataOf finds a volume in the doctor's words about metadata.
func metadataOf(volume string) *regexp.Regexp {
	return regexp.MustCompile(`the metadata of [^:]*\b` + regexp.QuoteMeta(volume) + `\b[^:]* cannot be read`)
}

// owners tells whose each file is: the names of volumes, "*" for what may change
// all of them.
func owners(t *testing.T, dir string, files []string) map[string][]string {
	out := map[string][]string{}
	for _, f := range files {
		parts := strings.Split(f, "/")
		switch {
		case len(parts) < 3 && parts[0] == ".berth" && !strings.Contains(f, "audit") && !strings.Contains(f, "cache") && !strings.Contains(f, "reserve"):
			out[f] = []string{"*"} // of the whole export
		case parts[0] == ".snapshot" && len(parts) == 2:
			out[f] = []string{"*"} // of all versions
		case parts[0] == ".snapshot":
			out[f] = nil
		case parts[1] == "volumes":
			out[f] = []string{strings.TrimSuffix(parts[2], ".json")}
		case parts[1] == "leases", parts[1] == "locks":
			of, _, _ := strings.Cut(parts[2], "@")
			out[f] = []string{of}
		case parts[1] == "nodes" && parts[2] == "n2.json":
			out[f] = []string{"beta", "gamma"}
		case parts[1] == "nodes" && parts[2] == "n3.json":
			out[f] = []string{"zeta", "eta", "theta", "lambda"}
		case parts[1] == "nodes":
			out[f] = []string{"alpha"}
		case parts[1] == "trash", parts[1] == "staging":
			item := filepath.Join(dir, parts[0], parts[1], parts[2])
			for _, v := range append([]string{"iota"}, volumes...) {
				for _, record := range []string{"volume.json", "journal.json"} {
					data, _ := os.ReadFile(filepath.Join(item, record))
					if strings.Contains(string(data), `"`+v+`"`) {
						out[f] = append(out[f], v)
					}
				}
			}
		}
	}
	return out
}

var copies atomic.Int64

// run looks after a copy of an export that was damaged, asks every verb, and tells
// what has become of it. told is told what doctor says, before any verb.
func run(t *testing.T, whole string, damage func(dir string), told func(dir, doctor string)) result {
	base := t.TempDir()
	dir := filepath.Join(base, "x")
	copied(t, whole, dir)
	damage(dir)
	var got result

	n := newNode(dir, "n1")
	n.runs(looks)
	require.Nil(t, n.panics.Load(), "a panic")
	got.perRound, got.said = float64(n.calls.Load())/float64(max(1, n.rounds.Load())), n.said.Load()
	if _, err := repair.Faults(t.Context(), n.Store); err != nil && told != nil {
		t.Log("the control files cannot be looked at: ", err)
	}
	require.NoError(t, n.Close())

	// All copies are one export to this host, on which a name may be used once.
	name := fmt.Sprintf("n5-%d", copies.Add(1))
	s := serve(t, dir, name, "boot-n5")
	doctor := s.ask("Berth.Doctor", `{"max_age_ns":93600000000000}`)
	if told != nil {
		told(dir, doctor)
	}
	s.everything()
	s.stop()
	for _, bad := range []string{"panic", "has a bug"} {
		require.NotContains(t, s.log.String(), bad)
	}
	require.Less(t, strings.Count(s.log.String(), "\n"), 400, "lines")
	got.volumes = contents(t, dir)
	return got
}

// everything asks each verb for each volume, and removes the volumes at last.
func (s *served) everything() {
	for _, r := range []string{"VolumeDriver.Capabilities", "VolumeDriver.List", "Berth.Version", "Berth.VolumeNames", "Berth.TrashList", "Berth.Audit", "Berth.SnapshotList", "Berth.SnapshotNewest", "Berth.Usage", "Berth.JobList"} {
		s.ask(r, "{}")
	}
	s.ask("Berth.VolumeInspect", `{"size":true}`)
	s.ask("Berth.VolumeUsers", `{"late":true}`)
	s.ask("Berth.ImportConvoy", `{"dry_run":true}`)
	s.ask("Berth.TrashPurge", `{"dry_run":true,"older_ns":1}`)
	var ask sync.WaitGroup
	for _, v := range volumes {
		ask.Go(func() { s.everythingOf(v) })
	}
	ask.Wait()
	s.ask("VolumeDriver.List", "{}")
}

func (s *served) everythingOf(v string) {
	q := func(route, format string) string { return s.ask(route, strings.ReplaceAll(format, "VOLUME", v)) }
	q("VolumeDriver.Get", `{"Name":"VOLUME"}`)
	q("VolumeDriver.Path", `{"Name":"VOLUME"}`)
	q("VolumeDriver.Create", `{"Name":"VOLUME"}`)
	q("VolumeDriver.Mount", `{"Name":"VOLUME","ID":"i-VOLUME"}`)
	q("VolumeDriver.Unmount", `{"Name":"VOLUME","ID":"i-VOLUME"}`)
	q("VolumeDriver.Mount", `{"Name":"VOLUME@s1","ID":"v-VOLUME"}`)
	q("VolumeDriver.Unmount", `{"Name":"VOLUME@s1","ID":"v-VOLUME"}`)
	q("Berth.VolumeInspect", `{"names":["VOLUME"],"size":true}`)
	q("Berth.VolumeUsers", `{"name":"VOLUME","late":true}`)
	q("Berth.VolumeSet", `{"name":"VOLUME","options":{"on-remove":"retain"}}`)
	q("Berth.VolumeTakeover", `{"name":"VOLUME","from":"n2","dry_run":true}`)
	q("Berth.VolumeRelease", `{"name":"VOLUME","dry_run":true}`)
	q("Berth.VolumeRepair", `{"name":"VOLUME","dry_run":true}`)
	q("Berth.SnapshotList", `{"volume":"VOLUME"}`)
	q("Berth.SnapshotDiff", `{"a":"VOLUME@s1","b":"VOLUME"}`)
	q("Berth.RestorePlan", `{"refs":["VOLUME@s1"]}`)
	q("Berth.JobFind", `{"name":"VOLUME"}`)
	if id := s.prepare(fmt.Sprintf(`{"request":{"refs":["%s@s1:index.html"],"to":"back.html"}}`, v)); id != "" {
		s.finish(id)
	}
	q("VolumeDriver.Remove", `{"Name":"VOLUME"}`)
}

// contents is what is left of each volume: its tree, its metadata, and its trees in
// the trash, whatever ids and times they have.
func contents(t *testing.T, dir string) map[string]string {
	parts := map[string][]string{}
	for _, v := range volumes {
		if sum := sumOf(t, filepath.Join(dir, v)); sum != "" {
			parts[v] = append(parts[v], "tree "+sum)
		}
		var m struct{ Options map[string]string }
		if data, err := small(filepath.Join(dir, ".berth/volumes", v+".json")); err == nil && json.Unmarshal(data, &m) == nil {
			parts[v] = append(parts[v], fmt.Sprint("metadata ", m.Options))
		}
	}
	records, err := filepath.Glob(filepath.Join(dir, ".berth/trash/*/volume.json"))
	require.NoError(t, err)
	for _, file := range records {
		var item struct{ Kind, Volume string }
		data, err := small(file)
		if err == nil && json.Unmarshal(data, &item) == nil && item.Kind != "damaged" {
			parts[item.Volume] = append(parts[item.Volume], "trash "+item.Kind+" "+sumOf(t, filepath.Join(filepath.Dir(file), "data")))
		}
	}
	out := map[string]string{}
	for _, v := range slices.Sorted(maps.Keys(parts)) {
		slices.Sort(parts[v])
		out[v] = strings.Join(parts[v], "\n")
	}
	return out
}

// sumOf is the sum of a tree's names and contents, "" where there is none.
func sumOf(t *testing.T, dir string) string {
	if _, err := os.Lstat(dir); err != nil {
		return ""
	}
	h := sha256.New()
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		data := []byte(nil)
		if d.Type().IsRegular() {
			if data, err = os.ReadFile(p); err != nil {
				return err
			}
		}
		name, _ := filepath.Rel(dir, p)
		fmt.Fprintf(h, "%q %s %q\n", name, d.Type(), data)
		return nil
	}))
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// small reads a record, but for one that was made huge.
func small(name string) ([]byte, error) {
	if st, err := os.Stat(name); err == nil && (st.Size() > 1<<20 || !st.Mode().IsRegular()) {
		return nil, fs.ErrInvalid
	}
	return os.ReadFile(name)
}
