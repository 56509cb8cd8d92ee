package uml

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/tree"
)

// A TreeJob is work on trees of an export by our own client, on a host.
type TreeJob struct {
	URL      string
	Op       string // copy, sync, delete or compare
	Src, Dst string
	Parallel int           // of copy; 0 for what suits
	Delay    time.Duration // of every answer, as if the network were so long
}

// Tree does the job and returns how long it took, in seconds, without the
// connecting.
func (a *Agent) Tree(j TreeJob, seconds *float64) error {
	ctx := context.Background()
	target, err := nfs.ParseTarget(j.URL)
	if err != nil {
		return err
	}
	fsys, err := tree.OpenWire(ctx, target, &nfs.Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil || j.Delay == 0 {
			return c, err
		}
		return delayed(c, j.Delay), nil
	}})
	if err != nil {
		return err
	}
	defer fsys.Close()
	began := time.Now()
	switch j.Op {
	case "copy":
		_, err = tree.Copy(ctx, fsys, j.Src, j.Dst, tree.CopyOptions{Parallel: j.Parallel}, nil)
	case "sync":
		var mode uint32 = 0o700
		for _, dir := range []string{j.Dst + ".staging", j.Dst + ".trash"} {
			if err := fsys.Mkdir(ctx, dir, tree.SetAttr{Mode: &mode}); err != nil {
				return err
			}
		}
		_, err = tree.Sync(ctx, fsys, j.Src, j.Dst, tree.SyncOptions{Staging: j.Dst + ".staging", Trash: j.Dst + ".trash"}, nil)
	case "delete":
		err = tree.Delete(ctx, fsys, j.Dst, nil)
	case "compare":
		_, err = tree.Compare(ctx, fsys, j.Src, j.Dst, tree.Equality{}, func(tree.Difference) error { return nil })
	default:
		err = fmt.Errorf("no such work on trees: %q", j.Op)
	}
	*seconds = time.Since(began).Seconds()
	return err
}

// delayed is a connection whose answers come later, without any of them
// waiting for another one.
func delayed(c net.Conn, by time.Duration) net.Conn {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 1<<16)
	go func() {
		defer close(pieces)
		for {
			data := make([]byte, 64<<10)
			n, err := c.Read(data)
			if err != nil {
				return
			}
			pieces <- piece{data[:n], time.Now().Add(by)}
		}
	}()
	out, in := io.Pipe()
	go func() {
		for p := range pieces {
			time.Sleep(time.Until(p.due))
			if _, err := in.Write(p.data); err != nil {
				break
			}
		}
		in.CloseWithError(io.EOF)
	}()
	return late{c, out}
}

type late struct {
	net.Conn
	answers io.Reader
}

func (l late) Read(p []byte) (int, error) { return l.answers.Read(p) }
