package tree

import (
	"context"
	"os"
	"path/filepath"
)

func Delete(ctx context.Context, fsys FS, name string, progress func(Progress)) error {
	return os.RemoveAll(filepath.Join(fsys.(*Local).dir, name))
}
