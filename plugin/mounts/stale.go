package mounts

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casit/berth/problem"
)

// staleEvery and staleWithin are how often and how long the kernel is asked
// for a directory anew. A server's times may not tell two changes apart that
// are a few milliseconds from each other.
const (
	staleEvery  = 20 * time.Millisecond
	staleWithin = 5 * time.Second
)

// DropStaleName makes sure that the name of a volume, a path below the mount root, leads to the directory
// that the server has under the name now. An NFS client remembers names for as
// long as it remembers the attributes of their directory (nfs(5): acdirmin,
// 30 s), so after a restore a container would get the tree that is in the
// trash. A request for the attributes of the export's root, which the swap has
// changed, makes the client forget the names in the root. A dead mount hangs
// the task and not the caller.
func (m *Mounts) DropStaleName(ctx context.Context, root, path string, fileID uint64) error {
	if fileID == 0 {
		return nil
	}
	err := m.tasks.Run(ctx, "ask the kernel for a volume", func() (err error) {
		for end := time.Now().Add(staleWithin); time.Now().Before(end); time.Sleep(staleEvery) {
			if err = leadsTo(root, path, fileID); err == nil {
				break
			}
		}
		return err
	})
	if ctx.Err() != nil && err != nil {
		return problem.New(problem.Unreachable, "nothing is lost; try again when the filer answers",
			"mount %s: the kernel's mount of the export does not answer", path)
	}
	return err
}

// leadsTo compares the directory that the kernel finds with the one that the
// server named.
func leadsTo(root, path string, fileID uint64) error {
	var st unix.Statx_t
	for _, name := range []string{root, filepath.Join(root, path)} {
		if err := unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &st); err != nil {
			return fmt.Errorf("look at %s: %w", name, err)
		}
	}
	if st.Ino != fileID {
		return problem.New(problem.InUse, "try again in a moment",
			"this node still sees what volume %q was before it was replaced", path)
	}
	return nil
}
