package nfs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// records makes one record of the given fragments.
func records(fragments ...[]byte) []byte {
	var b []byte
	for i, f := range fragments {
		mark := uint32(len(f))
		if i == len(fragments)-1 {
			mark |= lastFragment
		}
		b = append(binary.BigEndian.AppendUint32(b, mark), f...)
	}
	return b
}

func TestRecords(t *testing.T) {
	var in []byte
	in = append(in, records([]byte("\x00\x00\x00\x01abcd"))...)
	in = append(in, records([]byte{0}, nil, []byte{0, 0}, []byte{2, 'e'}, []byte("fg"), nil)...)
	in = append(in, records([]byte("\x00\x00\x00\x03skipped"), []byte("skipped"))...)
	in = append(in, records([]byte("\x00\x00\x00\x04"))...)
	r := recordReader{r: bufio.NewReader(bytes.NewReader(in)), limit: 20}
	next := func(want uint32) {
		t.Helper()
		xid, err := r.next()
		require.NoError(t, err)
		require.Equal(t, want, xid)
	}
	next(1)
	b, err := r.rest([]byte("x"))
	require.NoError(t, err)
	require.Equal(t, "xabcd", string(b))
	next(2)
	b, err = r.rest(nil)
	require.NoError(t, err)
	require.Equal(t, "efg", string(b))
	next(3)
	require.NoError(t, r.skip())
	next(4)
	b, err = r.rest(nil)
	require.NoError(t, err)
	require.Empty(t, b)
	_, err = r.next()
	require.ErrorIs(t, err, io.EOF)
}

func TestBadRecords(t *testing.T) {
	for name, in := range map[string][]byte{
		"too long":          {0x80, 0, 0, 21, 0, 0, 0, 1},
		"too long together": records([]byte("\x00\x00\x00\x01aaaaaaaa"), []byte("aaaaaaaaa")),
		"2 GiB":             {0xff, 0xff, 0xff, 0xff},
		"too short":         {0x80, 0, 0, 3, 0, 0, 0},
		"endless fragments": make([]byte, 4*maxFragments+4),
	} {
		r := recordReader{r: bufio.NewReader(bytes.NewReader(in)), limit: 20}
		_, err := r.next()
		if err == nil {
			_, err = r.rest(nil)
		}
		require.ErrorIs(t, err, ErrBadReply, name)
	}
}

// A record is read whole or not at all, and never past its end.
func FuzzRecord(f *testing.F) {
	f.Add(records([]byte("\x00\x00\x00\x01abcd")))
	f.Add(records([]byte{0}, nil, []byte{0, 0, 2}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := recordReader{r: bufio.NewReader(bytes.NewReader(in)), limit: 1000}
		for {
			if _, err := r.next(); err != nil {
				return
			}
			b, err := r.rest(nil)
			if err != nil {
				return
			}
			require.LessOrEqual(t, len(b), 1000)
		}
	})
}

// What every call does costs no memory, once buffers have grown.
func TestHotPathDoesNotAllocate(t *testing.T) {
	c := calls{header: callHeader(progNFS, version3, &Credentials{Machine: "m", GIDs: []uint32{1}}, 1)}
	h := Handle{n: 32}
	reply := make([]byte, 6*4+attrSize) // a reply, accepted, no verifier, success, ok
	binary.BigEndian.PutUint32(reply, msgReply)
	binary.BigEndian.PutUint32(reply[24:], uint32(TypeReg))
	var stream bytes.Reader
	record := records(append([]byte{0, 0, 0, 9}, reply...))
	r := recordReader{r: bufio.NewReader(&stream), limit: 1000}
	out := make([]byte, 0, 4096)
	k := c.begin(procGetattr)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		k.head = append(k.head[:0], c.header...)
		k.handle(&h)
		k.renew(9)
		out = k.appendTo(out[:0])
		stream.Reset(record)
		if _, err := r.next(); err != nil {
			panic(err)
		}
		var err error
		if k.reply, err = r.rest(k.reply[:0]); err != nil {
			panic(err)
		}
		res := result{decoder: parseReply(k.reply)}
		res.status = Status(res.uint32())
		if a := res.getattrRes(); a.Type != TypeReg || res.error("getattr", "") != nil {
			panic(res.err)
		}
	}))
}
