package repair

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/job"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// asked bounds what is asked at the same time.
const asked = 32

// looker collects the faults of an export.
type looker struct {
	fsys tree.FS
	run  *errgroup.Group

	mu     sync.Mutex // guards faults
	faults []export.Fault
}

// Look reads every control file below .berth of the export with that id, and changes
// nothing. It returns those that are not what their names say, sorted by path. The
// error is the export's.
func Look(ctx context.Context, fsys tree.FS, id string) ([]export.Fault, error) {
	l := &looker{fsys: fsys}
	l.run, ctx = errgroup.WithContext(ctx)
	l.run.SetLimit(asked)
	locks, err := cluster.Locks(ctx, fsys)
	if err != nil && export.Ends(ctx, fsys, err) {
		return nil, err
	}
	for _, look := range []func(context.Context) error{l.nodes, l.volumes, l.leases, l.locks, l.trash,
		func(ctx context.Context) error { return l.jobs(ctx, locks) }, func(ctx context.Context) error { return l.rest(ctx, id) }} {
		if err := look(ctx); err != nil {
			return nil, errors.Join(err, l.run.Wait())
		}
	}
	if err := l.run.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(l.faults, func(a, b export.Fault) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(l.faults, func(a, b export.Fault) bool { return a.Path == b.Path }), nil
}

// found notes a fault. It returns an error that is the export's.
func (l *looker) found(ctx context.Context, name, of string, err error) error {
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil
	case export.Ends(ctx, l.fsys, err):
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, export.Fault{Path: name, Volume: of, Why: export.Why(err)})
	return nil
}

// record reads one file in the background.
func (l *looker) record(ctx context.Context, name, of string, v export.Record) {
	l.run.Go(guard.Func(func() error { return l.found(ctx, name, of, export.Read(ctx, l.fsys, name, v)) }))
}

// each calls f for the names in a directory; of is the volume whose directory it is.
func (l *looker) each(ctx context.Context, dir, of string, f func(d tree.Entry)) error {
	return l.found(ctx, dir, of, l.fsys.ReadDir(ctx, dir, func(d tree.Entry) error {
		f(d)
		return nil
	}))
}

// wrongKind refuses what is no directory where only directories are.
func (l *looker) wrongKind(ctx context.Context, name, of string, kind tree.Kind) {
	_ = l.found(ctx, name, of, export.Unfit("is a %s and no directory", kind))
}

func (l *looker) nodes(ctx context.Context) error {
	return l.each(ctx, export.NodeDir, "", func(d tree.Entry) {
		if _, ok := strings.CutSuffix(d.Name, ".json"); ok {
			l.record(ctx, path.Join(export.NodeDir, d.Name), "", &cluster.Heartbeat{})
		}
	})
}

func (l *looker) volumes(ctx context.Context) error {
	return l.each(ctx, export.MetaDir, "", func(d tree.Entry) {
		if name, ok := strings.CutSuffix(d.Name, ".json"); ok && export.IsName(name) {
			l.record(ctx, export.MetaPath(name), name, &volume.Meta{})
		}
	})
}

func (l *looker) leases(ctx context.Context) error {
	var names []string
	err := l.each(ctx, export.LeaseDir, "", func(d tree.Entry) {
		of, _, _ := strings.Cut(d.Name, "@")
		switch {
		case !export.IsName(of):
		case d.Kind != tree.Directory:
			l.wrongKind(ctx, path.Join(export.LeaseDir, d.Name), of, d.Kind)
		default:
			names = append(names, d.Name)
		}
	})
	for _, name := range names {
		if err != nil {
			break
		}
		of, _, _ := strings.Cut(name, "@")
		err = l.each(ctx, path.Join(export.LeaseDir, name), of, func(d tree.Entry) {
			file := path.Join(export.LeaseDir, name, d.Name)
			if number, ok := strings.CutPrefix(d.Name, export.EpochPrefix); ok && isNumber(number) {
				l.record(ctx, file, of, &cluster.Epoch{})
			} else if strings.HasSuffix(d.Name, ".json") {
				l.record(ctx, file, of, &cluster.Lease{})
			}
		})
	}
	return err
}

func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil
}

