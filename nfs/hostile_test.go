package nfs_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
)

// words encodes numbers as XDR has them.
func words(n ...uint32) (b []byte) {
	for _, v := range n {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// A MOUNT service that lies is refused, whatever it says.
func TestHostileMountService(t *testing.T) {
	for name, c := range map[string]struct {
		results []byte
		says    string
	}{
		"nothing":           {nil, "cut short"},
		"an empty handle":   {words(0, 0, 1, 1), "an empty file handle"},
		"a handle too long": {append(words(0, 65), make([]byte, 80)...), "65 bytes where 64 are allowed"},
		"2^32-1 flavours":   {append(append(words(0, 16), make([]byte, 16)...), words(math.MaxUint32)...), "4294967295 authentication flavours"},
		"no AUTH_SYS":       {append(append(words(0, 16), make([]byte, 16)...), words(1, 6)...), "permission denied"},
		"a handle of none":  {append(append(words(0, 16), make([]byte, 16)...), words(1, 1)...), "file handle"},
		"an unknown status": {words(4711), "4711"},
		"a megabyte":        {make([]byte, 2<<20), "a record of"},
	} {
		t.Run(name, func(t *testing.T) {
			s := nfstest.New(t)
			s.Lie(nfstest.Lies{Mount: func([]byte) []byte { return c.results }})
			ctx, cancel := context.WithTimeout(t.Context(), hang)
			defer cancel()
			target, err := nfs.ParseTarget(s.URL("/"))
			require.NoError(t, err)
			_, err = nfs.Dial(ctx, target, &nfs.Config{ReplyTimeout: 100 * time.Millisecond})
			require.ErrorContains(t, err, c.says)
			require.NoError(t, ctx.Err())
		})
	}
}

// A list of exports without an end, within what one answer may have.
func TestHostileListOfExports(t *testing.T) {
	s := nfstest.New(t)
	s.Lie(nfstest.Lies{Mount: func([]byte) []byte {
		return append(bytes.Repeat(words(1, 1, 'x'<<24, 0), 20_000), words(0)...)
	}})
	target, err := nfs.ParseTarget(s.URL("/"))
	require.NoError(t, err)
	_, err = nfs.Exports(t.Context(), target, nil)
	require.ErrorContains(t, err, "more than 10000 exports")
}

// Limits that make no sense are no limits of ours.
func TestHostileLimits(t *testing.T) {
	for _, limit := range []uint32{0, 1, 511, math.MaxUint32} {
		s := nfstest.New(t)
		s.WriteFile("/f", []byte("content"))
		s.SetLimits(nfstest.Limits{RTMax: limit, WTMax: limit, DTPref: limit})
		ctx, c := dial(t, s, "/", nil)
		s.SetLimits(nfstest.Limits{RTMax: 1 << 20, WTMax: 1 << 20})
		require.True(t, c.ReadSize() >= 512 && c.ReadSize() <= 1<<20 && c.WriteSize() >= 512 && c.WriteSize() <= 1<<20)
		p := make([]byte, 7)
		_, err := c.ReadAt(ctx, lookup(t, ctx, c, "f"), p, 0)
		require.NoError(t, err)
		require.Equal(t, "content", string(p))
		require.NoError(t, c.List(ctx, c.Root(), func(*nfs.Entry) error { return nil }))
	}
}
