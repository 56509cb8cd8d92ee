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

// hints keeps what this node knows of the export for its next start.
type hints struct {
	s    *Store
	gate gate // one writes the file
}

// learn keeps the export's id.
func (h *hints) learn(id string) {
	h.s.index.SetID(id)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	h.save(ctx)
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

// load fills the index from the last run. A missing or broken hint, or
// that of another export, is no hint.
func (h *hints) load() {
	if h.s.cfg.HintPath == "" {
		return
	}
	data, err := os.ReadFile(h.s.cfg.HintPath)
	if err != nil {
		return
	}
	var was hint
	if json.Unmarshal(data, &was) != nil || was.Version != export.FormatVersion || was.Export != h.s.cfg.URL {
		return
	}
	h.s.index.Restore(was.ID, was.Names)
}

// save writes the hint if it changed, before the request that changed it
// is answered: the node may lose its power, and come back while the export is
// away. Requests that wait here find their change saved by another. Failing to
// is reported, not fatal.
func (h *hints) save(ctx context.Context) {
	if h.s.cfg.HintPath == "" {
		return
	}
	if h.gate.enter(ctx) != nil {
		return // whoever is inside, or comes next, saves it
	}
	defer h.gate.leave()
	id, names, changed := h.s.index.Unsaved()
	if !changed {
		return
	}
	data := export.Encode(hint{Version: export.FormatVersion, Export: h.s.cfg.URL, ID: id, Names: names})
	if err := renameio.WriteFile(h.s.cfg.HintPath, data, 0o600); err != nil {
		h.s.index.KeepUnsaved()
		h.s.cfg.Report("the hint for the next start was not saved", map[string]any{"file": path.Base(h.s.cfg.HintPath), "err": err})
	}
}
