package nfs_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
)

// The bytes that went between this client and nfs-ganesha 4.3 (FSAL VFS), and
// what the client made of them. TestGoldenRecord with -update takes them anew.
const (
	goldenBytes   = "testdata/ganesha/bytes.txt"
	goldenResults = "testdata/ganesha/results.txt"
)

// exchange is a call and its reply, records with their marks.
type exchange struct{ call, reply []byte }

// goldenScript calls each procedure, one call at a time, and tells in words
// what came of it.
func goldenScript(ctx context.Context, dialer func(context.Context, string, string) (net.Conn, error)) (string, error) {
	var out strings.Builder
	say := func(what string, v any, err error) { fmt.Fprintf(&out, "%s: %+v, %v\n", what, v, err) }
	cfg := &nfs.Config{
		Credentials: &nfs.Credentials{Machine: "golden", GIDs: []uint32{4, 5}},
		Connections: 1, InFlight: 1, Dial: dialer,
	}
	list, err := nfs.Exports(ctx, nfs.Target{Host: "127.0.0.1"}, cfg)
	say("export", list, err)
	_, err = nfs.Dial(ctx, nfs.Target{Host: "127.0.0.1", Path: "/nowhere"}, cfg)
	say("mnt", nil, err)
	c, err := nfs.Dial(ctx, nfs.Target{Host: "127.0.0.1", Path: "/run/export"}, cfg)
	if err != nil {
		return "", err
	}
	defer c.Close()
	say("null", nil, c.Null(ctx))
	say("limits", c.Limits(), nil)
	made, err := c.Mkdir(ctx, c.Root(), "golden", nfs.SetAttr{Set: nfs.SetMode | nfs.SetUID | nfs.SetGID, Mode: 0o755, UID: 1, GID: 2})
	say("mkdir", made, err)
	dir := made.Object
	made, err = c.Mkdir(ctx, c.Root(), "golden", nfs.SetAttr{})
	say("mkdir again", made, err)
	when := nfs.Time{Sec: 1000000000, Nsec: 999999999}
	made, err = c.Create(ctx, dir, "file", nfs.Guarded, nfs.SetAttr{Set: nfs.SetMode | nfs.SetAtime | nfs.SetMtime, Mode: 0o644, Atime: when, Mtime: when})
	say("create", made, err)
	file := made.Object
	made, err = c.CreateExclusive(ctx, dir, "exclusive", nfs.Verifier{1, 2, 3})
	say("create exclusive", made, err)
	made, err = c.Create(ctx, dir, "file", nfs.Guarded, nfs.SetAttr{})
	say("create again", made, err)
	attr, err := c.Getattr(ctx, file)
	say("getattr", attr, err)
	wcc, err := c.Setattr(ctx, file, nfs.SetAttr{Set: nfs.SetSize | nfs.SetAtimeNow | nfs.SetMtimeNow, Size: 10}, &attr.Ctime)
	say("setattr", wcc, err)
	wcc, err = c.Setattr(ctx, file, nfs.SetAttr{Set: nfs.SetSize}, &nfs.Time{Sec: 1})
	say("setattr guarded", wcc, err)
	found, err := c.Lookup(ctx, dir, "file")
	say("lookup", found, err)
	found, err = c.Lookup(ctx, dir, "absent")
	say("lookup absent", found, err)
	rights, post, err := c.Access(ctx, file, 0x3f)
	say(fmt.Sprint("access ", rights), post, err)
	wrote, err := c.Write(ctx, file, 3, []byte("hello"), nfs.Unstable)
	say("write", wrote, err)
	verifier, wcc, err := c.Commit(ctx, file, 0, 0)
	say(fmt.Sprint("commit ", verifier), wcc, err)
	p := make([]byte, 100)
	read, err := c.Read(ctx, file, 0, p)
	say(fmt.Sprintf("read %q", p[:read.N]), read, err)
	read, err = c.Read(ctx, dir, 0, p)
	say("read directory", read, err)
	made, err = c.Symlink(ctx, dir, "symlink", "to/\xff", nfs.SetAttr{})
	say("symlink", made, err)
	to, post, err := c.Readlink(ctx, made.Object)
	say(fmt.Sprintf("readlink %q", to), post, err)
	made, err = c.Mknod(ctx, dir, "device", nfs.TypeBlk, 8, 1, nfs.SetAttr{Set: nfs.SetMode, Mode: 0o660})
	say("mknod", made, err)
	made, err = c.Mknod(ctx, dir, "fifo", nfs.TypeFIFO, 0, 0, nfs.SetAttr{})
	say("mknod", made, err)
	link, err := c.Link(ctx, file, dir, "hard")
	say("link", link, err)
	renamed, err := c.Rename(ctx, dir, "hard", c.Root(), "moved", attr.FileID)
	say("rename", renamed, err)
	page, err := c.Readdir(ctx, dir, nfs.Position{}, 4096)
	say("readdir", page, err)
	page, err = c.Readdirplus(ctx, dir, nfs.Position{}, 4096, 8192)
	say("readdirplus", page, err)
	page, err = c.Readdirplus(ctx, file, nfs.Position{}, 4096, 8192)
	say("readdirplus of a file", page, err)
	stat, err := c.FSStat(ctx, dir)
	say("fsstat", stat, err)
	conf, err := c.PathConf(ctx, dir)
	say("pathconf", conf, err)
	wcc, err = c.Rmdir(ctx, c.Root(), "golden")
	say("rmdir", wcc, err)
	wcc, err = c.Remove(ctx, c.Root(), "moved")
	say("remove", wcc, err)
	for _, name := range []string{"file", "exclusive", "symlink", "device", "fifo"} {
		if _, err := c.Remove(ctx, dir, name); err != nil {
			return "", err
		}
	}
	wcc, err = c.Rmdir(ctx, c.Root(), "golden")
	say("rmdir", wcc, err)
	attr, err = c.Getattr(ctx, file)
	say("getattr stale", attr, err)
	return out.String(), nil
}

