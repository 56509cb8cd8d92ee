package nfs

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// seeds returns what a real server answered to calls of a procedure, whole
// records behind the xid.
func seeds(f *testing.F, prog, proc uint32) (replies [][]byte) {
	f.Helper()
	data, err := os.ReadFile("testdata/ganesha/bytes.txt")
	require.NoError(f, err)
	wanted := false
	for line := range strings.Lines(string(data)) {
		kind, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(text)
		switch {
		case err != nil || len(b) < 8:
		case kind == "call":
			wanted = binary.BigEndian.Uint32(b[16:]) == prog && binary.BigEndian.Uint32(b[offsetProc:]) == proc
		case wanted:
			replies = append(replies, b[8:])
		}
	}
	require.NotEmpty(f, replies)
	return replies
}

// fuzz feeds a decoder of results, with and without the reply's header intact.
// Whatever comes, it neither panics nor reads on after an error, and its errors
// are those that are documented.
func fuzz(f *testing.F, proc uint32, decode func(*result)) {
	for _, b := range seeds(f, progNFS, proc) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := result{decoder: parseReply(in)}
		r.status = Status(r.uint32())
		decode(&r)
		checkDecoder(t, &r.decoder)
		r = result{decoder: decoder{b: in}}
		decode(&r)
		checkDecoder(t, &r.decoder)
	})
}

func checkDecoder(t *testing.T, d *decoder) {
	if d.err == nil {
		return
	}
	require.Empty(t, d.b)
	var rpc *RPCError
	require.True(t, errors.Is(d.err, ErrBadReply) || errors.As(d.err, &rpc), "%v", d.err)
	require.NotEmpty(t, d.err.Error())
}

func FuzzGetattr(f *testing.F)  { fuzz(f, procGetattr, func(r *result) { r.getattrRes() }) }
func FuzzSetattr(f *testing.F)  { fuzz(f, procSetattr, func(r *result) { r.wcc() }) }
func FuzzLookup(f *testing.F)   { fuzz(f, procLookup, func(r *result) { r.lookupRes() }) }
func FuzzAccess(f *testing.F)   { fuzz(f, procAccess, func(r *result) { r.accessRes() }) }
func FuzzReadlink(f *testing.F) { fuzz(f, procReadlink, func(r *result) { r.readlinkRes() }) }
func FuzzCreate(f *testing.F)   { fuzz(f, procCreate, func(r *result) { r.made() }) }
func FuzzRename(f *testing.F)   { fuzz(f, procRename, func(r *result) { r.wcc(); r.wcc() }) }
func FuzzLink(f *testing.F)     { fuzz(f, procLink, func(r *result) { r.postOp(); r.wcc() }) }
func FuzzFSStat(f *testing.F)   { fuzz(f, procFsstat, func(r *result) { r.fsstatRes() }) }
func FuzzFSInfo(f *testing.F)   { fuzz(f, procFsinfo, func(r *result) { r.fsinfoRes() }) }
func FuzzPathConf(f *testing.F) { fuzz(f, procPathconf, func(r *result) { r.pathconfRes() }) }
func FuzzCommit(f *testing.F)   { fuzz(f, procCommit, func(r *result) { r.commitRes() }) }

func FuzzRead(f *testing.F) {
	p := make([]byte, 100)
	fuzz(f, procRead, func(r *result) {
		if res := r.readRes(0, p); res.N > len(p) || res.N < 0 || r.err != nil && res.N > 0 {
			panic(res)
		}
	})
}

func FuzzWrite(f *testing.F) {
	fuzz(f, procWrite, func(r *result) {
		if res := r.writeRes(5, Unstable); res.N > 5 || res.N < 0 || r.err != nil && res.N > 0 {
			panic(res)
		}
	})
}

func FuzzReaddir(f *testing.F) {
	fuzz(f, procReaddir, func(r *result) { checkPage(r, r.page(Position{}, false)) })
}
func FuzzReaddirplus(f *testing.F) {
	fuzz(f, procReaddirplus, func(r *result) { checkPage(r, r.page(Position{}, true)) })
}

func checkPage(r *result, p Page) {
	for _, e := range p.Entries {
		if e.Name == "" || strings.ContainsAny(e.Name, "/\x00") {
			panic(e.Name)
		}
	}
	if r.err != nil && p.EOF {
		panic("the end of a page that is malformed")
	}
}

// fuzzOther is fuzz for programs whose results have no status in front.
func fuzzOther(f *testing.F, prog, proc uint32, decode func(*decoder)) {
	for _, b := range seeds(f, prog, proc) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d := parseReply(in)
		decode(&d)
		checkDecoder(t, &d)
		d = decoder{b: in}
		decode(&d)
		checkDecoder(t, &d)
	})
}

func FuzzMount(f *testing.F)   { fuzzOther(f, progMount, procMnt, func(d *decoder) { d.mountRes() }) }
func FuzzExports(f *testing.F) { fuzzOther(f, progMount, procExport, func(d *decoder) { d.exports() }) }

func FuzzPortmap(f *testing.F) {
	fuzzOther(f, progPortmap, procGetPort, func(d *decoder) {
		if p := d.port(); p < 0 || p > 65535 {
			panic(p)
		}
	})
}

func FuzzUniversalAddress(f *testing.F) {
	for _, s := range []string{"", "::1.8.1", "10.0.0.1.8.1", "1.2", "a.b.c", "::1.256.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := decoder{b: appendOpaque(nil, s)}
		p := d.universalPort()
		require.True(t, p >= 0 && p <= 65535)
		checkDecoder(t, &d)
	})
}

func TestUniversalAddress(t *testing.T) {
	for s, want := range map[string]int{"": 0, "::1.8.1": 2049, "10.0.0.1.0.111": 111, "::.255.255": 65535} {
		d := decoder{b: appendOpaque(nil, s)}
		require.Equal(t, want, d.universalPort(), s)
		require.NoError(t, d.err)
	}
	for _, s := range []string{"8.1", "::1.256.1", "::1.8.-1", "::1.8.", strings.Repeat("1", 300)} {
		d := decoder{b: appendOpaque(nil, s)}
		require.Zero(t, d.universalPort())
		require.ErrorIs(t, d.err, ErrBadReply, s)
	}
}

func TestCycle(t *testing.T) {
	for tail := range 10 {
		for length := 1; length < 10; length++ {
			var c cycle
			steps := 0
			for v := 0; !c.visits(uint64(v)); steps++ {
				if v++; v == tail+length {
					v = tail
				}
			}
			require.LessOrEqual(t, steps, 4*(tail+length))
		}
	}
	var c cycle
	for v := range 10000 {
		require.False(t, c.visits(uint64(v)))
	}
}

func TestPrintable(t *testing.T) {
	require.Equal(t, "plain.txt", printable("plain.txt"))
	require.Equal(t, `"with space"`, printable("with space"))
	require.Equal(t, `"\xff\n"`, printable("\xff\n"))
}
