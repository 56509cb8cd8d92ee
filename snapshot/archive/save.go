package archive

import (
	"bytes"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Output is where a file of a version is saved. Where it is a plain file, blocks of zeros become
// holes: a file of 15 TiB may have 8 KiB of data.
type Output struct {
	io.Writer
	file *os.File // nil if it is anything else
	hole bool     // the last block was left out
}

// Save returns the output to w. Its user calls End after the last byte.
func Save(w io.Writer) *Output {
	o := &Output{Writer: w}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		at, seekErr := f.Seek(0, io.SeekCurrent)
		flags, flagErr := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
		if errors.Join(err, seekErr, flagErr) == nil && info.Mode().IsRegular() && at == info.Size() && flags&unix.O_APPEND == 0 {
			o.file = f
		}
	}
	return o
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	if o.hole = o.file != nil && len(p) >= 4<<10 && len(bytes.Trim(p, "\x00")) == 0; !o.hole {
		return o.Writer.Write(p)
	}
	_, err := o.file.Seek(int64(len(p)), io.SeekCurrent)
	return len(p), err
}

// End makes a hole at the end.
func (o *Output) End() error {
	if !o.hole {
		return nil
	}
	size, err := o.file.Seek(0, io.SeekCurrent)
	if err == nil {
		err = o.file.Truncate(size)
	}
	return err
}
