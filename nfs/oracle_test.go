package nfs_test

import (
	"context"
	"encoding/hex"
	"net"
	"sync"
	"testing"

	"github.com/buildbarn/go-xdr/pkg/protocols/mount"
	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"
	"github.com/buildbarn/go-xdr/pkg/rpcserver"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
)

// oracle is a server whose XDR is generated from the specifications' own text
// by somebody else's compiler. It keeps the arguments that it decoded and
// answers with values that are all different.
type oracle struct {
	nfsv3.NfsProgram
	mount.MountProgram
	args said
}

// said is what was asked last; connections ask from goroutines of their own.
type said struct {
	mu   sync.Mutex // guards args
	args any
}

func (s *said) set(args any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.args = args
}

func (s *said) get() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.args
}

// What the oracle answers, in its types and in ours.
var (
	oracleFh    = nfsv3.NfsFh3{Data: []byte{1, 2, 3, 4, 5}}
	oracleFattr = nfsv3.Fattr3{
		Type: nfsv3.NF3CHR, Mode: 0o4751, Nlink: 3, Uid: 4, Gid: 5, Size: 6 << 33, Used: 7 << 34,
		Rdev: nfsv3.Specdata3{Specdata1: 8, Specdata2: 9}, Fsid: 10 << 35, Fileid: 11 << 36,
		Atime: nfsv3.Nfstime3{Seconds: 12, Nseconds: 13},
		Mtime: nfsv3.Nfstime3{Seconds: 14, Nseconds: 15},
		Ctime: nfsv3.Nfstime3{Seconds: 16, Nseconds: 17},
	}
	oraclePost = &nfsv3.PostOpAttr_TRUE{Attributes: oracleFattr}
	oracleWcc  = nfsv3.WccData{
		Before: &nfsv3.PreOpAttr_TRUE{Attributes: nfsv3.WccAttr{Size: 18 << 37,
			Mtime: nfsv3.Nfstime3{Seconds: 19, Nseconds: 20}, Ctime: nfsv3.Nfstime3{Seconds: 21, Nseconds: 22}}},
		After: oraclePost,
	}
	oracleNoWcc = nfsv3.WccData{Before: &nfsv3.PreOpAttr_FALSE{}, After: &nfsv3.PostOpAttr_FALSE{}}
	oracleVerf  = [8]byte{23, 24, 25, 26, 27, 28, 29, 30}

	wantAttr = nfs.Attr{
		Type: nfs.TypeChr, Mode: 0o4751, Nlink: 3, UID: 4, GID: 5, Size: 6 << 33, Used: 7 << 34,
		Major: 8, Minor: 9, FSID: 10 << 35, FileID: 11 << 36,
		Atime: nfs.Time{Sec: 12, Nsec: 13}, Mtime: nfs.Time{Sec: 14, Nsec: 15}, Ctime: nfs.Time{Sec: 16, Nsec: 17},
	}
	wantPost = nfs.PostOp{Present: true, Attr: wantAttr}
	wantWCC  = nfs.WCC{
		Before: nfs.PreOp{Present: true, Size: 18 << 37, Mtime: nfs.Time{Sec: 19, Nsec: 20}, Ctime: nfs.Time{Sec: 21, Nsec: 22}},
		After:  wantPost,
	}
	wantVerf = nfs.Verifier(oracleVerf)
)

func (o *oracle) MountV3Mountproc3Mnt(_ context.Context, _ string) (mount.Mountres3, error) {
	return &mount.Mountres3_MNT3_OK{Mountinfo: mount.Mountres3Ok{Fhandle: oracleFh.Data, AuthFlavors: []int32{6, 1}}}, nil
}

func (o *oracle) MountV3Mountproc3Export(context.Context) (*mount.Exportnode, error) {
	return &mount.Exportnode{ExDir: "/a", ExGroups: &mount.Groupnode{GrName: "g", GrNext: &mount.Groupnode{GrName: "h"}},
		ExNext: &mount.Exportnode{ExDir: "/b"}}, nil
}

func (o *oracle) NfsV3Nfsproc3Null(context.Context) error { return nil }

