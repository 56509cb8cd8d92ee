// Package cache keeps results on the export that are true for good, for all nodes.
// Any of them may be deleted at any time, and be made again.
package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/several"
	"github.com/casit/berth/tree"
)

// The cache is bounded all the same: what nobody has read for long goes, and
// the least recently read when there is too much.
const (
	unused = 60 * 24 * time.Hour
	most   = 1 << 30 // bytes
	// exact is how exactly the time of the last reading is kept.
	exact = 24 * time.Hour
	// maxBytes bounds what is read of a file.
	maxBytes = 64 << 20
)

// Cache is what is kept on one export.
type Cache struct{ conn *export.Conn }

// New returns the cache of an export.
func New(conn *export.Conn) *Cache { return &Cache{conn} }

// Get decodes what was kept under key into v; false if there is nothing.
func (k *Cache) Get(ctx context.Context, fsys tree.FS, key string, v any) bool {
	data := k.read(ctx, fsys, key, ".json")
	return data != nil && json.Unmarshal(data, v) == nil
}

// Put keeps v under key, on all nodes. That it cannot is no error.
func (k *Cache) Put(ctx context.Context, fsys tree.FS, key string, v any) {
	if data, err := json.Marshal(v); err == nil {
		k.write(ctx, fsys, key, ".json", data)
	}
}

// Bytes returns the bytes that were kept under key; nil if there are none.
func (k *Cache) Bytes(ctx context.Context, fsys tree.FS, key string) []byte {
	return k.read(ctx, fsys, key, ".bin")
}

// PutBytes is Put for bytes that are no JSON.
func (k *Cache) PutBytes(ctx context.Context, fsys tree.FS, key string, data []byte) {
	k.write(ctx, fsys, key, ".bin", data)
}

// read returns what write has kept, and nothing else: a file begins with the sum of
// its key and of what follows, so that a damaged one is none.
func (k *Cache) read(ctx context.Context, fsys tree.FS, key, kind string) []byte {
	name := export.CachePath(key, kind)
	data, err := tree.ReadFile(ctx, fsys, name, maxBytes)
	if err != nil || len(data) < sha256.Size || !bytes.Equal(data[:sha256.Size], sum(key, data[sha256.Size:])) {
		return nil
	}
	k.noteRead(ctx, fsys, name)
	return data[sha256.Size:]
}

func (k *Cache) write(ctx context.Context, fsys tree.FS, key, kind string, data []byte) {
	if export.Mkdir(ctx, fsys, export.CacheDir) == nil {
		_ = k.conn.On(fsys).Put(ctx, export.CachePath(key, kind), slices.Concat(sum(key, data), data))
	}
}

func sum(key string, data []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", key)
	h.Write(data)
	return h.Sum(nil)
}

// noteRead keeps in the file's time that it was read.
func (k *Cache) noteRead(ctx context.Context, fsys tree.FS, name string) {
	now, ok := k.conn.Time()
	a, err := fsys.Stat(ctx, name)
	if ok && err == nil && now.Sub(a.Mtime) > exact {
		_ = fsys.SetAttr(ctx, name, tree.SetAttr{Mtime: &now})
	}
}

// Sweep removes what has not been read for long, and the least recently read
// while there is too much. What cannot be removed keeps nothing else.
func Sweep(ctx context.Context, fsys tree.FS, now time.Time) error {
	return sweep(ctx, fsys, now, most)
}

func sweep(ctx context.Context, fsys tree.FS, now time.Time, most int64) error {
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
	var failed several.Errors
	for _, d := range kept {
		if total <= most && now.Sub(d.Attr.Mtime) <= unused {
			break
		}
		if err := export.Absent(fsys.Remove(ctx, path.Join(export.CacheDir, d.Name))); err != nil {
			failed.Add(err)
			continue
		}
		total -= d.Attr.Size
	}
	return failed.Err()
}