// recorder takes note of what goes over its connections.
type recorder struct {
	mu   sync.Mutex // guards seen
	seen []exchange
}

type recorded struct {
	net.Conn
	*recorder
}

func (r *recorder) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	return recorded{nc, r}, err
}

func (r recorded) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.seen = append(r.seen, exchange{call: bytes.Clone(p)})
	r.mu.Unlock()
	return r.Conn.Write(p)
}

func (r recorded) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := len(r.seen) - 1; n > 0 {
		r.seen[last].reply = append(r.seen[last].reply, p[:n]...)
	}
	return n, err
}

func readGolden(t testing.TB) (all []exchange) {
	t.Helper()
	data, err := os.ReadFile(goldenBytes)
	require.NoError(t, err)
	var pair [][]byte
	for line := range strings.Lines(string(data)) {
		if line[0] == '#' {
			continue
		}
		_, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(text)
		require.NoError(t, err)
		if pair = append(pair, b); len(pair) == 2 {
			all = append(all, exchange{pair[0], pair[1]})
			pair = nil
		}
	}
	require.NotEmpty(t, all)
	return all
}

// A server that has nothing but the recorded answers gets the recorded calls,
// byte by byte, and the client finds in the answers what it found then.
func TestGolden(t *testing.T) {
	exchanges := readGolden(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	next := 0
	var mu sync.Mutex // guards next
	var wait sync.WaitGroup
	replay := func(nc net.Conn) error {
		defer nc.Close()
		r := bufio.NewReader(nc)
		for {
			head := make([]byte, 4)
			if _, err := io.ReadFull(r, head); err != nil {
				return nil
			}
			call := append(head, make([]byte, binary.BigEndian.Uint32(head)&^(1<<31))...)
			if _, err := io.ReadFull(r, call[4:]); err != nil {
				return err
			}
			mu.Lock()
			if next == len(exchanges) {
				mu.Unlock()
				return errors.New("one call more than recorded")
			}
			want := exchanges[next]
			next++
			mu.Unlock()
			// xid and stamp are drawn by chance.
			reply := bytes.Clone(want.reply)
			copy(reply[4:8], call[4:8])
			for _, b := range [][]byte{call, want.call} {
				clear(b[4:8])
				clear(b[36:40])
			}
			if !bytes.Equal(want.call, call) {
				return fmt.Errorf("call %d is\n%x, recorded was\n%x", next-1, call, want.call)
			}
			if _, err := nc.Write(reply); err != nil {
				return err
			}
		}
	}
	wait.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				if err := replay(nc); err != nil {
					t.Error(err)
				}
			})
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	got, err := goldenScript(ctx, func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", l.Addr().String())
	})
	require.NoError(t, err)
	l.Close()
	wait.Wait()
	require.Equal(t, len(exchanges), next)
	want, err := os.ReadFile(goldenResults)
	require.NoError(t, err)
	lines := strings.Split(got, "\n")
	for i, line := range strings.Split(string(want), "\n") {
		require.Less(t, i, len(lines))
		require.Equal(t, line, lines[i])
	}
}