func (l *looker) locks(ctx context.Context) error {
	var series []string
	err := l.each(ctx, export.LockDir, "", func(d tree.Entry) {
		of, numbered := strings.CutSuffix(d.Name, "@")
		file := path.Join(export.LockDir, d.Name)
		switch {
		case !export.IsName(of):
		case !numbered:
			l.record(ctx, file, of, &cluster.Lock{})
		case d.Kind != tree.Directory:
			l.wrongKind(ctx, file, of, d.Kind)
		default:
			series = append(series, of)
		}
	})
	for _, of := range series {
		if err != nil {
			break
		}
		dir := path.Join(export.LockDir, of+"@")
		err = l.each(ctx, dir, of, func(d tree.Entry) {
			if isNumber(d.Name) {
				l.record(ctx, path.Join(dir, d.Name), of, &cluster.Lock{})
			}
		})
	}
	return err
}

func (l *looker) trash(ctx context.Context) error {
	return l.each(ctx, export.TrashDir, "", func(d tree.Entry) {
		if d.Kind != tree.Directory {
			if !strings.HasPrefix(d.Name, "metadata-") { // that was repaired
				l.wrongKind(ctx, path.Join(export.TrashDir, d.Name), "", d.Kind)
			}
			return
		}
		l.run.Go(guard.Func(func() error {
			name := export.TrashMeta(d.Name)
			var t volume.Trashed
			err := export.Read(ctx, l.fsys, name, &t)
			if err == nil && t.Partial && t.Kind != volume.Damaged {
				if err := l.found(ctx, path.Join(export.TrashPath(d.Name), export.ChangesFile), t.Volume, l.changes(ctx, d.Name)); err != nil {
					return err
				}
			}
			if errors.Is(err, fs.ErrNotExist) {
				if there, _ := export.Exists(ctx, l.fsys, export.TrashData(d.Name)); there {
					err = export.Unfit("is missing")
				}
			}
			return l.found(ctx, name, "", err)
		}))
	})
}

// judged is how much of a record of changes is looked at, in bytes at its beginning;
// that of a large volume has many.
const judged = 1 << 20

// changes looks at the record of an undo copy of single files, of which each line is
// JSON.
func (l *looker) changes(ctx context.Context, id string) error {
	f, err := l.fsys.Open(ctx, path.Join(export.TrashPath(id), export.ChangesFile))
	if err != nil {
		return err
	}
	defer f.Close()
	data, last := make([]byte, judged), []byte{'\n'}
	n, err := f.ReadAt(ctx, data, 0)
	if a, statErr := f.Stat(ctx); statErr == nil && a.Size > 0 {
		_, err = f.ReadAt(ctx, last, a.Size-1)
	}
	if err != nil && err != io.EOF {
		return err
	}
	for line := range bytes.Lines(data[:n]) {
		if whole := line[len(line)-1] == '\n'; whole && !json.Valid(line) || last[0] != '\n' {
			return export.Unfit("has a line that is none")
		}
	}
	return nil
}

func (l *looker) jobs(ctx context.Context, locks []*cluster.Lock) error {
	return l.each(ctx, export.StagingDir, "", func(d tree.Entry) {
		if !strings.HasPrefix(d.Name, export.JobPrefix) {
			return
		}
		of := ""
		for _, k := range locks {
			if k.Work == d.Name {
				of = k.Volume
			}
		}
		if d.Kind != tree.Directory {
			l.wrongKind(ctx, path.Join(export.StagingDir, d.Name), of, d.Kind)
			return
		}
		l.record(ctx, export.JournalPath(d.Name), of, &job.Job{})
	})
}

// rest looks at what is no volume's.
func (l *looker) rest(ctx context.Context, id string) error {
	for file, err := range export.CheckRecords(ctx, l.fsys, id) {
		if err := l.found(ctx, file, "", err); err != nil {
			return err
		}
	}
	if err := l.found(ctx, export.PausesFile, "", cluster.CheckPauses(ctx, l.fsys)); err != nil {
		return err
	}
	for _, dir := range export.ControlDirs {
		a, err := l.fsys.Stat(ctx, dir)
		if err == nil && a.Kind != tree.Directory {
			l.wrongKind(ctx, dir, "", a.Kind)
		} else if err := l.found(ctx, dir, "", err); err != nil {
			return err
		}
	}
	err := l.fsys.ReadDirPlus(ctx, export.AuditDir, func(d tree.EntryPlus) error {
		name := path.Join(export.AuditDir, d.Name)
		switch {
		case !strings.HasSuffix(d.Name, ".jsonl"):
		case d.Attr.Kind != tree.Regular:
			return l.found(ctx, name, "", export.Unfit("is a %s and no file", d.Attr.Kind))
		case d.Attr.Size > audit.MaxFile:
			return l.found(ctx, name, "", export.Unfit("has %d bytes; no node writes so much", d.Attr.Size))
		}
		return nil
	})
	return l.found(ctx, export.AuditDir, "", err)
}
