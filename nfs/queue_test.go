package nfs

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// Records come out as they went in, whatever their sizes, and no buffer is left
// in a queue that was emptied.
func TestQueueKeepsRecordsInOrder(t *testing.T) {
	c := calls{header: callHeader(progNFS, version3, nil, 1)}
	here, there := net.Pipe()
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(there)
		got <- b
	}()
	var q queue
	var want []byte
	for i, size := range []int{1, 100, 50 << 10, 20 << 10, 1 << 20, 3, 5 << 20, 0} {
		k := c.begin(procWrite)
		k.data = bytes.Repeat([]byte{byte(i)}, size)
		want = k.appendTo(want)
		q.add(k)
		c.end(k)
	}
	require.Equal(t, len(want), q.size)
	require.NoError(t, q.writeTo(here))
	require.NoError(t, here.Close())
	require.True(t, bytes.Equal(want, <-got))
	q.reset()
	require.Zero(t, q.size)
	require.Empty(t, q.segments)
}

func TestBuffersAreLargeEnough(t *testing.T) {
	var b buffers
	for _, n := range []int{0, 1, keptReply, 16<<10 + replySlack, 16<<10 + replySlack + 1, 1<<20 + replySlack, 2<<20 + replySlack, 5 << 20} {
		p := b.get(n)
		require.GreaterOrEqual(t, len(*p), n)
		b.put(p)
		require.GreaterOrEqual(t, len(*b.get(n)), n)
	}
}

// A call's reply of any length does not keep a long buffer from the others.
func TestACallGivesLongRepliesBack(t *testing.T) {
	var c calls
	c.header = callHeader(progNFS, version3, nil, 1)
	k := c.begin(procRead)
	for _, n := range []int{100, 100 << 10, 10, 1 << 20, keptReply} {
		k.reply = append(k.room(n), make([]byte, n)...)
		require.Len(t, k.reply, n)
	}
	c.end(k)
	require.Nil(t, k.long)
	require.LessOrEqual(t, cap(k.reply), keptReply)
}
