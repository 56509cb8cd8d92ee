package convoy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// share is what is on Convoy's share, and what berth knows of it already.
type share struct {
	Records []file   // by file name
	Dirs    []subdir // every directory at the root that may be a volume, by name
	Other   []string // names at the root that berth takes for no volume: symlinks, files
	Tmp     []string // what Convoy left half-done, as paths
}

// file is one file config/vfs_volume_*.json: a record, or why it is none.
type file struct {
	Name   string
	Record *record
	Err    error
}

// subdir is a directory at the root of the share.
type subdir struct {
	Name     string
	Meta     *volume.Meta // nil: berth has none
	MetaErr  error        // berth's metadata is broken
	Database string       // a database's file in it, "" for none
	Own      *tree.Own    // what makes it a tree of its own, nil for nothing
}

// parallel is how many records or directories are read at once.
const parallel = 32

// readShare reads the share: the records, the names at the root and berth's
// metadata; and it searches each volume for a database. It writes nothing.
func readShare(ctx context.Context, fsys tree.FS) (*share, error) {
	s := &share{}
	if err := s.list(ctx, fsys); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range s.Records {
		group.Go(func() error { return s.Records[i].read(ctx, fsys) })
	}
	for i := range s.Dirs {
		group.Go(func() error {
			err := s.Dirs[i].read(ctx, fsys)
			if export.Ends(ctx, fsys, err) {
				return err
			}
			if err != nil { // of this directory alone
				s.Dirs[i].MetaErr = err
			}
			return nil
		})
	}
	return s, group.Wait()
}

// list reads the names at the root and in config/.
func (s *share) list(ctx context.Context, fsys tree.FS) error {
	err := fsys.ReadDir(ctx, volume.ConvoyDir, func(d tree.Entry) error {
		_, record := volume.ConvoyVolume(d.Name)
		switch name := path.Join(volume.ConvoyDir, d.Name); {
		case record:
			s.Records = append(s.Records, file{Name: d.Name})
		case strings.HasPrefix(d.Name, volume.ConvoyPrefix) && (strings.HasSuffix(d.Name, ".tmp") || strings.HasSuffix(d.Name, ".lock")):
			s.Tmp = append(s.Tmp, name)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = fsys.ReadDir(ctx, ".", func(d tree.Entry) error {
		switch {
		case strings.HasPrefix(d.Name, "."), d.Name == volume.ConvoyDir && len(s.Records) > 0:
		case d.Kind != tree.Directory:
			s.Other = append(s.Other, d.Name)
		case strings.HasSuffix(d.Name, ".tmp") && len(s.Records) > 0:
			s.Tmp = append(s.Tmp, d.Name)
		default:
			s.Dirs = append(s.Dirs, subdir{Name: d.Name})
		}
		return nil
	})
	slices.SortFunc(s.Records, func(a, b file) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Dirs, func(a, b subdir) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(s.Other)
	slices.Sort(s.Tmp)
	return err
}

// read reads a record. An error of the file itself concerns this record only.
func (f *file) read(ctx context.Context, fsys tree.FS) error {
	name := path.Join(volume.ConvoyDir, f.Name)
	data, err := tree.ReadFile(ctx, fsys, name, maxRecord)
	switch {
	case err == nil:
		f.Record, err = parse(f.Name, data)
	case export.Ends(ctx, fsys, err):
		return err
	default:
		err = unreadable(err)
	}
	if err != nil {
		f.Err = fmt.Errorf("%s %w", name, err)
	}
	return nil
}

// unreadable is why a file cannot be read, without its path.
func unreadable(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}

func (d *subdir) read(ctx context.Context, fsys tree.FS) (err error) {
	if d.Own, err = tree.OwnTree(ctx, fsys, d.Name); err != nil {
		return err
	}
	if volume.CheckName(d.Name) != nil {
		return nil
	}
	d.Meta, err = volume.MetaNow(ctx, fsys, d.Name)
	if broken := (*problem.Error)(nil); errors.As(err, &broken) {
		d.MetaErr, err = err, nil
	}
	if err == nil {
		d.Database, err = findDatabase(ctx, fsys, d.Name)
	}
	return err
}
