package nfs

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hexBytes are bytes as they are on the wire, in groups for the eye.
func hexBytes(t testing.TB, text ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(text, ""), " ", ""))
	require.NoError(t, err)
	return b
}

// The layout is nlm4_lock's of RFC 1813 Appendix II: caller_name, fh, oh, svid,
// l_offset, l_len.
func TestLockIsEncoded(t *testing.T) {
	d := decoder{b: hexBytes(t, "00000005 0102030405 000000")}
	h, k := d.handle(), call{}
	k.lock(&h, &LockOwner{Caller: "n1", Handle: "one", SVID: -2})
	require.Equal(t, hexBytes(t,
		"00000002 6e310000", "00000005 0102030405000000", "00000003 6f6e6500", "fffffffe",
		"0000000000000000", "0000000000000000"), k.head)
}

// denied is an nlm4_testres behind its cookie: exclusive, svid 7, oh "one".
func denied(t testing.TB) []byte {
	return hexBytes(t, "00000001", "00000001 00000007 00000003 6f6e6500", "0000000000000000 ffffffffffffffff")
}

func TestHolderIsDecoded(t *testing.T) {
	d := decoder{b: denied(t)}
	s, holder := d.testRes()
	require.NoError(t, d.err)
	require.Equal(t, LockDenied, s)
	require.Equal(t, LockOwner{Handle: "one", SVID: 7}, holder)
	for n := range denied(t) {
		d := decoder{b: denied(t)[:n]}
		s, _ := d.testRes()
		require.ErrorIs(t, d.err, ErrBadReply)
		require.NotEqual(t, LockGranted, s, "an answer that is cut short is no lock")
	}
}

func TestLockStatusHasAName(t *testing.T) {
	require.Equal(t, "NLM4_DENIED_NOLOCKS", LockNoLocks.String())
	require.Equal(t, "NLM4_FAILED", LockFailed.String())
	require.Equal(t, "nlm4_stats 10", LockStatus(10).String())
}

func FuzzNLM(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0})
	f.Add(denied(f))
	f.Fuzz(func(t *testing.T, in []byte) {
		d := decoder{b: in}
		if s, _ := d.testRes(); d.err != nil && s == LockGranted {
			panic(s)
		}
		checkDecoder(t, &d)
		d = decoder{b: in}
		if s := d.lockRes(); d.err != nil && s == LockGranted {
			panic(s)
		}
		checkDecoder(t, &d)
	})
}
