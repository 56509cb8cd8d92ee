package plugin

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/volume"
)

// settleEvery and settleWithin are how often and how long the kernel is asked
// to look at a directory anew. A server's times may not tell two changes apart
// that are a few milliseconds from each other.
const (
	settleEvery  = 20 * time.Millisecond
	settleWithin = 5 * time.Second
)

// settle makes sure that the name of a volume leads to the directory that the
// server has under it now. An NFS client remembers names for as long as it
// remembers the attributes of their directory (nfs(5): acdirmin, 30 s), so
// after a restore a container would be given the tree that is in the trash.
// Asking for the attributes of the export's root, which the swap has changed,
// makes it forget the names in it. A mount that is dead hangs apart.
func settle(ctx context.Context, root string, m volume.Mounted) error {
	if m.FileID == 0 {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		var err error
		for end := time.Now().Add(settleWithin); time.Now().Before(end); time.Sleep(settleEvery) {
			if err = look(root, m); err == nil {
				break
			}
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return &problem.Error{Kind: problem.Unreachable, Reason: fmt.Sprintf("mount %s: the kernel's mount of the export does not answer", m.Path),
			Hint: "nothing is lost; try again when the filer answers"}
	}
}

// look compares what the kernel finds with what the server said.
func look(root string, m volume.Mounted) error {
	var st unix.Statx_t
	for _, name := range []string{root, filepath.Join(root, m.Path)} {
		if err := unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &st); err != nil {
			return fmt.Errorf("look at %s: %w", name, err)
		}
	}
	if st.Ino != m.FileID {
		return &problem.Error{Kind: problem.InUse, Reason: fmt.Sprintf("this node still sees what volume %q was before it was replaced", m.Path),
			Hint: "try again in a moment"}
	}
	return nil
}
