package volume

import (
	"context"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
)

// What is kept in .berth/cache is true for good and can be made again. It is
// bounded all the same: what nobody has read for long goes, and the least
// recently read when there is too much.
const (
	cacheUnused = 60 * 24 * time.Hour
	cacheBytes  = 1 << 30
	// cacheRead is how exactly the time of the last reading is kept.
	cacheRead = 24 * time.Hour
)

// Cached decodes what was kept under key into v; false if there is nothing.
func (s *Store) Cached(ctx context.Context, fsys tree.FS, key string, v any) bool {
	var kept struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value"`
	}
	name := export.CachePath(key, ".json")
	if export.Read(ctx, fsys, name, &kept) != nil || kept.Key != key || json.Unmarshal(kept.Value, v) != nil {
		return false
	}
	s.noteRead(ctx, fsys, name)
	return true
}

// Cache keeps v under key, on all nodes. That it cannot is no error.
func (s *Store) Cache(ctx context.Context, fsys tree.FS, key string, v any) {
	value, err := json.Marshal(v)
	if err == nil && export.Mkdir(ctx, fsys, export.CacheDir) == nil {
		_ = s.conn.On(fsys).Replace(ctx, export.CachePath(key, ".json"), map[string]any{"key": key, "value": json.RawMessage(value)})
	}
}

// maxCached bounds what CachedBytes reads.
const maxCached = 64 << 20

// CachedBytes returns the bytes that were kept under key; nil if there are none.
func (s *Store) CachedBytes(ctx context.Context, fsys tree.FS, key string) []byte {
	name := export.CachePath(key, ".bin")
	data, err := tree.ReadFile(ctx, fsys, name, maxCached)
	if err != nil {
		return nil
	}
	s.noteRead(ctx, fsys, name)
	return data
}

// CacheBytes is Cache for bytes that are no JSON.
func (s *Store) CacheBytes(ctx context.Context, fsys tree.FS, key string, data []byte) {
	if export.Mkdir(ctx, fsys, export.CacheDir) == nil {
		_ = s.conn.On(fsys).Put(ctx, export.CachePath(key, ".bin"), data)
	}
}

// noteRead keeps in the file's time that it was read.
func (s *Store) noteRead(ctx context.Context, fsys tree.FS, name string) {
	now, ok := s.conn.Time()
	a, err := fsys.Stat(ctx, name)
	if ok && err == nil && now.Sub(a.Mtime) > cacheRead {
		_ = fsys.SetAttr(ctx, name, tree.SetAttr{Mtime: &now})
	}
}

// sweepCache removes what has not been read for long from the cache, and the
// least recently read until the rest has at most so many bytes.
func sweepCache(ctx context.Context, fsys tree.FS, now time.Time, most int64) error {
	var kept []tree.EntryPlus
	total := int64(0)
	err := fsys.ReadDirPlus(ctx, export.CacheDir, func(d tree.EntryPlus) error {
		if d.Attr.Kind == tree.Regular {
			kept = append(kept, d)
			total += d.Attr.Size
		}
		return nil
	})
	if err != nil {
		return export.Absent(err)
	}
	slices.SortFunc(kept, func(a, b tree.EntryPlus) int { return a.Attr.Mtime.Compare(b.Attr.Mtime) })
	for _, d := range kept {
		if total <= most && now.Sub(d.Attr.Mtime) <= cacheUnused {
			return nil
		}
		if err := export.Absent(fsys.Remove(ctx, path.Join(export.CacheDir, d.Name))); err != nil {
			return err
		}
		total -= d.Attr.Size
	}
	return nil
}

// auditMonths is how many whole months the audit trail is kept for.
const auditMonths = 13

// sweepAudit hands the audit trail of months that nobody asks for any more to
// the sweepers.
func sweepAudit(ctx context.Context, fsys tree.FS, now time.Time) error {
	now = now.UTC()
	oldest := time.Date(now.Year(), now.Month()-auditMonths, 1, 0, 0, 0, 0, time.UTC)
	old, err := export.Pick(ctx, fsys, export.AuditDir, func(d tree.Entry) (string, bool) {
		month, ok := auditMonth(d.Name)
		return d.Name, ok && d.Kind == tree.Regular && month.Before(oldest)
	})
	if err != nil {
		return export.Absent(err)
	}
	for _, name := range old {
		to := path.Join(export.StagingDir, export.PurgePrefix+"audit-"+name)
		if err := export.Absent(fsys.Rename(ctx, path.Join(export.AuditDir, name), to)); err != nil {
			return err
		}
	}
	return nil
}

// auditMonth is the month of an audit file, NODE-YYYYMM.jsonl.
func auditMonth(name string) (time.Time, bool) {
	stem, ok := strings.CutSuffix(name, ".jsonl")
	i := strings.LastIndexByte(stem, '-')
	if !ok || i < 1 || len(stem) != i+1+len("200601") {
		return time.Time{}, false
	}
	month, err := time.Parse("200601", stem[i+1:])
	return month, err == nil
}
