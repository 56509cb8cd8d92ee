package dashboard

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// run serves a page on an address of its own until the test ends.
func run(t *testing.T, s *site, change func(*Config)) (server *Server, at net.Addr) {
	t.Helper()
	cfg := s.server.cfg
	change(&cfg)
	server, err := New(cfg)
	require.NoError(t, err)
	l, err := Listen(cfg.Listen)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
	})
	return server, l.Addr()
}

// askAs asks for the overview as another user of this machine.
func askAs(t *testing.T, uid int, at net.Addr) string {
	t.Helper()
	host, port, err := net.SplitHostPort(at.String())
	require.NoError(t, err)
	cmd := exec.Command("bash", "-c", fmt.Sprintf(`exec 3<>/dev/tcp/%s/%s; printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3; cat <&3`, host, port))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// Loopback is every user's of a machine, and the page shows every file.
func TestOtherUsersOfThisMachineAreRefused(t *testing.T) {
	const nobody, alice = 65534, 12345
	t.Setenv("SUDO_UID", fmt.Sprint(alice))
	s := oneVolume(t)
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		if l, err := net.Listen("tcp", listen); err != nil {
			t.Logf("no %s here: %v", listen, err)
			continue
		} else {
			l.Close()
		}
		_, at := run(t, s, func(c *Config) { c.Listen = listen })
		require.Contains(t, askAs(t, 0, at), "200 OK")
		require.Contains(t, askAs(t, alice, at), "200 OK", "who typed sudo")
		refused := askAs(t, nobody, at)
		require.Contains(t, refused, "403 Forbidden")
		require.NotContains(t, refused, "blog")
	}
	_, at := run(t, s, func(c *Config) { c.BehindProxy = true })
	require.Contains(t, askAs(t, nobody, at), "200 OK", "a proxy is another user")

	// A connection that is over belongs to nobody, and not to root.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	ours, err := l.Accept()
	require.NoError(t, err)
	defer ours.Close()
	require.False(t, foreign(ours, []int{os.Getuid()}))
	require.True(t, foreign(ours, []int{nobody}))
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return foreign(ours, []int{0, os.Getuid()}) }, time.Minute, time.Millisecond)
}

func TestASocketIsItsUsersAlone(t *testing.T) {
	s := oneVolume(t)
	dir, err := os.MkdirTemp("", "d")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	dead, err := net.Listen("unix", path)
	require.NoError(t, err)
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	server, at := run(t, s, func(c *Config) { c.Listen = "unix:" + path })
	require.Equal(t, "unix:"+path, server.URL(at))
	is, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), is.Mode().Perm())
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	got, err := client.Get("http://localhost:8080/") // as through ssh -L 8080:PATH
	require.NoError(t, err)
	defer got.Body.Close()
	require.Equal(t, http.StatusOK, got.StatusCode)
	text, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), "berth")

	_, err = Listen("unix:" + path)
	require.ErrorContains(t, err, "another program answers there")
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("mine"), 0o600))
	_, err = Listen("unix:" + file)
	require.Error(t, err)
	require.FileExists(t, file, "only a socket is replaced")
	cfg := s.server.cfg
	cfg.Listen = "unix:relative"
	_, err = New(cfg)
	require.ErrorContains(t, err, "no address")
}

// One address takes its share, and another one its own meanwhile.
func TestOneClientDoesNotTakeWhatIsForAll(t *testing.T) {
	s := oneVolume(t)
	_, at := run(t, s, func(c *Config) { c.BehindProxy = true })
	ask := func(client, address string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at.String()+address, nil)
		require.NoError(t, err)
		r.Header.Set("X-Forwarded-For", "198.51.100.7, "+client) // the client may have written the first
		got, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		return got
	}
	for range requestsAClient {
		got := ask("192.0.2.1", "/events")
		require.Equal(t, http.StatusOK, got.StatusCode)
		defer got.Body.Close()
	}
	refused := ask("192.0.2.1", "/")
	defer refused.Body.Close()
	require.Equal(t, http.StatusTooManyRequests, refused.StatusCode)
	require.NotEmpty(t, refused.Header.Get("Retry-After"))
	for _, other := range []string{"192.0.2.2", "2001:db8:1::1", ""} {
		got := ask(other, "/")
		got.Body.Close()
		require.Equal(t, http.StatusOK, got.StatusCode, other)
	}

	c := newCrowd(3, 2)
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var leaves []func()
	for _, client := range []string{"a", "a", "b"} {
		leave, ok := c.enter(t.Context(), client)
		require.True(t, ok)
		leaves = append(leaves, leave)
	}
	for _, client := range []string{"a", "c"} {
		_, ok := c.enter(short, client)
		require.False(t, ok, client)
	}
	for _, leave := range leaves {
		leave()
	}
	require.Empty(t, c.count, "nothing is kept of clients that have gone")
	require.Empty(t, c.using)

	one := Server{}
	for address, want := range map[string]string{"192.0.2.1:80": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::", "[2001:db8::ffff:1]:80": "2001:db8::", "[::ffff:192.0.2.1]:80": "192.0.2.1", "@": "@", "": ""} {
		require.Equal(t, want, one.clientOf(&http.Request{RemoteAddr: address}), address)
	}
}

func TestARequestsBodyIsNotWaitedFor(t *testing.T) {
	s := oneVolume(t)
	_, at := run(t, s, func(*Config) {})
	c, err := net.Dial("tcp", at.String())
	require.NoError(t, err)
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	answer, err := io.ReadAll(c)
	require.NoError(t, err, "and the connection is closed")
	require.True(t, strings.HasPrefix(string(answer), "HTTP/1.1 413 "), "%s", answer)
}

// slow is a viewer whose every write takes a while.
type slow struct {
	http.ResponseWriter
	until []time.Time
}

func (s *slow) Write(p []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	return len(p), nil
}

func (s *slow) SetWriteDeadline(t time.Time) error {
	s.until = append(s.until, t)
	return nil
}

// Who reads a little at a time does not get the whole patience each time.
func TestAViewerHasSoLongForAPieceAndNotForAByte(t *testing.T) {
	s := &slow{}
	p := &patient{ResponseWriter: s, flow: http.NewResponseController(s)}
	began := time.Now()
	for range 5 {
		_, err := p.Write(make([]byte, piece/4))
		require.NoError(t, err)
	}
	require.Len(t, s.until, 5)
	for _, until := range s.until[:4] {
		require.WithinDuration(t, began.Add(writeLimit), until, writeLimit/10, "it is one patience for the piece")
	}
	require.True(t, s.until[4].After(s.until[3].Add(4*time.Millisecond)), "the next piece has its own")
}
