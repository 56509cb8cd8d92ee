package plugin

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/bound"
)

// A caller that sends a part of a request is told so, whatever he asks for, and
// whoever asks beside him is answered meanwhile.
func TestSlowRequestsEnd(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	var asked sync.WaitGroup
	for _, part := range []string{
		"", "POST /VolumeDriver.Get HT", "POST /VolumeDriver.Get HTTP/1.1\r\nHost: x\r\n",
		"POST /VolumeDriver.Get HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{",
		"POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
		"POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + strings.Repeat(" ", 20_000),
		"POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n" + strings.Repeat(" ", maxBody+1),
		"POST /Berth.VolumeSet HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{",
		"POST /Berth.SnapshotDiff HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{",
		"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{",
	} {
		asked.Go(func() {
			c, err := net.Dial("unix", s.socket)
			require.NoError(t, err)
			defer c.Close()
			// Generous: what never ends ends here.
			require.NoError(t, c.SetDeadline(time.Now().Add(10*bodyLimit)))
			_, _ = io.WriteString(c, part) // it may be too much to be read
			answer, err := io.ReadAll(c)
			if err != nil {
				require.NotContains(t, err.Error(), "timeout", part)
			}
			if strings.Contains(part, "\r\n\r\n") && !strings.Contains(part, "nowhere") {
				require.Contains(t, string(answer), `"Kind":"usage"`, part)
			}
		})
	}
	s.ok("List", nil)
	asked.Wait()
	s.ok("List", nil)
}

// When there are as many calls of the command line as may be, the next one is
// told so, and Docker's verbs are answered.
func TestDockersVerbsWaitForNobody(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.ok("Create", map[string]any{"Name": "site1"})
	s.stop()
	none := bound.NewTurns(0, 0)
	s.turns = &turns{bodies: none, short: none, long: none, streams: none, waits: none}
	s.start()
	for _, call := range []string{"VolumeNames", "Usage", "SnapshotDiff", "JobWait"} {
		var f Failure
		require.NoError(t, json.Unmarshal([]byte(s.post("Berth."+call, "{}")), &f))
		require.Contains(t, f.Reason, "too many requests at once")
	}
	for _, verb := range []string{"Get", "Mount", "List", "Unmount", "Path", "Create"} {
		s.ok(verb, map[string]any{"Name": "site1", "ID": "a"})
	}
}

// A caller's name of any length is short in the log.
func TestALongNameIsShortInTheLog(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for range 10 {
		require.Contains(t, s.fails("Mount", map[string]any{"Name": strings.Repeat("x", 900_000), "ID": strings.Repeat("y", 100_000)}), "has 900000 characters")
	}
	s.stop()
	require.Less(t, len(s.log.String()), 20_000)
	require.Contains(t, s.log.String(), "volume="+strings.Repeat("x", 256)+"\n")
}
