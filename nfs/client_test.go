package nfs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
)

// hang is after how long a test is taken to hang.
const hang = time.Minute

// root calls as the superuser, so that tests do not depend on who runs them.
var root = &nfs.Credentials{Machine: "test"}

// dial connects to a directory of the server; the client is closed with the
// test.
func dial(t testing.TB, s *nfstest.Server, dir string, cfg *nfs.Config) (context.Context, *nfs.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	t.Cleanup(cancel)
	target, err := nfs.ParseTarget(s.URL(dir))
	require.NoError(t, err)
	if cfg == nil {
		cfg = &nfs.Config{}
	}
	if cfg.Credentials == nil {
		cfg.Credentials = root
	}
	c, err := nfs.Dial(ctx, target, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return ctx, c
}

// lookup returns the handle of a path.
func lookup(t testing.TB, ctx context.Context, c *nfs.Client, p string) nfs.Handle {
	t.Helper()
	h := c.Root()
	for _, name := range strings.Split(strings.Trim(p, "/"), "/") {
		res, err := c.Lookup(ctx, h, name)
		require.NoError(t, err)
		h = res.Object
	}
	return h
}

// everyProcedure goes through all procedures of RFC 1813 once, in an empty
// directory, and checks what they do. It is run against each server there is.
func everyProcedure(t *testing.T, ctx context.Context, c *nfs.Client, dir nfs.Handle) {
	require.NoError(t, c.Null(ctx))

	a, err := c.Getattr(ctx, dir)
	require.NoError(t, err)
	require.Equal(t, nfs.TypeDir, a.Type)

	info, err := c.FSInfo(ctx, dir)
	require.NoError(t, err)
	require.NotZero(t, info.RTMax)
	require.NotZero(t, info.Properties&nfs.PropLink)
	stat, err := c.FSStat(ctx, dir)
	require.NoError(t, err)
	require.NotZero(t, stat.TotalBytes)
	conf, err := c.PathConf(ctx, dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, conf.NameMax, uint32(255)) // ganesha says 1024

	granted, _, err := c.Access(ctx, dir, nfs.AccessRead|nfs.AccessExtend)
	require.NoError(t, err)
	require.EqualValues(t, nfs.AccessRead|nfs.AccessExtend, granted)

	sub, err := c.Mkdir(ctx, dir, "sub", nfs.SetAttr{Set: nfs.SetMode | nfs.SetUID | nfs.SetGID, Mode: 0o751, UID: 33, GID: 34})
	require.NoError(t, err)
	a, err = c.Getattr(ctx, sub.Object)
	require.NoError(t, err)
	require.Equal(t, []uint32{0o751, 33, 34}, []uint32{a.Mode, a.UID, a.GID})
	_, err = c.Mkdir(ctx, dir, "sub", nfs.SetAttr{})
	require.ErrorIs(t, err, fs.ErrExist)
	require.ErrorIs(t, err, syscall.EEXIST)

	// A name of 255 bytes that is not UTF-8.
	name := strings.Repeat("\xff\xfe\x01", 85)
	file, err := c.Create(ctx, sub.Object, name, nfs.Guarded, nfs.SetAttr{Set: nfs.SetMode, Mode: 0o640})
	require.NoError(t, err)
	_, err = c.Create(ctx, sub.Object, name, nfs.Guarded, nfs.SetAttr{})
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = c.Create(ctx, sub.Object, name, nfs.Unchecked, nfs.SetAttr{})
	require.NoError(t, err)
	_, err = c.Create(ctx, sub.Object, name+"x", nfs.Unchecked, nfs.SetAttr{})
	require.ErrorIs(t, err, syscall.ENAMETOOLONG)
	res, err := c.Lookup(ctx, sub.Object, name)
	require.NoError(t, err)
	h := res.Object
	if !file.Object.IsZero() {
		require.Equal(t, file.Object, h)
	}

	verifier := nfs.Verifier{1, 2, 3, 4, 5, 6, 7, 8}
	_, err = c.CreateExclusive(ctx, sub.Object, "exclusive", verifier)
	require.NoError(t, err)
	_, err = c.CreateExclusive(ctx, sub.Object, "exclusive", verifier)
	require.NoError(t, err)
	_, err = c.CreateExclusive(ctx, sub.Object, "exclusive", nfs.Verifier{9})
	require.ErrorIs(t, err, fs.ErrExist)

	w, err := c.Write(ctx, h, 3, []byte("hello"), nfs.FileSync)
	require.NoError(t, err)
	require.Equal(t, 5, w.N)
	require.Equal(t, nfs.FileSync, w.Committed)
	w, err = c.Write(ctx, h, 8, []byte(" world"), nfs.Unstable)
	require.NoError(t, err)
	v, _, err := c.Commit(ctx, h, 0, 0)
	require.NoError(t, err)
	require.Equal(t, w.Verifier, v)

	p := make([]byte, 100)
	r, err := c.Read(ctx, h, 0, p)
	require.NoError(t, err)
	require.True(t, r.EOF)
	require.Equal(t, "\x00\x00\x00hello world", string(p[:r.N]))
	n, err := c.ReadAt(ctx, h, p, 3)
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, "hello world", string(p[:n]))

	mtime := nfs.Time{Sec: 1234567890, Nsec: 123456789}
	_, err = c.Setattr(ctx, h, nfs.SetAttr{
		Set:  nfs.SetMode | nfs.SetUID | nfs.SetGID | nfs.SetSize | nfs.SetMtime | nfs.SetAtimeNow,
		Mode: 0o4711, UID: 35, GID: 36, Size: 5 << 30, Mtime: mtime,
	}, nil)
	require.NoError(t, err)
	a, err = c.Getattr(ctx, h)
	require.NoError(t, err)
	require.Equal(t, nfs.TypeReg, a.Type)
	require.Equal(t, []uint32{0o711, 35, 36}, []uint32{a.Mode & 0o777, a.UID, a.GID})
	require.EqualValues(t, 5<<30, a.Size)
	require.Less(t, a.Used, a.Size)
	require.Equal(t, mtime, a.Mtime)
	_, err = c.Setattr(ctx, h, nfs.SetAttr{Set: nfs.SetSize}, &nfs.Time{Sec: 1})
	require.Equal(t, nfs.StatusNotSync, nfs.StatusOf(err))
	_, err = c.Setattr(ctx, h, nfs.SetAttr{Set: nfs.SetMode, Mode: 0o600}, &a.Ctime)
	require.NoError(t, err)

	_, err = c.Symlink(ctx, dir, "symlink", "/away/\xff", nfs.SetAttr{})
	require.NoError(t, err)
	res, err = c.Lookup(ctx, dir, "symlink")
	require.NoError(t, err)
	to, _, err := c.Readlink(ctx, res.Object)
	require.NoError(t, err)
	require.Equal(t, "/away/\xff", to)

	_, err = c.Mknod(ctx, dir, "fifo", nfs.TypeFIFO, 0, 0, nfs.SetAttr{Set: nfs.SetMode, Mode: 0o622})
	require.NoError(t, err)
	_, err = c.Mknod(ctx, dir, "null", nfs.TypeChr, 1, 3, nfs.SetAttr{Set: nfs.SetMode, Mode: 0o666})
	require.NoError(t, err)
	res, err = c.Lookup(ctx, dir, "null")
	require.NoError(t, err)
	a, err = c.Getattr(ctx, res.Object)
	require.NoError(t, err)
	require.Equal(t, []uint32{uint32(nfs.TypeChr), 1, 3}, []uint32{uint32(a.Type), a.Major, a.Minor})

	link, err := c.Link(ctx, h, dir, "hard")
	require.NoError(t, err)
	if link.Attr.Present {
		require.EqualValues(t, 2, link.Attr.Nlink)
	}
	_, err = c.Link(ctx, h, dir, "hard")
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = c.Rename(ctx, dir, "hard", sub.Object, "moved", 0)
	require.NoError(t, err)

	// Both kinds of listing see the same.
	var names, plus []string
	require.NoError(t, c.ListNames(ctx, dir, func(e *nfs.Entry) error { names = append(names, e.Name); return nil }))
	types := map[string]nfs.Type{}
	require.NoError(t, c.List(ctx, dir, func(e *nfs.Entry) error {
		plus = append(plus, e.Name)
		types[e.Name] = e.Attr.Type
		require.Equal(t, e.FileID, e.Attr.FileID)
		require.False(t, e.Handle.IsZero())
		return nil
	}))
	require.ElementsMatch(t, []string{"sub", "symlink", "fifo", "null"}, names)
	require.ElementsMatch(t, names, plus)
	require.Equal(t, map[string]nfs.Type{"sub": nfs.TypeDir, "symlink": nfs.TypeLnk, "fifo": nfs.TypeFIFO, "null": nfs.TypeChr}, types)

	_, err = c.Rmdir(ctx, dir, "sub")
	require.ErrorIs(t, err, syscall.ENOTEMPTY)
	_, err = c.Remove(ctx, dir, "absent")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "remove absent: no such file or directory (NFS3ERR_NOENT)")
	for _, name := range []string{name, "exclusive", "moved"} {
		_, err = c.Remove(ctx, sub.Object, name)
		require.NoError(t, err)
	}
	_, err = c.Rmdir(ctx, dir, "sub")
	require.NoError(t, err)
	_, err = c.Getattr(ctx, sub.Object)
	require.ErrorIs(t, err, syscall.ESTALE)
	for _, name := range []string{"symlink", "fifo", "null"} {
		_, err = c.Remove(ctx, dir, name)
		require.NoError(t, err)
	}
}

