package volume

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sort"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
)

// AuditRecord is one line of .berth/audit/NODE-YYYYMM.jsonl. Every node writes
// its own file, since NFSv3 has no append.
type AuditRecord struct {
	Time   time.Time `json:"time"`
	Node   string    `json:"node"`
	Op     string    `json:"op"`
	Volume string    `json:"volume,omitempty"`
	Detail string    `json:"detail,omitempty"`
	By     string    `json:"by,omitempty"`
}

type callerKey struct{}

// WithCaller notes in ctx who asked, for the audit trail.
func WithCaller(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, callerKey{}, who)
}

// audit writes a record. What was done is done: failing to write it down is
// reported, and never turns success into an error.
func (s *Store) audit(ctx context.Context, e *export.Export, r AuditRecord) {
	r.Node = s.cfg.Node
	r.By, _ = ctx.Value(callerKey{}).(string)
	now, _ := s.conn.Time()
	r.Time = now.UTC().Truncate(time.Second)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := s.appendAudit(ctx, e, r); err != nil {
		s.cfg.Report("the audit trail was not written", map[string]any{"op": r.Op, "volume": r.Volume, "err": err})
	}
}

func (s *Store) appendAudit(ctx context.Context, e *export.Export, r AuditRecord) error {
	// This node's lines are kept apart: the end of the file is read, then written.
	if err := s.audits.enter(ctx); err != nil {
		return err
	}
	defer s.audits.leave()
	name := path.Join(export.AuditDir, fmt.Sprintf("%s-%s.jsonl", s.cfg.Node, r.Time.Format("200601")))
	f, err := e.FS.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = e.Create(ctx, name)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	attr, err := f.Stat(ctx)
	if err != nil {
		return err
	}
	line := export.Encode(r)
	if attr.Size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(ctx, last, attr.Size-1); err != nil && err != io.EOF {
			return err
		}
		if last[0] != '\n' { // a line cut short by a crash
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := f.WriteAt(ctx, line, attr.Size); err != nil {
		return err
	}
	return f.Sync(ctx)
}

// maxAuditFile bounds what is read of one node's month, in bytes.
const maxAuditFile = 64 << 20

// Audit returns the records of all nodes, oldest first, of one volume or of
// all for "". Lines cut short by a crash are left out.
func (s *Store) Audit(ctx context.Context, volume string, since time.Time) ([]AuditRecord, error) {
	out := []AuditRecord{}
	err := s.with(ctx, "read the audit trail", func(e *export.Export) error {
		files, err := export.Pick(ctx, e.FS, export.AuditDir, func(d tree.Entry) (string, bool) { return d.Name, d.Kind == tree.Regular })
		if err != nil {
			return export.Absent(err)
		}
		slices.Sort(files)
		for _, f := range files {
			data, err := tree.ReadFile(ctx, e.FS, path.Join(export.AuditDir, f), maxAuditFile)
			if err != nil {
				return err
			}
			for _, r := range parseAudit(data) {
				if (volume == "" || r.Volume == volume) && !r.Time.Before(since) {
					out = append(out, r)
				}
			}
		}
		return nil
	})
	sort.SliceStable(out, func(i, j int) bool { return out[i].Time.Before(out[j].Time) })
	return out, err
}

func parseAudit(data []byte) (out []AuditRecord) {
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, export.MaxFile)
	for lines.Scan() {
		var r AuditRecord
		if json.Unmarshal(lines.Bytes(), &r) == nil && !r.Time.IsZero() {
			out = append(out, r)
		}
	}
	return out
}