func (o *oracle) NfsV3Nfsproc3Getattr(_ context.Context, a *nfsv3.Getattr3args) (nfsv3.Getattr3res, error) {
	f := oracleFattr
	if o.args.get() == nil {
		f.Type = nfsv3.NF3DIR // Dial looks at what it mounted
	}
	o.args.set(*a)
	return &nfsv3.Getattr3res_NFS3_OK{Resok: nfsv3.Getattr3resok{ObjAttributes: f}}, nil
}

func (o *oracle) NfsV3Nfsproc3Setattr(_ context.Context, a *nfsv3.Setattr3args) (nfsv3.Setattr3res, error) {
	o.args.set(*a)
	return &nfsv3.Setattr3res_NFS3_OK{Resok: nfsv3.Setattr3resok{ObjWcc: oracleWcc}}, nil
}

func (o *oracle) NfsV3Nfsproc3Lookup(_ context.Context, a *nfsv3.Lookup3args) (nfsv3.Lookup3res, error) {
	o.args.set(*a)
	return &nfsv3.Lookup3res_NFS3_OK{Resok: nfsv3.Lookup3resok{Object: oracleFh, ObjAttributes: oraclePost, DirAttributes: &nfsv3.PostOpAttr_FALSE{}}}, nil
}

func (o *oracle) NfsV3Nfsproc3Access(_ context.Context, a *nfsv3.Access3args) (nfsv3.Access3res, error) {
	o.args.set(*a)
	return &nfsv3.Access3res_NFS3_OK{Resok: nfsv3.Access3resok{ObjAttributes: oraclePost, Access: 31}}, nil
}

func (o *oracle) NfsV3Nfsproc3Readlink(_ context.Context, a *nfsv3.Readlink3args) (nfsv3.Readlink3res, error) {
	o.args.set(*a)
	return &nfsv3.Readlink3res_NFS3_OK{Resok: nfsv3.Readlink3resok{SymlinkAttributes: oraclePost, Data: "to"}}, nil
}

func (o *oracle) NfsV3Nfsproc3Read(_ context.Context, a *nfsv3.Read3args) (nfsv3.Read3res, error) {
	o.args.set(*a)
	return &nfsv3.Read3res_NFS3_OK{Resok: nfsv3.Read3resok{FileAttributes: oraclePost, Count: 3, Eof: true, Data: []byte("abc")}}, nil
}

func (o *oracle) NfsV3Nfsproc3Write(_ context.Context, a *nfsv3.Write3args) (nfsv3.Write3res, error) {
	o.args.set(*a)
	return &nfsv3.Write3res_NFS3_OK{Resok: nfsv3.Write3resok{FileWcc: oracleWcc, Count: 4, Committed: nfsv3.FILE_SYNC, Verf: oracleVerf}}, nil
}

func (o *oracle) NfsV3Nfsproc3Create(_ context.Context, a *nfsv3.Create3args) (nfsv3.Create3res, error) {
	o.args.set(*a)
	return &nfsv3.Create3res_NFS3_OK{Resok: nfsv3.Create3resok{Obj: &nfsv3.PostOpFh3_TRUE{Handle: oracleFh}, ObjAttributes: oraclePost, DirWcc: oracleWcc}}, nil
}

func (o *oracle) NfsV3Nfsproc3Mkdir(_ context.Context, a *nfsv3.Mkdir3args) (nfsv3.Mkdir3res, error) {
	o.args.set(*a)
	return &nfsv3.Mkdir3res_NFS3_OK{Resok: nfsv3.Mkdir3resok{Obj: &nfsv3.PostOpFh3_FALSE{}, ObjAttributes: oraclePost, DirWcc: oracleWcc}}, nil
}

func (o *oracle) NfsV3Nfsproc3Symlink(_ context.Context, a *nfsv3.Symlink3args) (nfsv3.Symlink3res, error) {
	o.args.set(*a)
	return &nfsv3.Symlink3res_NFS3_OK{Resok: nfsv3.Symlink3resok{Obj: &nfsv3.PostOpFh3_TRUE{Handle: oracleFh}, ObjAttributes: oraclePost, DirWcc: oracleWcc}}, nil
}

