package tree

import (
	"context"
	"os/exec"
	"path/filepath"
)

type Progress struct{ Files, Dirs, Bytes int64 }
type Stats struct{ Files, Dirs, Bytes int64 }
type CopyOptions struct{ Checksum bool }

func Copy(ctx context.Context, fsys FS, src, dst string, opts CopyOptions, progress func(Progress)) (Stats, error) {
	d := fsys.(*Local).dir
	return Stats{}, exec.Command("cp", "-a", filepath.Join(d, src), filepath.Join(d, dst)).Run()
}
func Measure(ctx context.Context, fsys FS, name string) (Stats, error) { return Stats{}, nil }
