package dashboard

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
)

// entriesAPage is how many names of a directory are shown at once.
const entriesAPage = 500

// browseWait is how long a page waits for a directory.
const browseWait = 15 * time.Second

func withLimit(r *http.Request, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), limit)
}

// version is what an address names: a volume, a snapshot by its exact name,
// and a path, whose bytes are as they are.
type version struct {
	Volume   string
	Snapshot string
	Path     string
}

func versionOf(r *http.Request) version {
	p := strings.TrimPrefix(path.Clean("/"+r.URL.Query().Get("path")), "/")
	return version{Volume: r.PathValue("volume"), Snapshot: r.PathValue("snapshot"), Path: p}
}

func (v version) ref() reference.Ref {
	return reference.Ref{Volume: v.Volume, Snapshot: v.Snapshot, Path: v.Path}
}

// exact is the reference: the snapshot of exactly that name, whatever else the
// name may mean.
func (v version) exact() *reference.Exact {
	return &reference.Exact{Volume: v.Volume, Snapshot: text.Text(v.Snapshot), Path: text.Text(v.Path)}
}

// Address is where a page about the version is: "", "/diff", "/download".
func (v version) Address(what string) string {
	a := snapshotAddress(v.Volume, v.Snapshot) + what
	if v.Path != "" {
		a += "?path=" + url.QueryEscape(v.Path)
	}
	return a
}

// Below is the same version of a name in it.
func (v version) Below(name string) version {
	v.Path = path.Join(v.Path, name)
	return v
}

// Crumbs are the directories on the way.
func (v version) Crumbs() (out []version) {
	for p := v.Path; p != "" && p != "."; p = path.Dir(p) {
		out = append(out, version{v.Volume, v.Snapshot, p})
	}
	slices.Reverse(out)
	return out
}

// Top is the address of the whole snapshot.
func (v version) Top() string { return snapshotAddress(v.Volume, v.Snapshot) }

// Base is the last part of the path.
func (v version) Base() string { return path.Base(v.Path) }

// snapshotPage is a file or directory of a version.
type snapshotPage struct {
	version
	Sides   []snapshot.Side // one
	File    compare.File
	Entries []snapshot.Named
	More    int
	After   string // where the page begins
	Command string
	Instead string // what the command brings back, if it is not this name
}

// Next is the address of the entries behind these.
func (p snapshotPage) Next() string {
	q := url.Values{"path": {p.Path}, "after": {p.Entries[len(p.Entries)-1].Raw()}}
	return snapshotAddress(p.Volume, p.Snapshot) + "?" + q.Encode()
}

// browse lists what an address names, and makes sure that it is exactly that
// snapshot: a word such as "latest" may mean another one.
func (s *Server) browse(ctx context.Context, v version, after string, limit int) (snapshot.Browsed, error) {
	exact := v.exact()
	if err := exact.Check(); err != nil {
		return snapshot.Browsed{}, notThere(v)
	}
	got, err := s.cfg.Berth.Browse(ctx, snapshot.BrowseRequest{Ref: v.ref().String(), Exact: exact, AfterB64: []byte(after), Limit: limit})
	if f := (*plugin.Failure)(nil); errors.As(err, &f) && f.Kind == problem.NotFound && strings.HasPrefix(f.Reason, "no snapshot ") {
		return got, notThere(v)
	}
	if err == nil && (got.Side.Snapshot == nil || got.Side.Snapshot.Name != v.Snapshot) {
		return snapshot.Browsed{}, notThere(v)
	}
	return got, err
}

func notThere(v version) error {
	return &plugin.Failure{Kind: problem.NotFound, Reason: fmt.Sprintf("no snapshot is named exactly %s", shown(v.Snapshot)),
		Hint: "the page of the volume lists its snapshots"}
}

func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) {
	v := versionOf(r)
	ctx, cancel := withLimit(r, browseWait)
	defer cancel()
	after := r.URL.Query().Get("after")
	got, err := s.browse(ctx, v, after, entriesAPage)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	p := snapshotPage{version: v, Sides: []snapshot.Side{got.Side}, File: got.File, Entries: got.Entries, More: got.More, After: after}
	p.Command, p.Instead = restoreCommand(v.ref(), got.File.Kind)
	s.show(w, r, http.StatusOK, "snapshot", page{Title: titleOf(v), Body: p})
}

func titleOf(v version) string {
	title := v.Volume + "@" + shown(v.Snapshot)
	if v.Path != "" {
		title += ":" + shown(v.Path)
	}
	return title
}

// download sends a file, as bytes to be saved and never as a page.
func (s *Server) download(w http.ResponseWriter, r *http.Request) {
	v := versionOf(r)
	ctx, cancel := withLimit(r, browseWait)
	leave, ok := s.taking.enter(ctx, s.clientOf(r))
	if !ok {
		cancel()
		s.fail(w, r, http.StatusServiceUnavailable, "too many downloads at the same time", "try again in a moment, or 'berth snapshot cat "+text.Word(v.ref().String())+"'")
		return
	}
	defer leave()
	got, err := s.browse(ctx, v, "", 1)
	cancel()
	if err == nil && got.File.Kind != "file" {
		err = &plugin.Failure{Kind: problem.Invalid, Reason: fmt.Sprintf("%s is a %s and no file", shown(v.Path), got.File.Kind),
			Hint: "'berth snapshot cat " + text.Word(v.ref().String()) + "' sends a directory as a tar archive"}
	}
	if err != nil {
		s.failed(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", attachment(v.Base()))
	h.Set("Content-Length", strconv.FormatInt(got.File.Bytes, 10))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	if r.Method == http.MethodHead {
		return
	}
	out := &patient{ResponseWriter: w, flow: http.NewResponseController(w)}
	defer out.flow.SetWriteDeadline(time.Time{})
	if err := s.cfg.Berth.Cat(r.Context(), plugin.RefRequest{Ref: v.ref().String(), Exact: v.exact()}, out); err != nil {
		panic(http.ErrAbortHandler) // a file cut short must not look whole
	}
}

// attachment names a download (RFC 6266); unusual characters become '_', so that the
// name cannot mislead. A name beyond ASCII comes twice, first for browsers that read
// only ASCII.
func attachment(name string) string {
	without := func(most rune) string {
		return strings.Map(func(r rune) rune {
			if r > most || strings.ContainsRune(`/\:*?"<>|%;`, r) || !printable(string(r)) {
				return '_'
			}
			return r
		}, strings.ToValidUTF8(name, "_"))
	}
	ascii, all := without(unicode.MaxASCII), without(unicode.MaxRune)
	said := mime.FormatMediaType("attachment", map[string]string{"filename": ascii})
	if all != ascii {
		said += strings.TrimPrefix(mime.FormatMediaType("attachment", map[string]string{"filename": all}), "attachment")
	}
	return said
}

// patient is a viewer who may be slow, but not slower than a piece in writeLimit: one
// who stands still, or reads a byte a minute, keeps a download from others. The time
// that the filer takes does not count.
type patient struct {
	http.ResponseWriter
	flow *http.ResponseController

	left   int           // of the piece under way, in bytes
	waited time.Duration // for the viewer, in this piece
}

// piece is what a viewer has to take within writeLimit, in bytes.
const piece = 256 << 10

func (p *patient) Write(data []byte) (int, error) {
	if p.left <= 0 {
		p.left, p.waited = piece, 0
	}
	began := time.Now()
	_ = p.flow.SetWriteDeadline(began.Add(writeLimit - p.waited))
	n, err := p.ResponseWriter.Write(data)
	p.waited += time.Since(began)
	p.left -= n
	return n, err
}
