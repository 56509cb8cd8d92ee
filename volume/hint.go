package volume

import (
	"context"
	"encoding/json"
	"os"
	"path"
	"time"

	"github.com/google/renameio/v2"

	"github.com/casit/berth/export"
)

// learn keeps the export's id.
func (s *Store) learn(id string) {
	s.index.setID(id)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.saveHint(ctx)
}

// hint is <mount root>/.index.json: what this node knew of the export when it
// stopped. It answers for known names while the export cannot be asked, and
// says which export is ours; it decides nothing else.
//
//	{"version":1,"export":"file:///export","id":"9f2c…","names":["blog","shop"]}
type hint struct {
	Version int      `json:"version"`
	Export  string   `json:"export"`
	ID      string   `json:"id"`
	Names   []string `json:"names"`
}

// loadHint fills the index from the last run. A missing or broken hint, or
// that of another export, is no hint.
func (s *Store) loadHint() {
	if s.cfg.HintPath == "" {
		return
	}
	data, err := os.ReadFile(s.cfg.HintPath)
	if err != nil {
		return
	}
	var h hint
	if json.Unmarshal(data, &h) != nil || h.Version != export.FormatVersion || h.Export != s.cfg.URL {
		return
	}
	s.index.restore(h.ID, h.Names)
}

// saveHint writes the hint if it changed, before the request that changed it
// is answered: the node may lose its power, and come back while the export is
// away. Requests that wait here find their change saved by another. Failing to
// is reported, not fatal.
func (s *Store) saveHint(ctx context.Context) {
	if s.cfg.HintPath == "" {
		return
	}
	if s.hints.enter(ctx) != nil {
		return // whoever is inside, or comes next, saves it
	}
	defer s.hints.leave()
	id, names, changed := s.index.unsaved()
	if !changed {
		return
	}
	data := export.Encode(hint{Version: export.FormatVersion, Export: s.cfg.URL, ID: id, Names: names})
	if err := renameio.WriteFile(s.cfg.HintPath, data, 0o600); err != nil {
		s.index.keepUnsaved()
		s.cfg.Report("the hint for the next start was not saved", map[string]any{"file": path.Base(s.cfg.HintPath), "err": err})
	}
}