func (o *oracle) NfsV3Nfsproc3Mknod(_ context.Context, a *nfsv3.Mknod3args) (nfsv3.Mknod3res, error) {
	o.args.set(*a)
	return &nfsv3.Mknod3res_default{Status: nfsv3.NFS3ERR_NOTSUPP, Resfail: nfsv3.Mknod3resfail{DirWcc: oracleWcc}}, nil
}

func (o *oracle) NfsV3Nfsproc3Remove(_ context.Context, a *nfsv3.Remove3args) (nfsv3.Remove3res, error) {
	o.args.set(*a)
	return &nfsv3.Remove3res_NFS3_OK{Resok: nfsv3.Remove3resok{DirWcc: oracleWcc}}, nil
}

func (o *oracle) NfsV3Nfsproc3Rmdir(_ context.Context, a *nfsv3.Rmdir3args) (nfsv3.Rmdir3res, error) {
	o.args.set(*a)
	return &nfsv3.Rmdir3res_default{Status: nfsv3.NFS3ERR_NOTEMPTY, Resfail: nfsv3.Rmdir3resfail{DirWcc: oracleWcc}}, nil
}

func (o *oracle) NfsV3Nfsproc3Rename(_ context.Context, a *nfsv3.Rename3args) (nfsv3.Rename3res, error) {
	o.args.set(*a)
	return &nfsv3.Rename3res_NFS3_OK{Resok: nfsv3.Rename3resok{FromdirWcc: oracleNoWcc, TodirWcc: oracleWcc}}, nil
}

func (o *oracle) NfsV3Nfsproc3Link(_ context.Context, a *nfsv3.Link3args) (nfsv3.Link3res, error) {
	o.args.set(*a)
	return &nfsv3.Link3res_NFS3_OK{Resok: nfsv3.Link3resok{FileAttributes: oraclePost, LinkdirWcc: oracleWcc}}, nil
}

func (o *oracle) NfsV3Nfsproc3Readdir(_ context.Context, a *nfsv3.Readdir3args) (nfsv3.Readdir3res, error) {
	o.args.set(*a)
	return &nfsv3.Readdir3res_NFS3_OK{Resok: nfsv3.Readdir3resok{DirAttributes: oraclePost, Cookieverf: oracleVerf,
		Reply: nfsv3.Dirlist3{Eof: true, Entries: &nfsv3.Entry3{Fileid: 41, Name: "one", Cookie: 42,
			Nextentry: &nfsv3.Entry3{Fileid: 43, Name: "four", Cookie: 44}}}}}, nil
}

func (o *oracle) NfsV3Nfsproc3Readdirplus(_ context.Context, a *nfsv3.Readdirplus3args) (nfsv3.Readdirplus3res, error) {
	o.args.set(*a)
	return &nfsv3.Readdirplus3res_NFS3_OK{Resok: nfsv3.Readdirplus3resok{DirAttributes: oraclePost, Cookieverf: oracleVerf,
		Reply: nfsv3.Dirlistplus3{Entries: &nfsv3.Entryplus3{Fileid: 41, Name: "one", Cookie: 42,
			NameAttributes: oraclePost, NameHandle: &nfsv3.PostOpFh3_TRUE{Handle: oracleFh}}}}}, nil
}

func (o *oracle) NfsV3Nfsproc3Fsstat(_ context.Context, a *nfsv3.Fsstat3args) (nfsv3.Fsstat3res, error) {
	o.args.set(*a)
	return &nfsv3.Fsstat3res_NFS3_OK{Resok: nfsv3.Fsstat3resok{ObjAttributes: oraclePost,
		Tbytes: 1, Fbytes: 2, Abytes: 3, Tfiles: 4, Ffiles: 5, Afiles: 6, Invarsec: 7}}, nil
}

