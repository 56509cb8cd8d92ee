package doctor

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Site asks a web site for files that it must not serve: old versions have old
// passwords and old holes. snapshot is the name of a snapshot, "" if none is
// known.
func Site(ctx context.Context, site, snapshot string) Finding {
	u, err := url.Parse(site)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fail("berth doctor --url https://www.example.edu", "%q is no address of a web site", site)
	}
	paths := []string{"/.snapshot/"}
	if snapshot != "" {
		paths = append(paths, "/.snapshot/"+url.PathEscape(snapshot)+"/")
	}
	codes := make([]int, len(paths))
	for i, p := range paths {
		if codes[i], err = statusOf(ctx, site, p); err != nil {
			return warn("curl -I "+site, "%s does not answer: %v", site, err)
		}
	}
	anything, err := statusOf(ctx, site, "/.berth-"+rand.Text()+"/")
	if err != nil {
		return warn("curl -I "+site, "%s does not answer: %v", site, err)
	}
	return judgeSite(site, paths, codes, anything)
}

// judgeSite judges the answers to the paths, and to a path that cannot exist.
func judgeSite(site string, paths []string, codes []int, anything int) Finding {
	var served, odd, refused []string
	for i, p := range paths {
		text := fmt.Sprintf("%s: %d", p, codes[i])
		switch c := codes[i]; {
		case c >= 200 && c < 300:
			served = append(served, text)
		case c >= 300 && c < 400, c == 401, c == 403, c == 404, c == 410:
			refused = append(refused, text)
		default:
			odd = append(odd, text)
		}
	}
	switch {
	case served != nil && anything >= 200 && anything < 300:
		return warn("look at one yourself: curl "+site+paths[0], "%s answers %d to any name, so nobody can tell", site, anything)
	case served != nil:
		return fail(`refuse names that begin with a dot: nginx 'location ~ /\. { deny all; }', Apache 'RedirectMatch 404 /\.'`, "%s serves old versions of its files: %s", site, some(served))
	case odd != nil:
		return warn("curl -I "+site+paths[0], "%s answers neither yes nor no: %s", site, some(odd))
	}
	return ok("%s refuses it: %s", site, some(refused))
}

// statusOf is the answer's code. Only a redirection to the same path, as from
// http to https, is followed.
func statusOf(ctx context.Context, site, path string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(site, "/")+path, nil)
	if err != nil {
		return 0, err
	}
	c := http.Client{CheckRedirect: func(to *http.Request, via []*http.Request) error {
		if to.URL.Path != r.URL.Path || len(via) > 5 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	resp, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
