package snapshot

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/job"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
)

// scene makes what the journals in testdata are of.
func (w *world) scene(undo bool) {
	w.write("blog/wp-content/a.php", "nightly")
	w.snap("nightly")
	at := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	require.NoError(w.t, os.Chtimes(w.path(".snapshot/nightly"), at, at))
	w.write("blog/wp-content/a.php", "hacked")
	if undo {
		w.restore(RestoreRequest{Refs: []string{"blog@nightly"}})
	}
}

// TestAJobOfAnEarlierBerthIsResumed: testdata/journal has what the berth before
// wrote for prepared jobs, whose items have no plan. The ids of the trash are those
// of the test.
func TestAJobOfAnEarlierBerthIsResumed(t *testing.T) {
	files, err := filepath.Glob("testdata/journal/*.json")
	require.NoError(t, err)
	require.Len(t, files, 5)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.scene(name == "undo")
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			if name == "undo" {
				items, err := w.store.Trash.List(ctx)
				require.NoError(t, err)
				data = regexp.MustCompile(`("volume":"blog","trash":")[^"]*`).ReplaceAll(data, []byte("${1}"+items[0].ID))
			}
			var j job.Job
			require.NoError(t, json.Unmarshal(data, &j))
			w.write(".berth/staging/"+j.ID+"/journal.json", string(data))

			require.NoError(t, w.Start(ctx, j.ID))
			p, err := w.ends(j.ID)
			require.NoError(t, err)
			require.True(t, p.Done())
			want := map[string]string{"beside": "hacked", "undo": "hacked"}[name]
			if want == "" {
				want = "nightly"
			}
			require.Equal(t, want, w.read("blog/wp-content/a.php"))
			if name == "beside" {
				require.Equal(t, "nightly", w.read("blog/old/a.php"))
			}
			require.NoError(t, w.Jobs.End(ctx, j.ID))
			w.nothingLeft()
		})
	}
}

// TestAnEarlierBerthReadsTheJournal: what it needs is where it was.
func TestAnEarlierBerthReadsTheJournal(t *testing.T) {
	for name, r := range map[string]RestoreRequest{
		"whole":  {Refs: []string{"blog@nightly"}},
		"live":   {Refs: []string{"blog@nightly"}, Live: true},
		"file":   {Refs: []string{"blog@nightly:wp-content/a.php"}},
		"beside": {Refs: []string{"blog@nightly:wp-content"}, To: "old"},
		"undo":   {Refs: []string{"blog"}, Undo: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.scene(r.Undo)
			p, err := w.Plan(ctx, r)
			require.NoError(t, err)
			p.Request.Files, p.Items[0].Files = 0, 0 // the fixtures did not count
			p.Request.Bytes, p.Items[0].Bytes = 0, 0
			j, err := w.Prepare(ctx, overTheWire(t, p), Stopped{})
			require.NoError(t, err)
			read := func(data []byte) (m map[string]any) {
				require.NoError(t, json.Unmarshal(data, &m))
				return m
			}
			fixture, err := os.ReadFile("testdata/journal/" + name + ".json")
			require.NoError(t, err)
			was, is := read(fixture), read([]byte(w.read(".berth/staging/"+j.ID+"/journal.json")))
			items := is["items"].([]any)[0].(map[string]any)
			require.Contains(t, items, "plan")
			delete(items, "plan")
			require.Equal(t, true, is["small"])
			delete(is, "small")                           // an earlier berth passes over it, and brings nothing back on a full export
			for _, m := range []map[string]any{was, is} { // what is another one each time
				for _, k := range []string{"id", "incarnation", "since"} {
					delete(m, k)
				}
				delete(m["items"].([]any)[0].(map[string]any), "trash")
				delete(m["request"].(map[string]any)["exact"].([]any)[0].(map[string]any), "trash")
			}
			require.Equal(t, was, is)
		})
	}
}

// FuzzStep: an item of a journal, from whoever writes to the export, leads nowhere
// but into its volume.
func FuzzStep(f *testing.F) {
	f.Add("blog", []byte(`{"ref":"blog@s","exact":{"volume":"blog","snapshot":"s"},"kind":"tree","engine":"copy"}`))
	f.Add("blog", []byte(`{"ref":"x","exact":{"volume":"blog","trash":"../../etc"},"path":"../..","kind":"files","engine":"sync"}`))
	f.Add("..", []byte(`{"exact":{"volume":"blog","snapshot":"..","path":"../x"},"path":"a//b","kind":"file","engine":"filer"}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		var s step
		if json.Unmarshal(data, &s) != nil {
			return
		}
		it := s.item(name)
		if !it.whole() {
			return
		}
		require.NoError(t, tree.CheckPath(it.dest()))
		require.True(t, it.dest() == name || strings.HasPrefix(it.dest(), name+"/"))
		require.NoError(t, tree.CheckPath(it.source()))
		require.True(t, strings.HasPrefix(it.source(), reference.Dir+"/") || strings.HasPrefix(it.source(), ".berth/trash/"), it.source())
		back, err := json.Marshal(it.step())
		require.NoError(t, err)
		var again step
		require.NoError(t, json.Unmarshal(back, &again))
		require.Equal(t, it, again.item(name))
	})
}
