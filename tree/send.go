package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Send writes a file, whose attributes are a, to w: all a.Size bytes, and none that came
// later. Holes are not read. It is an error if the file has become shorter.
func Send(ctx context.Context, fsys FS, name string, a Attr, w io.Writer) error {
	in, err := fsys.Open(ctx, name)
	if err != nil {
		return err
	}
	defer in.Close()
	f := solidOf(in, a)
	buf := spare(compareBlock)
	defer reuse(buf)
	for off := int64(0); off < a.Size; {
		data, err := f.next(ctx, off)
		if err != nil {
			return err
		}
		for data = min(data, a.Size-1); off < data; { // the last byte is read, which shows that it is there
			n, err := w.Write(zeros[:min(holeBlock, data-off)])
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			off += int64(n)
		}
		n, err := f.ReadAt(ctx, buf[:min(compareBlock, a.Size-off)], off)
		if n == 0 && err == io.EOF {
			return fmt.Errorf("%s became shorter while it was read", name)
		}
		if n == 0 && err != nil {
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}