func TestEveryProcedure(t *testing.T) {
	s := nfstest.New(t)
	ctx, c := dial(t, s, "/", nil)
	everyProcedure(t, ctx, c, c.Root())
	for p := nfstest.Null; p <= nfstest.Commit; p++ {
		require.NotZero(t, s.Calls(p), "procedure %d", p)
	}
}

func TestDialBelowTheExport(t *testing.T) {
	s := nfstest.New(t)
	s.WriteFile("/a/b/file", []byte("x"))
	for _, deep := range []bool{true, false} {
		s.SetDeepMounts(deep)
		ctx, c := dial(t, s, "/a/b", nil)
		_, err := c.Lookup(ctx, c.Root(), "file")
		require.NoError(t, err)
	}
	for _, dir := range []string{"/absent", "/a/b/file"} {
		target, err := nfs.ParseTarget(s.URL(dir))
		require.NoError(t, err)
		_, err = nfs.Dial(t.Context(), target, nil)
		require.Error(t, err, dir)
		require.Contains(t, []nfs.Status{nfs.StatusNoEnt, nfs.StatusNotDir, nfs.StatusAcces}, nfs.StatusOf(err))
	}
}

func TestDialSaysWhatIsWrong(t *testing.T) {
	s := nfstest.New(t)
	target, err := nfs.ParseTarget(s.URL("/absent"))
	require.NoError(t, err)
	_, err = nfs.Dial(t.Context(), target, nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "/absent")
	s.Close()
	_, err = nfs.Dial(t.Context(), target, nil)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestExports(t *testing.T) {
	s := nfstest.New(t)
	target, err := nfs.ParseTarget(s.URL("/"))
	require.NoError(t, err)
	list, err := nfs.Exports(t.Context(), target, nil)
	require.NoError(t, err)
	require.Equal(t, []nfs.Export{{Path: "/export", Groups: []string{"127.0.0.0/8"}}}, list)
}

func TestCredentials(t *testing.T) {
	s := nfstest.New(t)
	gids := make([]uint32, 20)
	for i := range gids {
		gids[i] = uint32(100 + i)
	}
	ctx, c := dial(t, s, "/", &nfs.Config{Credentials: &nfs.Credentials{Machine: strings.Repeat("m", 300), UID: 1000, GID: 2000, GIDs: gids}})
	require.NoError(t, c.Null(ctx))
	log := s.Log()
	last := log[len(log)-1]
	require.Equal(t, []uint32{1000, 2000}, []uint32{last.UID, last.GID})
	require.Equal(t, gids[:16], last.GIDs)
}

func TestRootSquash(t *testing.T) {
	s := nfstest.New(t)
	s.WriteFile("/secret", []byte("x"))
	s.Chmod("/secret", 0o600)
	s.Chmod("/", 0o755)
	s.SetRootSquash(true)
	ctx, c := dial(t, s, "/", nil)
	_, err := c.Read(ctx, lookup(t, ctx, c, "secret"), 0, make([]byte, 10))
	require.ErrorIs(t, err, fs.ErrPermission)
	_, err = c.Mkdir(ctx, c.Root(), "new", nfs.SetAttr{})
	require.ErrorIs(t, err, fs.ErrPermission)
	_, err = c.Setattr(ctx, c.Root(), nfs.SetAttr{Set: nfs.SetUID, UID: 5}, nil)
	require.ErrorIs(t, err, syscall.EPERM)
}

func TestErrnos(t *testing.T) {
	s := nfstest.New(t)
	ctx, c := dial(t, s, "/", nil)
	for status, errno := range map[uint32]error{
		5: syscall.EIO, 18: syscall.EXDEV, 28: syscall.ENOSPC, 30: syscall.EROFS, 69: syscall.EDQUOT,
		70: syscall.ESTALE, 10001: syscall.ESTALE, 10004: errors.ErrUnsupported,
	} {
		s.On(nfstest.Getattr, 1, nfstest.Fault{Status: status})
		_, err := c.Getattr(ctx, c.Root())
		require.ErrorIs(t, err, errno)
		require.Equal(t, nfs.Status(status), nfs.StatusOf(err))
	}
	s.On(nfstest.Getattr, 1, nfstest.Fault{Status: 12345})
	_, err := c.Getattr(ctx, c.Root())
	require.ErrorContains(t, err, "status 12345")
	s.SetReadOnly(true)
	_, err = c.Mkdir(ctx, c.Root(), "x", nfs.SetAttr{})
	require.ErrorIs(t, err, syscall.EROFS)
	s.SetReadOnly(false)
	s.Recreate()
	_, err = c.Getattr(ctx, c.Root())
	require.ErrorIs(t, err, syscall.ESTALE)
}

func TestLimitsAreKept(t *testing.T) {
	s := nfstest.New(t)
	s.SetLimits(nfstest.Limits{RTMax: 1000, WTMax: 700, DTPref: 4096})
	ctx, c := dial(t, s, "/", nil)
	require.Equal(t, 1000, c.ReadSize())
	require.Equal(t, 700, c.WriteSize())
	made, err := c.Create(ctx, c.Root(), "f", nfs.Unchecked, nfs.SetAttr{})
	require.NoError(t, err)
	data := randomBytes(12345)
	w, err := c.Write(ctx, made.Object, 0, data, nfs.FileSync)
	require.NoError(t, err)
	require.Equal(t, 700, w.N)
	_, err = c.Store(ctx, made.Object, bytes.NewReader(data), nfs.Range{Length: int64(len(data))})
	require.NoError(t, err)
	got := make([]byte, len(data))
	_, err = c.ReadAt(ctx, made.Object, got, 0)
	require.NoError(t, err)
	require.Equal(t, data, got)
}

func TestShortReadsAndWrites(t *testing.T) {
	s := nfstest.New(t)
	ctx, c := dial(t, s, "/", nil)
	// The server promised more than it now takes at a time.
	s.SetLimits(nfstest.Limits{RTMax: 999, WTMax: 777})
	made, err := c.Create(ctx, c.Root(), "f", nfs.Unchecked, nfs.SetAttr{})
	require.NoError(t, err)
	data := randomBytes(100_000)
	_, err = c.Store(ctx, made.Object, bytes.NewReader(data), nfs.Range{Length: 40_000}, nfs.Range{Offset: 40_000, Length: 60_000})
	require.NoError(t, err)
	got := make([]byte, len(data))
	_, err = c.ReadAt(ctx, made.Object, got, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
}

func TestList(t *testing.T) {
	s := nfstest.New(t)
	want := map[string]bool{}
	for i := range 3000 {
		name := "file-" + strings.Repeat("x", i%100) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		want[name] = true
		s.WriteFile("/d/"+name, nil)
	}
	ctx, c := dial(t, s, "/", nil)
	d := lookup(t, ctx, c, "d")
	for _, bare := range []bool{false, true} {
		s.SetBare(bare)
		got := map[string]bool{}
		require.NoError(t, c.List(ctx, d, func(e *nfs.Entry) error {
			require.False(t, got[e.Name])
			require.True(t, e.Attr.Present)
			require.False(t, e.Handle.IsZero())
			got[e.Name] = true
			return nil
		}))
		require.Equal(t, want, got)
	}
	stop := errors.New("stop")
	require.ErrorIs(t, c.ListNames(ctx, d, func(*nfs.Entry) error { return stop }), stop)

	// A server without READDIRPLUS.
	s.SetBare(false)
	s.On(nfstest.Readdirplus, 1, nfstest.Fault{Status: 10004})
	n := 0
	require.NoError(t, c.List(ctx, d, func(e *nfs.Entry) error {
		require.True(t, e.Attr.Present)
		n++
		return nil
	}))
	require.Len(t, want, n)
}

func TestListOfADirectoryThatChanges(t *testing.T) {
	s := nfstest.New(t)
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		s.WriteFile("/d/"+name, nil)
	}
	s.SetLimits(nfstest.Limits{RTMax: 1 << 20, WTMax: 1 << 20, PageEntries: 3})
	s.SetStrictCookies(true)
	ctx, c := dial(t, s, "/", nil)
	d := lookup(t, ctx, c, "d")
	got := map[string]int{}
	require.NoError(t, c.List(ctx, d, func(e *nfs.Entry) error {
		got[e.Name]++
		switch e.Name {
		case "b":
			s.WriteFile("/d/new", nil) // the next page's cookie is bad
		case "e":
			s.Remove("/d/new")
		}
		return nil
	}))
	require.Equal(t, []string{"a", "b", "c", "d", "e", "f", "g"}, slices.Sorted(maps.Keys(got)))
	for name, n := range got {
		require.Equal(t, 1, n, name)
	}

	// A server that has no good cookies at all is given up.
	n := 0
	s.Hook(func(call nfstest.Call) nfstest.Fault {
		if call.Proc == nfstest.Readdirplus {
			if n++; n%2 == 0 {
				return nfstest.Fault{Status: 10003}
			}
		}
		return nfstest.Fault{}
	})
	require.Equal(t, nfs.StatusBadCookie, nfs.StatusOf(c.List(ctx, d, func(*nfs.Entry) error { return nil })))
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// A lent READ is what Read returns, without a copy; Store takes it as it is.
func TestReadLentAndStoreOfALender(t *testing.T) {
	s := nfstest.New(t)
	ctx, c := dial(t, s, "/", &nfs.Config{Transfer: 4096})
	data := randomBytes(10_000)
	s.WriteFile("/from", data)
	s.WriteFile("/to", nil)
	from := lookup(t, ctx, c, "from")
	first, err := c.ReadLent(ctx, from, 0, 5000)
	require.NoError(t, err)
	second, err := c.ReadLent(ctx, from, 8192, 4096)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data[:4096], first.Data), "READs are no longer than Transfer")
	require.True(t, bytes.Equal(data[8192:], second.Data))
	require.True(t, second.EOF)
	first.Release()
	second.Release()
	_, err = c.ReadLent(ctx, c.Root(), 0, 1)
	require.Error(t, err)

	_, err = c.Store(ctx, lookup(t, ctx, c, "to"), lender{data}, nfs.Range{Length: 10_000})
	require.NoError(t, err)
	got, err := s.ReadFile("/to")
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
}

// lender lends all but its second chunk, which has to be read.
type lender struct{ data []byte }

func (l lender) Lend(n int, off int64) ([]byte, func(), error) {
	if off == 4096 {
		return nil, nil, nil
	}
	return l.data[off : off+int64(n)], func() {}, nil
}

func (l lender) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(l.data).ReadAt(p, off)
}
