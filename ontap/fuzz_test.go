package ontap

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answering is a cluster that gives the same bytes to every request.
type answering struct {
	status int
	header http.Header
	body   []byte
}

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: a.header.Clone(), Body: io.NopCloser(bytes.NewReader(a.body))}, nil
}

// told is a client of such a cluster, whose clock stands still.
func told(t testing.TB, a answering) *Client {
	file := filepath.Join(t.TempDir(), "pw")
	require.NoError(t, os.WriteFile(file, []byte("hunter2"), 0o600))
	waited := 0
	c, err := New(Config{Address: "filer", User: "u", PasswordFile: file, Now: func() time.Time { return time.Unix(0, 0) },
		Wait: func(context.Context, time.Duration) error {
			if waited++; waited > 50 {
				return context.DeadlineExceeded
			}
			return nil
		}})
	require.NoError(t, err)
	c.http.Transport = a
	return c
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"records":[{"name":"s","uuid":"u","create_time":"2026-01-01T00:00:00+00:00","owners":["x"]}],"num_records":1}`,
		`{"error":{"message":"m","code":"4","target":"uuid"}}`, `{"error":{"code":4}}`, `{"error":"no"}`,
		`{"job":{"uuid":"j"}}`, `{"state":"failure","code":4}`, `{"_links":{"next":{"href":"/api/storage/volumes/v/snapshots?x=1"}}}`,
		``, `null`, `[]`, `"x"`, `{`, `{"version":{"generation":9,"major":16}}`,
	} {
		for _, status := range []int{200, 202, 404, 429, 503} {
			f.Add(status, "5", []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, status int, retryAfter string, body []byte) {
		if status < 100 || status > 999 {
			return
		}
		c := told(t, answering{status, http.Header{"Retry-After": {retryAfter}}, body})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		checks := []func() error{
			func() error { _, err := c.ClusterInfo(ctx); return err },
			func() error { _, err := c.SnapshotCreate(ctx, "v", Snapshot{Name: "s"}); return err },
			func() error { return c.SnapshotDelete(ctx, "v", "u") },
			func() error { return c.PollJobStatus(ctx, "test", "j") },
			func() error { _, err := c.DirectoryRestoreSupported(ctx); return err },
		}
		if !bytes.Contains(body, []byte("next")) { // ten thousand pages are for another test
			checks = append(checks, func() error { _, err := c.SnapshotList(ctx, "v"); return err })
		}
		for _, check := range checks {
			err := check()
			var e *Error
			if err != nil {
				require.ErrorAs(t, err, &e)
				require.NotEmpty(t, e.Error())
				require.NotContains(t, err.Error(), "hunter2", "whatever the cluster says")
			}
		}
	})
}

func FuzzFollow(f *testing.F) {
	for _, seed := range []string{"/api/svm/svms?a=b", "https://x/api/svm/svms", "//x", "/api/svm/svms/../x", "%zz", "/api/svm/svms?a=%zz", "?x=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, href string) {
		r, err := follow(request{method: http.MethodGet, path: "/svm/svms"}, href)
		if err == nil {
			require.Equal(t, "/svm/svms", r.path)
		}
	})
}

func FuzzSegment(f *testing.F) {
	for _, seed := range []string{"..", "a/../b", "%2e%2e", "a b?c#d", "\x00", "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		escaped := segment(value)
		require.NotContains(t, escaped, ".")
		require.NotContains(t, escaped, "/")
		back, err := url.PathUnescape(escaped)
		require.NoError(t, err)
		require.Equal(t, value, back)
		c := told(t, answering{})
		req, err := c.newRequest(t.Context(), request{method: "GET", path: "/x/" + escaped}, nil)
		require.NoError(t, err)
		require.Equal(t, "/api/x/"+escaped, req.URL.EscapedPath(), "what is sent is what was escaped")
	})
}

func TestEndlessPages(t *testing.T) {
	c := told(t, answering{200, nil, []byte(`{"records":[],"_links":{"next":{"href":"/api/svm/svms?x=1"}}}`)})
	_, err := c.SvmList(t.Context())
	require.ErrorContains(t, err, "too many pages")
}

func TestHugeAnswer(t *testing.T) {
	c := told(t, answering{200, nil, append([]byte(`{"name":"`), bytes.Repeat([]byte("x"), maxAnswer)...)})
	_, err := c.ClusterInfo(t.Context())
	require.ErrorContains(t, err, "larger than 8 MiB")
}

func TestTheRealClock(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, waitReal(ctx, 0))
	cancel()
	require.ErrorIs(t, waitReal(ctx, time.Hour), context.Canceled)
}