func (o *oracle) NfsV3Nfsproc3Fsinfo(_ context.Context, a *nfsv3.Fsinfo3args) (nfsv3.Fsinfo3res, error) {
	o.args.set(*a)
	return &nfsv3.Fsinfo3res_NFS3_OK{Resok: nfsv3.Fsinfo3resok{ObjAttributes: &nfsv3.PostOpAttr_FALSE{}, Rtmax: 1, Rtpref: 2, Rtmult: 3,
		Wtmax: 4, Wtpref: 5, Wtmult: 6, Dtpref: 7, Maxfilesize: 8, TimeDelta: nfsv3.Nfstime3{Seconds: 9, Nseconds: 10}, Properties: 11}}, nil
}

func (o *oracle) NfsV3Nfsproc3Pathconf(_ context.Context, a *nfsv3.Pathconf3args) (nfsv3.Pathconf3res, error) {
	o.args.set(*a)
	return &nfsv3.Pathconf3res_NFS3_OK{Resok: nfsv3.Pathconf3resok{ObjAttributes: oraclePost, Linkmax: 1, NameMax: 2, NoTrunc: true, CaseInsensitive: true}}, nil
}

func (o *oracle) NfsV3Nfsproc3Commit(_ context.Context, a *nfsv3.Commit3args) (nfsv3.Commit3res, error) {
	o.args.set(*a)
	return &nfsv3.Commit3res_NFS3_OK{Resok: nfsv3.Commit3resok{FileWcc: oracleWcc, Verf: oracleVerf}}, nil
}

// serveOracle answers on loopback until the test ends.
func serveOracle(t *testing.T, o *oracle) nfs.Target {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := rpcserver.NewServer(map[uint32]rpcserver.Service{
		nfsv3.NFS_PROGRAM_PROGRAM_NUMBER:   nfsv3.NewNfsProgramService(o),
		mount.MOUNT_PROGRAM_PROGRAM_NUMBER: mount.NewMountProgramService(o),
	}, rpcserver.AllowAuthenticator)
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer nc.Close()
				server.HandleConnection(nc, nc)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wait.Wait() })
	port := l.Addr().(*net.TCPAddr).Port
	return nfs.Target{Host: "127.0.0.1", Path: "/x", Port: port, MountPort: port}
}

