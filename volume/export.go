package volume

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// exportRecord is .berth/export.json: who this export is.
//
//	{"version":1,"id":"9f2c51b07d3e4a68"}
type exportRecord struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
}

// identify returns the export's id and refuses an export that is not the known
// one: an unmounted host mount is an empty directory, and must not be filled.
// Only an export of which nothing is known yet is given an id.
func (s *Store) identify(ctx context.Context, fsys tree.FS) (string, error) {
	known := s.cfg.ID
	if known == "" {
		known = s.index.knownID()
	}
	if known == "new" {
		known = ""
	}
	var rec exportRecord
	err := readControl(ctx, fsys, exportFile, &rec)
	if errors.Is(err, fs.ErrNotExist) {
		if known != "" {
			return "", problem.New(problem.Unreachable,
				fmt.Sprintf("mount it again and berth goes on by itself; if a new, empty export is meant, set BERTH_EXPORT=%s?id=new", problem.BareURL(s.cfg.URL)),
				"the export %s is away: its id %s is not there, so the directory is another one or its mount is missing; berth fills nothing", s.cfg.URL, known)
		}
		rec = exportRecord{Version: formatVersion, ID: s.newID()}
		if err = s.initialize(ctx, fsys, &rec); err != nil {
			return "", fmt.Errorf("prepare the export %s: %w", s.cfg.URL, err)
		}
	}
	switch {
	case isBroken(err), err == nil && rec.ID == "":
		return "", problem.New(problem.Failed, "look at the file; the volumes' data is untouched", "%s on the export %s is not readable", exportFile, s.cfg.URL)
	case err != nil:
		return "", err
	case rec.Version != formatVersion:
		return "", problem.New(problem.Failed, "upgrade berth on this node", "the export %s has format version %d, this berth knows %d", s.cfg.URL, rec.Version, formatVersion)
	case known != "" && known != rec.ID:
		return "", problem.New(problem.Unreachable,
			fmt.Sprintf("mount the right one; if this one is meant, set BERTH_EXPORT=%s?id=%s", problem.BareURL(s.cfg.URL), rec.ID),
			"the export %s is away: another export (id %s) is in its place, this node knows %s", s.cfg.URL, rec.ID, known)
	}
	if err := makeControlDirs(ctx, fsys); err != nil && !errors.Is(err, syscall.EROFS) {
		return "", err
	}
	s.index.setID(rec.ID)
	s.saveHint()
	return rec.ID, nil
}

// confirm makes sure that this still is the export, before what is missing is
// believed to be gone: a directory that was emptied, or deleted while somebody
// has it open, keeps its handle and has nothing in it.
func (s *Store) confirm(ctx context.Context, e *export) error {
	var rec exportRecord
	err := readControl(ctx, e.fs, exportFile, &rec)
	if err == nil && rec.ID == e.id {
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) || isBroken(err) {
		return fmt.Errorf("%w: its id is not there", tree.ErrAway)
	}
	return err
}

// lacksControl tells an error about a control file or directory that ought to
// be there.
func lacksControl(err error) bool {
	p := (*fs.PathError)(nil)
	return errors.Is(err, fs.ErrNotExist) && errors.As(err, &p) && strings.HasPrefix(p.Path, controlDir+"/")
}

// initialize gives a new export its id. Of several nodes one wins.
func (s *Store) initialize(ctx context.Context, fsys tree.FS, rec *exportRecord) error {
	if err := makeControlDirs(ctx, fsys); err != nil {
		return err
	}
	err := s.publish(ctx, fsys, exportFile, rec)
	if errors.Is(err, fs.ErrExist) {
		return readControl(ctx, fsys, exportFile, rec)
	}
	return err
}

func makeControlDirs(ctx context.Context, fsys tree.FS) error {
	for _, dir := range []string{controlDir, metaDir, nodeDir, leaseDir, lockDir, stagingDir, trashDir, auditDir} {
		if ok, err := exists(ctx, fsys, dir); ok {
			continue
		} else if err != nil {
			return err
		}
		if err := mkdir(ctx, fsys, dir); err != nil {
			return err
		}
	}
	return nil
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
	if json.Unmarshal(data, &h) != nil || h.Version != formatVersion || h.Export != s.cfg.URL {
		return
	}
	s.index.restore(h.ID, h.Names)
}

// saveHint writes the hint if it changed, before the request that changed it
// is answered: the node may lose its power, and come back while the export is
// away. Requests that wait here find their change saved by another. Failing to
// is reported, not fatal.
func (s *Store) saveHint() {
	if s.cfg.HintPath == "" {
		return
	}
	s.hintMu.Lock()
	defer s.hintMu.Unlock()
	id, names, changed := s.index.unsaved()
	if !changed {
		return
	}
	data := encode(hint{Version: formatVersion, Export: s.cfg.URL, ID: id, Names: names})
	if err := renameio.WriteFile(s.cfg.HintPath, data, 0o600); err != nil {
		s.index.keepUnsaved()
		s.cfg.Report("the hint for the next start was not saved", map[string]any{"file": path.Base(s.cfg.HintPath), "err": err})
	}
}

// serverClock is the export's time, read from the times it gives our own
// heartbeat, so that nodes with wrong clocks agree.
type serverClock struct {
	mu sync.Mutex // guards the fields
	// server is what the export said when our clock, with its monotonic part,
	// said local.
	server, local time.Time
}

func (c *serverClock) set(server, local time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server, c.local = server, local
}

// at returns the export's time at our time now; ok is false before the first
// heartbeat.
func (c *serverClock) at(now time.Time) (t time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.local.IsZero() {
		return now, false
	}
	return c.server.Add(now.Sub(c.local)), true
}
