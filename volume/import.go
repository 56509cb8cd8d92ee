package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
)

// Import gives the directory name the metadata that another system, origin,
// had of it, and leaves the directory as it is. It returns false where there
// is metadata already, which stays. A zero created is now.
func (s *Store) Import(ctx context.Context, name, origin string, created time.Time) (made bool, err error) {
	err = s.locked(ctx, cluster.OpImport, name, func(e *export.Export, _ *cluster.Locking) error {
		if err := s.checkDirectory(ctx, e, name); err != nil {
			return err
		}
		meta := s.newMeta(name, nil)
		meta.Origin, meta.Adopted = origin, true
		if !created.IsZero() {
			meta.Created = created.UTC()
		}
		err := e.Publish(ctx, export.MetaPath(name), meta)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		if err == nil {
			made = true
			s.index.Put(name, entry{Meta: meta, Read: true})
		}
		return err
	})
	return made, err
}

// Unimport moves metadata aside that Import made and nobody has changed since,
// and returns where it went. Other metadata is refused, kind InUse.
func (s *Store) Unimport(ctx context.Context, name, origin string) (aside string, err error) {
	err = s.locked(ctx, cluster.OpImport, name, func(e *export.Export, _ *cluster.Locking) error {
		meta, err := readMeta(ctx, e.FS, name)
		if err != nil || meta == nil {
			return err
		}
		if err := meta.Unchanged(origin); err != nil {
			return err
		}
		aside = s.metaAside(name)
		if err := e.FS.Rename(ctx, export.MetaPath(name), aside); err != nil {
			return err
		}
		s.index.Put(name, entry{})
		return nil
	})
	return aside, err
}

// Unchanged answers nil for metadata as Import made it for origin.
func (m *Meta) Unchanged(origin string) error {
	switch {
	case m.Origin != origin:
		return problem.New(problem.InUse, "", "the metadata of volume %q was not imported from %s", m.Name, origin)
	case len(m.Options) > 0:
		var keys []string
		for _, o := range OptionTable {
			if _, ok := m.Options[o.Key]; ok {
				keys = append(keys, o.Key+"=")
			}
		}
		return problem.New(problem.InUse, fmt.Sprintf("to take it back too, type 'berth volume set %s %s' first", m.Name, strings.Join(keys, " ")),
			"the options of volume %q were set since: %s", m.Name, describe(m.Options))
	}
	return nil
}

// IsDatabaseFile tells the files of database servers, which keep them open:
// of MariaDB and MySQL, and of PostgreSQL.
func IsDatabaseFile(name string) bool {
	base := path.Base(name)
	return base == "ibdata1" || base == "PG_VERSION" || strings.HasSuffix(base, ".ibd")
}
