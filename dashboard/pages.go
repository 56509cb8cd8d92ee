package dashboard

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"html/template"
	"net/http"
	"path"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/text"
)

//go:embed pages assets
var files embed.FS

// pages are the templates and what they load.
type pages struct {
	templates map[string]*template.Template
	sum       string // of the assets: they are kept by browsers for good
	zone      *time.Location
	version   string
	readable  bool // files may be downloaded
}

// page is what every template gets.
type page struct {
	Title string
	Sum   string // of the world when it was looked at; "": the page is not live
	Now   time.Time
	Zone  string
	Body  any

	pages *pages
}

func newPages(cfg Config) (*pages, error) {
	p := &pages{templates: map[string]*template.Template{}, zone: cfg.Zone, version: cfg.Version, readable: !cfg.NoDownload}
	h := fnv.New64a()
	for _, name := range []string{"style.css", "app.js", "icon.svg"} {
		data, err := files.ReadFile("assets/" + name)
		if err != nil {
			return nil, err
		}
		_, _ = h.Write(data)
	}
	p.sum = fmt.Sprintf("%016x", h.Sum64())
	base, err := template.New("layout.html").Funcs(p.funcs()).ParseFS(files, "pages/layout.html", "pages/parts.html")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"overview", "node", "volume", "snapshot", "diff", "failure"} {
		t, err := template.Must(base.Clone()).ParseFS(files, "pages/"+name+".html")
		if err != nil {
			return nil, err
		}
		p.templates[name] = t
	}
	return p, nil
}

func (p *pages) funcs() template.FuncMap {
	return template.FuncMap{
		"size": size, "count": count, "shown": shown, "comma": comma, "name": name, "said": said,
		"volumeAddress": volumeAddress, "snapshotAddress": snapshotAddress, "nodeAddress": nodeAddress,
		"age": age, "seconds": seconds,
		"asset":   func(name string) string { return "/assets/" + p.sum + "/" + name },
		"version": func() string { return p.version },
		"when":    func(t time.Time) string { return t.In(p.zone).Format("2006-01-02 15:04") },
		"clock":   func(t time.Time) string { return t.In(p.zone).Format("15:04:05") },
		"minute":  func(t time.Time) string { return t.In(p.zone).Format("15:04") },
		"comma64": humanize.Comma,
		"tabOf":   func(tab string) string { return map[string]string{"diff": "/diff"}[tab] },
		"utc":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"ago": func(t time.Time) string {
			if ahead(t, time.Now()) {
				return "in the future"
			}
			return age(time.Since(t))
		},
		"past": func(t time.Time) string {
			if ahead(t, time.Now()) {
				return ""
			}
			return " ago"
		},
		"list": func(v ...any) []any { return v },
	}
}

// asset answers the style sheet and the script.
func (p *pages) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	data, err := files.ReadFile("assets/" + name)
	if err != nil || types[path.Ext(name)] == "" {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", types[path.Ext(name)])
	if r.PathValue("sum") == p.sum {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// show answers with a page, or with its live part alone if that is asked for.
func (s *Server) show(w http.ResponseWriter, r *http.Request, code int, name string, p page) {
	t := "layout.html"
	if r.URL.Query().Get("part") == "live" {
		t = "live"
	}
	p.Now, p.pages = time.Now().In(s.cfg.Zone), s.pages
	p.Zone = p.Now.Format("MST")
	var out bytes.Buffer
	// Whatever a template prints and wherever, no browser gets a control character:
	// neither to show nor to copy.
	if err := s.pages.templates[name].ExecuteTemplate(&text.Writer{W: &out}, t, p); err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(out.Bytes())
}

// failure is a page that could not be made.
type failure struct{ Reason, Hint string }

func (s *Server) fail(w http.ResponseWriter, r *http.Request, code int, reason, hint string) {
	s.show(w, r, code, "failure", page{Title: http.StatusText(code), Body: failure{reason, hint}})
}

// failed answers with an error of berth's.
func (s *Server) failed(w http.ResponseWriter, r *http.Request, err error) {
	reason, hint := words(err)
	s.fail(w, r, codeOf(err), reason, hint)
}

func codeOf(err error) int {
	f := (*plugin.Failure)(nil)
	if !errors.As(err, &f) {
		return http.StatusBadGateway
	}
	codes := map[problem.Kind]int{problem.Invalid: http.StatusBadRequest, problem.NotFound: http.StatusNotFound, problem.Unreachable: http.StatusServiceUnavailable}
	if code := codes[f.Kind]; code != 0 {
		return code
	}
	return http.StatusBadGateway
}

// Readable tells the templates whether files may be downloaded.
func (p page) Readable() bool { return p.pages.readable }

// Live tells whether the page stays true by itself.
func (p page) Live() bool { return p.Sum != "" }

func comma(n int) string { return humanize.Comma(int64(n)) }
