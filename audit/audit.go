// Package audit is the audit trail of an export: who changed what, when, on which
// node. Each node writes a file of its own a month, since NFSv3 has no append. The
// trail is kept for 13 months.
package audit

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
	"strings"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/several"
	"github.com/casit/berth/tree"
)

// Record is one line of .berth/audit/NODE-YYYYMM.jsonl. Every node writes
// its own file, since NFSv3 has no append.
type Record struct {
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

// Caller is who asked, "" if WithCaller did not say.
func Caller(ctx context.Context) string {
	who, _ := ctx.Value(callerKey{}).(string)
	return who
}

// Trail is the audit trail as one node writes and reads it.
type Trail struct {
	conn   *export.Conn
	node   string
	report func(event string, fields map[string]any)
	writes chan struct{} // has one in it while a line is written
}

// New returns the trail of an export. report is told of what could not be written.
func New(conn *export.Conn, node string, report func(event string, fields map[string]any)) *Trail {
	return &Trail{conn: conn, node: node, report: report, writes: make(chan struct{}, 1)}
}

// Note is Write on the export as it is connected.
func (t *Trail) Note(ctx context.Context, r Record) {
	_ = t.conn.With(ctx, "write the audit trail", func(e *export.Export) error {
		t.Write(ctx, e, r)
		return nil
	})
}

// Write writes records of one moment. What was done is done: failing to write it
// down is reported, and never turns success into an error.
func (t *Trail) Write(ctx context.Context, e *export.Export, records ...Record) {
	if len(records) == 0 {
		return
	}
	at, _ := t.conn.Time()
	at = at.UTC().Truncate(time.Second)
	var lines []byte
	for _, r := range records {
		r.Node, r.By, r.Time = t.node, Caller(ctx), at
		lines = append(lines, export.Encode(r)...)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := t.append(ctx, e, at, lines); err != nil {
		first := records[0]
		t.report("the audit trail was not written", map[string]any{"op": first.Op, "volume": first.Volume, "records": len(records), "err": err})
	}
}

func (t *Trail) append(ctx context.Context, e *export.Export, at time.Time, lines []byte) error {
	// This node's lines are kept apart: the end of the file is read, then written.
	select {
	case t.writes <- struct{}{}:
		defer func() { <-t.writes }()
	case <-ctx.Done():
		return ctx.Err()
	}
	name := path.Join(export.AuditDir, fmt.Sprintf("%s-%s.jsonl", t.node, at.Format("200601")))
	f, err := e.FS.OpenWrite(ctx, name)
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
	if attr.Size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(ctx, last, attr.Size-1); err != nil && err != io.EOF {
			return err
		}
		if last[0] != '\n' { // a line cut short by a crash
			lines = append([]byte{'\n'}, lines...)
		}
	}
	if _, err := f.WriteAt(ctx, lines, attr.Size); err != nil {
		return err
	}
	return f.Sync(ctx)
}

// MaxFile bounds what is read of one node's month, in bytes.
const MaxFile = 64 << 20

// Read returns the records of all nodes, oldest first, of one volume or of
// all for "". Lines cut short by a crash are left out.
func (t *Trail) Read(ctx context.Context, volume string, since time.Time) ([]Record, error) {
	out := []Record{}
	err := t.conn.With(ctx, "read the audit trail", func(e *export.Export) error {
		files, err := export.Pick(ctx, e.FS, export.AuditDir, func(d tree.Entry) (string, bool) { return d.Name, d.Kind == tree.Regular })
		if err != nil {
			return export.Absent(err)
		}
		slices.Sort(files)
		for _, f := range files {
			data, err := tree.ReadFile(ctx, e.FS, path.Join(export.AuditDir, f), MaxFile)
			if export.Ends(ctx, e.FS, err) {
				return err
			}
			if err != nil { // one month of one node: the others are shown
				out = append(out, Record{Op: "unreadable", Detail: err.Error()})
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

func parseAudit(data []byte) (out []Record) {
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, export.MaxFile)
	for lines.Scan() {
		var r Record
		if json.Unmarshal(lines.Bytes(), &r) == nil && !r.Time.IsZero() {
			out = append(out, r)
		}
	}
	return out
}

// months is how many whole months the trail is kept for.
const months = 13

// Sweep hands the trail of months that nobody asks for any more to
// the sweepers.
func Sweep(ctx context.Context, fsys tree.FS, now time.Time) error {
	now = now.UTC()
	oldest := time.Date(now.Year(), now.Month()-months, 1, 0, 0, 0, 0, time.UTC)
	old, err := export.Pick(ctx, fsys, export.AuditDir, func(d tree.Entry) (string, bool) {
		month, ok := monthOf(d.Name)
		return d.Name, ok && d.Kind == tree.Regular && month.Before(oldest)
	})
	if err != nil {
		return export.Absent(err)
	}
	var failed several.Errors
	for _, name := range old {
		to := path.Join(export.StagingDir, export.PurgePrefix+"audit-"+name)
		failed.Add(export.Absent(fsys.Rename(ctx, path.Join(export.AuditDir, name), to)))
	}
	return failed.Err()
}

// monthOf is the month of an audit file, NODE-YYYYMM.jsonl.
func monthOf(name string) (time.Time, bool) {
	stem, ok := strings.CutSuffix(name, ".jsonl")
	i := strings.LastIndexByte(stem, '-')
	if !ok || i < 1 || len(stem) != i+1+len("200601") {
		return time.Time{}, false
	}
	month, err := time.Parse("200601", stem[i+1:])
	return month, err == nil
}
