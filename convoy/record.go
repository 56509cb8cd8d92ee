package convoy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/volume"
)

// record is config/vfs_volume_NAME.json as Convoy v0.5 writes it: one line.
// MountPoint is left out: Convoy never clears it after a crash and clears it
// while other nodes are mounted, so it proves nothing.
//
//	{"Name":"shop_wp","Size":0,"Path":"/mnt/nfs/shop_wp","MountPoint":"",
//	 "PrepareForVM":false,"CreatedTime":"Sun Nov 22 17:46:33 +0000 2026",
//	 "Snapshots":{"snap1":{"Name":"snap1","CreatedTime":"…","VolumeUUID":"shop_wp",
//	  "FilePath":"/var/lib/rancher/convoy/vfs/snapshots/shop_wp_snap1.tar.gz"}}}
type record struct {
	Name         string
	Path         string // on the node that made it; only its last part means anything here
	PrepareForVM bool
	CreatedTime  string // time.RubyDate
	Snapshots    map[string]struct {
		Name        string
		CreatedTime string
		FilePath    string
	}
}

// snapshot is one of Convoy's snapshots: a tar archive on one node's own disk.
type snapshot struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created,omitzero"`
	File    string    `json:"file"` // on the node that made it
	// Here: the file is on the node where the command was typed.
	Here bool `json:"here"`
}

// maxRecord bounds what is read of a record, in bytes: thousands of snapshots.
const maxRecord = 1 << 20

// nameIn returns the volume that a record's file name names.
func nameIn(file string) string {
	name, _ := volume.ConvoyVolume(file)
	return name
}

// parse reads a record's bytes; file is its name in config/, used if the record
// has no name. Every error concerns this one volume only.
func parse(file string, data []byte) (*record, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("is empty")
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("is not readable: %v", err)
	}
	if r.Name == "" && r.Path == "" {
		return nil, errors.New("is not a record of Convoy v0.5: it has neither name nor path")
	}
	if r.Name == "" {
		r.Name = nameIn(file)
	}
	return &r, nil
}

// directory is the volume's directory, and so its name in berth: the last part
// of Path. The rest of Path is the share's mountpoint on some node.
func (r *record) directory() (string, error) {
	dir := r.Name
	if r.Path != "" {
		dir = path.Base(path.Clean(r.Path))
	}
	switch {
	case dir == volume.ConvoyDir:
		return "", fmt.Errorf("its directory %s/ is where Convoy has its records", dir)
	case strings.HasSuffix(dir, ".tmp"):
		return "", fmt.Errorf("its directory %q ends in .tmp, as Convoy's leftovers do", dir)
	}
	return dir, volume.CheckName(dir)
}

// created reads Convoy's times; false if that cannot be one.
func created(text string) (time.Time, bool) {
	t, err := time.Parse(time.RubyDate, text)
	return t.UTC(), err == nil
}

// snapshots lists the record's snapshots by name.
func (r *record) snapshots() []snapshot {
	var out []snapshot
	for _, key := range slices.Sorted(maps.Keys(r.Snapshots)) {
		s := r.Snapshots[key]
		t, _ := created(s.CreatedTime)
		out = append(out, snapshot{Name: key, Created: t, File: s.FilePath})
	}
	return out
}