func TestPasswordIsNotPrinted(t *testing.T) {
	c := told(t, answering{})
	_, err := c.password.get()
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(verb, c.password)+fmt.Sprintf(verb, *c), "hunter2")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"3": 3 * time.Second, " 3 ": 3 * time.Second, "0": 0, "": time.Second, "-1": time.Second, "soon": time.Second, "99999999999999": time.Second,
		"3600": time.Minute, "Sun, 01 Mar 2026 12:00:05 GMT": 5 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		require.Equal(t, want, retryAfter(value, now, time.Second), value)
	}
}

func TestKinds(t *testing.T) {
	for code, kind := range kinds {
		require.ErrorIs(t, &Error{HTTP: 404, Code: code}, kind, "a code decides before the status: %s", code)
	}
	for _, c := range []struct {
		err  Error
		kind error
		want bool
	}{
		{Error{HTTP: 404}, os.ErrNotExist, true}, {Error{HTTP: 404, Code: "3"}, os.ErrNotExist, false}, {Error{HTTP: 401}, os.ErrPermission, true},
		{Error{HTTP: 403}, os.ErrPermission, true}, {Error{HTTP: 405}, errors.ErrUnsupported, true}, {Error{HTTP: 409}, os.ErrExist, false},
		{Error{HTTP: 404, Unknown: true}, os.ErrNotExist, false}, {Error{Unknown: true}, ErrOutcomeUnknown, true}, {Error{HTTP: 500}, ErrOutcomeUnknown, false},
	} {
		require.Equal(t, c.want, errors.Is(&c.err, c.kind), "%+v", c)
	}
}

func TestExactly(t *testing.T) {
	for value, want := range map[string]string{"plain-1_x": "plain-1_x", "a*": `"a*"`, `a"b\c`: `"a\"b\\c"`, "/a/b": "/a/b", "a.b": `"a.b"`, "": "", "null": `"null"`} {
		require.Equal(t, want, exactly(value))
	}
}

func TestCode(t *testing.T) {
	for text, want := range map[string]code{`"4"`: "4", `4`: "4", `0`: "", `"0"`: "", `null`: "", `""`: "", `"-1"`: "-1"} {
		var got code
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{`"x"`, `{}`, `true`, `1.5`} {
		var got code
		require.NoError(t, json.Unmarshal([]byte(text), &got), "an odd code must not lose the message beside the code")
		require.Empty(t, got)
	}
}

func TestOptionsAnswer(t *testing.T) {
	for allow, want := range map[string]bool{"OPTIONS, POST": true, "GET,POST,OPTIONS": true, "OPTIONS": false, "": false} {
		c := told(t, answering{200, http.Header{"Allow": {allow}}, nil})
		got, err := c.DirectoryRestoreSupported(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got, allow)
	}
}

// The search for the password is bounded, whatever it is looked for in.
func FuzzHide(f *testing.F) {
	f.Add("hunter2hunter2", "YmVydGg6aHVudGVyMg== %68unter2 \\x68 &#104; 68 75 6e")
	f.Fuzz(func(t *testing.T, password, text string) {
		s := &secret{text: func() string { return password }}
		if got := s.hide(text); got != text {
			require.Equal(t, hidden, got)
		} else if len(password) > 3 && fold(password) != "" && len(text) < maxError {
			require.NotContains(t, strings.ToLower(text), strings.ToLower(password))
		}
		s.without([]byte(text), true)
	})
}

func BenchmarkHide(b *testing.B) {
	s := &secret{text: func() string { return "s3cret-Horse-Battery" }}
	nest := "deadbeef 0a0b0c "
	for range 4 {
		nest += base64.StdEncoding.EncodeToString([]byte(nest)) + "%41=42&#43;\\x44 " + hex.EncodeToString([]byte(nest))
	}
	text := strings.Repeat(nest, maxError/len(nest)+1)[:maxError]
	listing := []byte(strings.Repeat(`{"name":"hourly.2026-11-30_1005","uuid":"02c9e252-41be-11e9-81d5-00a0986138f7","create_time":"2026-11-30T10:05:00+00:00","size":123456},`, 1023))
	b.Run("worst", func(b *testing.B) {
		for b.Loop() {
			s.hide(text)
		}
	})
	b.Run("listing", func(b *testing.B) {
		for b.Loop() {
			s.without(listing, false)
		}
	})
}
