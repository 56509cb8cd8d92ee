package snapshot

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
	"github.com/casit/berth/tree"
)

// isBehind tells that something on the way to a name is no directory.
func isBehind(err error) bool { return isNotDir(err) || errors.Is(err, syscall.ELOOP) }

// blocked explains why a reference leads nowhere: a part of its path is a symlink,
// which is never followed, or a file. It is nil if neither is so.
func blocked(ctx context.Context, fsys tree.FS, ref reference.Ref) error {
	whole := reference.Ref{Volume: ref.Volume, Snapshot: ref.Snapshot}
	parts := strings.Split(ref.Path, "/")
	for i := range parts[:len(parts)-1] {
		up := whole
		up.Path = strings.Join(parts[:i+1], "/")
		a, err := stat(ctx, fsys, up.Source(up.Snapshot))
		if err != nil || a == nil {
			return err
		}
		switch a.Kind {
		case tree.Directory:
		case tree.Symlink:
			target, err := fsys.Readlink(ctx, up.Source(up.Snapshot))
			if err != nil {
				return err
			}
			return problem.New(problem.NotFound, leadsTo(up, target, strings.Join(parts[i+1:], "/")), "%s is a symlink to %s, and symlinks are not followed", text.Quote(up.String()), text.Quote(target))
		default:
			return problem.New(problem.NotFound, "name the "+a.Kind.String()+" itself", "%s is a %s: nothing is below it", text.Quote(up.String()), a.Kind)
		}
	}
	return nil
}

// leadsTo is what to type instead of a path through a symlink.
func leadsTo(link reference.Ref, target, rest string) string {
	to := link
	to.Path = path.Join(path.Dir(link.Path), target, rest)
	if path.IsAbs(target) || strings.HasPrefix(to.Path, "..") {
		return "it leads out of the volume, or to where a container has it mounted: name the path from the volume's root"
	}
	return fmt.Sprintf("name what it leads to: %s", text.Quote(to.String()))
}
