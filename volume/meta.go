package volume

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Meta is .berth/volumes/NAME.json: what a volume was made with.
//
//	{"version":1,"name":"site1","id":"5c1f…","created":"2026-11-23T05:30:00Z",
//	 "created_by":"node1","options":{"uid":"33"}}
//
// A directory without one is an adopted volume with default options.
type Meta struct {
	Version   int       `json:"version"`
	Name      string    `json:"name"`
	ID        string    `json:"id"` // random; tells our own LINK from another's
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
	Options   Options   `json:"options,omitempty"`
	// Adopted: the directory was there before this metadata.
	Adopted bool `json:"adopted,omitempty"`
	// Origin is the system whose volume it was before, "" for berth's own.
	Origin string `json:"origin,omitempty"`
}

// single tells a volume that one node at a time may mount.
func (m *Meta) single() bool { return m != nil && m.Options.Get("access") == "single" }

// deletes tells a volume that goes without a stay in the trash.
func (m *Meta) deletes() bool { return m != nil && m.Options.Get("on-remove") == "delete" }

// newMeta is the metadata of a volume made now, here.
func (s *Store) newMeta(name string, opts Options) *Meta {
	return &Meta{Version: export.FormatVersion, Name: name, ID: s.conn.NewID(), Created: s.cfg.Now().UTC().Truncate(time.Second), CreatedBy: s.cfg.Node, Options: opts}
}

// ParseMeta reads a metadata file's bytes for the volume name. Every error
// means: do not touch this volume before an administrator has looked.
func ParseMeta(name string, data []byte) (*Meta, error) {
	var m Meta
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("is empty")
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("is not readable: %v", err)
	}
	return &m, m.Fits(export.MetaPath(name))
}

// Fits implements export.Record: the metadata is of the volume that its name says.
func (m *Meta) Fits(name string) error {
	switch {
	case m.Version != export.FormatVersion:
		return fmt.Errorf("has format version %d, this berth knows %d", m.Version, export.FormatVersion)
	case name != export.MetaPath(m.Name):
		return fmt.Errorf("belongs to volume %q", m.Name)
	}
	if _, err := ParseOptions(m.Options); err != nil {
		return fmt.Errorf("has options this berth does not know: %v", err)
	}
	return export.CheckTime(m.Created)
}

// readMeta returns the metadata of a volume: nil without an error when there is
// none, and an Error of kind Failed that says what to type when it is broken.
func readMeta(ctx context.Context, fsys tree.FS, name string) (*Meta, error) {
	data, err := tree.ReadFile(ctx, fsys, export.MetaPath(name), export.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil && !export.IsContent(err) {
		return nil, err
	}
	m := (*Meta)(nil)
	if err == nil {
		m, err = ParseMeta(name, data)
	}
	if err != nil {
		return nil, problem.New(problem.Failed, fmt.Sprintf("the data is untouched; look at it, then type 'berth volume repair %s'", name),
			"the metadata of volume %q (%s) %v", name, export.MetaPath(name), err)
	}
	return m, nil
}
