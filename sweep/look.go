package sweep

import (
	"context"
	"path"
	"strings"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
)

// Left is what stands in staging and goes, or should have gone.
type Left struct {
	Purging int // trees that are being deleted
	// Stuck are those of them that have not become less for an hour.
	Stuck []Stuck
	Lost  int // private files that should have been swept
}

// Stuck is a tree that should have been deleted long ago.
type Stuck struct {
	Path   string    `json:"path"`             // below the export
	Since  time.Time `json:"since"`            // in the export's time
	Reason string    `json:"reason,omitempty"` // of this node's last attempt, "" for no fault
}

// stuckAfter is how long a tree may take to go without anybody being told.
const stuckAfter = time.Hour

// lostAfter is how old a private file is that should have been swept.
const lostAfter = 2 * time.Hour

// Look tells what is left in staging. It changes nothing.
func (w *Sweeper) Look(ctx context.Context, e *export.Export) (left Left, err error) {
	now, _ := w.cfg.Conn.Time()
	return left, export.Absent(e.FS.ReadDirPlus(ctx, export.StagingDir, func(d tree.EntryPlus) error {
		switch {
		case strings.HasPrefix(d.Name, export.PurgePrefix):
			left.Purging++
			// Its time changes when it is handed over, and when what is in it goes.
			if name := path.Join(export.StagingDir, d.Name); now.Sub(d.Attr.Ctime) > stuckAfter {
				left.Stuck = append(left.Stuck, Stuck{name, d.Attr.Ctime, w.faults.Reason(stuck, name)})
			}
		case strings.HasPrefix(d.Name, export.TmpPrefix) && now.Sub(d.Attr.Ctime) > lostAfter:
			left.Lost++
		}
		return nil
	}))
}