// Every call says there what was said here, and every answer comes back as it
// was given.
func TestXDRAgainstAnother(t *testing.T) {
	o := &oracle{}
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	target := serveOracle(t, o)
	list, err := nfs.Exports(ctx, target, nil)
	require.NoError(t, err)
	require.Equal(t, []nfs.Export{{Path: "/a", Groups: []string{"g", "h"}}, {Path: "/b"}}, list)
	c, err := nfs.Dial(ctx, target, nil)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Null(ctx))
	require.Equal(t, nfs.FSInfo{RTMax: 1, RTPref: 2, RTMult: 3, WTMax: 4, WTPref: 5, WTMult: 6, DTPref: 7,
		MaxFileSize: 8, TimeDelta: nfs.Time{Sec: 9, Nsec: 10}, Properties: 11}, c.Limits())
	h := c.Root()
	require.Equal(t, hex.EncodeToString(oracleFh.Data), h.String())
	what := nfsv3.Diropargs3{Dir: oracleFh, Name: "name"}

	check := func(args, want, got any, err error) {
		t.Helper()
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, args, o.args.get())
	}
	a, err := c.Getattr(ctx, h)
	check(nfsv3.Getattr3args{Object: oracleFh}, wantAttr, a, err)

	set := nfs.SetAttr{Set: nfs.SetMode | nfs.SetUID | nfs.SetGID | nfs.SetSize | nfs.SetAtime | nfs.SetMtime,
		Mode: 1, UID: 2, GID: 3, Size: 4 << 40, Atime: nfs.Time{Sec: 5, Nsec: 6}, Mtime: nfs.Time{Sec: 7, Nsec: 8}}
	all := nfsv3.Sattr3{
		Mode: &nfsv3.SetMode3_TRUE{Mode: 1}, Uid: &nfsv3.SetUid3_TRUE{Uid: 2}, Gid: &nfsv3.SetGid3_TRUE{Gid: 3},
		Size:  &nfsv3.SetSize3_TRUE{Size: 4 << 40},
		Atime: &nfsv3.SetAtime_SET_TO_CLIENT_TIME{Atime: nfsv3.Nfstime3{Seconds: 5, Nseconds: 6}},
		Mtime: &nfsv3.SetMtime_SET_TO_CLIENT_TIME{Mtime: nfsv3.Nfstime3{Seconds: 7, Nseconds: 8}},
	}
	none := nfsv3.Sattr3{
		Mode: &nfsv3.SetMode3_default{}, Uid: &nfsv3.SetUid3_default{}, Gid: &nfsv3.SetGid3_default{}, Size: &nfsv3.SetSize3_default{},
		Atime: &nfsv3.SetAtime_default{SetIt: nfsv3.SET_TO_SERVER_TIME}, Mtime: &nfsv3.SetMtime_default{SetIt: nfsv3.DONT_CHANGE},
	}
	w, err := c.Setattr(ctx, h, set, &nfs.Time{Sec: 9, Nsec: 10})
	check(nfsv3.Setattr3args{Object: oracleFh, NewAttributes: all,
		Guard: &nfsv3.Sattrguard3_TRUE{ObjCtime: nfsv3.Nfstime3{Seconds: 9, Nseconds: 10}}}, wantWCC, w, err)
	w, err = c.Setattr(ctx, h, nfs.SetAttr{Set: nfs.SetAtimeNow}, nil)
	check(nfsv3.Setattr3args{Object: oracleFh, NewAttributes: none, Guard: &nfsv3.Sattrguard3_FALSE{}}, wantWCC, w, err)

	l, err := c.Lookup(ctx, h, "name")
	check(nfsv3.Lookup3args{What: what}, nfs.LookupResult{Object: h, Attr: wantPost}, l, err)
	granted, post, err := c.Access(ctx, h, 63)
	check(nfsv3.Access3args{Object: oracleFh, Access: 63}, []any{uint32(31), wantPost}, []any{granted, post}, err)
	to, post, err := c.Readlink(ctx, h)
	check(nfsv3.Readlink3args{Symlink: oracleFh}, []any{"to", wantPost}, []any{to, post}, err)
	p := make([]byte, 100)
	r, err := c.Read(ctx, h, 1<<40, p)
	check(nfsv3.Read3args{File: oracleFh, Offset: 1 << 40, Count: 100}, nfs.ReadResult{N: 3, EOF: true, Attr: wantPost}, r, err)
	require.Equal(t, "abc", string(p[:3]))
	wr, err := c.Write(ctx, h, 1<<41, []byte("12345"), nfs.DataSync)
	check(nfsv3.Write3args{File: oracleFh, Offset: 1 << 41, Count: 5, Stable: nfsv3.DATA_SYNC, Data: []byte("12345")},
		nfs.WriteResult{N: 4, Committed: nfs.FileSync, Verifier: wantVerf, WCC: wantWCC}, wr, err)
	v, w, err := c.Commit(ctx, h, 1<<42, 7)
	check(nfsv3.Commit3args{File: oracleFh, Offset: 1 << 42, Count: 7}, []any{wantVerf, wantWCC}, []any{v, w}, err)

	made := nfs.Made{Object: h, Attr: wantPost, Dir: wantWCC}
	m, err := c.Create(ctx, h, "name", nfs.Unchecked, set)
	check(nfsv3.Create3args{Where: what, How: &nfsv3.Createhow3_UNCHECKED{ObjAttributes: all}}, made, m, err)
	m, err = c.Create(ctx, h, "name", nfs.Guarded, nfs.SetAttr{Set: nfs.SetAtimeNow})
	check(nfsv3.Create3args{Where: what, How: &nfsv3.Createhow3_GUARDED{ObjAttributes: none}}, made, m, err)
	m, err = c.CreateExclusive(ctx, h, "name", wantVerf)
	check(nfsv3.Create3args{Where: what, How: &nfsv3.Createhow3_EXCLUSIVE{Verf: oracleVerf}}, made, m, err)
	m, err = c.Symlink(ctx, h, "name", "target", set)
	check(nfsv3.Symlink3args{Where: what, Symlink: nfsv3.Symlinkdata3{SymlinkAttributes: all, SymlinkData: "target"}}, made, m, err)
	m, err = c.Mkdir(ctx, h, "name", set)
	made.Object = nfs.Handle{}
	check(nfsv3.Mkdir3args{Where: what, Attributes: all}, made, m, err)
	for typ, want := range map[nfs.Type]nfsv3.Mknoddata3{
		nfs.TypeChr:  &nfsv3.Mknoddata3_NF3CHR{Device: nfsv3.Devicedata3{DevAttributes: all, Spec: nfsv3.Specdata3{Specdata1: 1, Specdata2: 2}}},
		nfs.TypeBlk:  &nfsv3.Mknoddata3_NF3BLK{Device: nfsv3.Devicedata3{DevAttributes: all, Spec: nfsv3.Specdata3{Specdata1: 1, Specdata2: 2}}},
		nfs.TypeSock: &nfsv3.Mknoddata3_NF3SOCK{PipeAttributes: all},
		nfs.TypeFIFO: &nfsv3.Mknoddata3_NF3FIFO{PipeAttributes: all},
	} {
		m, err = c.Mknod(ctx, h, "name", typ, 1, 2, set)
		require.Equal(t, nfs.StatusNotSupp, nfs.StatusOf(err))
		check(nfsv3.Mknod3args{Where: what, What: want}, nfs.Made{Dir: wantWCC}, m, nil)
	}
	w, err = c.Remove(ctx, h, "name")
	check(nfsv3.Remove3args{Object: what}, wantWCC, w, err)
	w, err = c.Rmdir(ctx, h, "name")
	require.Equal(t, nfs.StatusNotEmpty, nfs.StatusOf(err))
	check(nfsv3.Rmdir3args{Object: what}, wantWCC, w, nil)
	rn, err := c.Rename(ctx, h, "name", h, "other", 0)
	check(nfsv3.Rename3args{From: what, To: nfsv3.Diropargs3{Dir: oracleFh, Name: "other"}}, nfs.RenameResult{To: wantWCC}, rn, err)
	ln, err := c.Link(ctx, h, h, "name")
	check(nfsv3.Link3args{File: oracleFh, Link: what}, nfs.LinkResult{Attr: wantPost, Dir: wantWCC}, ln, err)

	from := nfs.Position{Cookie: 50 << 40, Verifier: wantVerf}
	page, err := c.Readdir(ctx, h, from, 1000)
	check(nfsv3.Readdir3args{Dir: oracleFh, Cookie: 50 << 40, Cookieverf: oracleVerf, Count: 1000}, nfs.Page{
		Entries: []nfs.Entry{{Name: "one", FileID: 41, Cookie: 42}, {Name: "four", FileID: 43, Cookie: 44}},
		Next:    nfs.Position{Cookie: 44, Verifier: wantVerf}, EOF: true, Dir: wantPost,
	}, page, err)
	page, err = c.Readdirplus(ctx, h, from, 1000, 2000)
	check(nfsv3.Readdirplus3args{Dir: oracleFh, Cookie: 50 << 40, Cookieverf: oracleVerf, Dircount: 1000, Maxcount: 2000}, nfs.Page{
		Entries: []nfs.Entry{{Name: "one", FileID: 41, Cookie: 42, Attr: wantPost, Handle: h}},
		Next:    nfs.Position{Cookie: 42, Verifier: wantVerf}, Dir: wantPost,
	}, page, err)
	st, err := c.FSStat(ctx, h)
	check(nfsv3.Fsstat3args{Fsroot: oracleFh}, nfs.FSStat{TotalBytes: 1, FreeBytes: 2, AvailBytes: 3, TotalFiles: 4, FreeFiles: 5, AvailFiles: 6, InvarSec: 7}, st, err)
	pc, err := c.PathConf(ctx, h)
	check(nfsv3.Pathconf3args{Object: oracleFh}, nfs.PathConf{LinkMax: 1, NameMax: 2, NoTrunc: true, CaseInsensitive: true}, pc, err)
}
