package proxy

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// query is a URL's that makes the service answer with headers.
func query(headers ...string) string {
	q := "?"
	for _, h := range headers {
		q += "h=" + h + "&"
	}
	return q
}

func TestWhatIsCached(t *testing.T) {
	f := newFarm(t, "proxy1")
	p := f.Host("proxy1")
	f.render(t, service("wp", 8081, "site=wp.example.edu", "cache=wordpress"), service("dru", 8082, "site=dru.example.edu", "cache=drupal"),
		service("files", 8083, "site=files.example.edu", "cache=static"), service("app", 8084, "site=app.example.edu"))
	for _, n := range []string{"wp", "dru", "files", "app"} {
		f.certify(t, p, n+".example.edu")
	}
	f.mustApply(t, p)

	const public, cookie = "Cache-Control:public,max-age=3600", "Set-Cookie:a=b"
	type args = []string
	get := func(cookies string) args { return args{"-H", "Cookie: " + cookies} }
	for i, c := range []struct {
		site, path string
		fill, ask  args // the first request, and the one whose answer counts
		want       string
	}{
		{"wp", "/post", nil, nil, "HIT"},
		{"wp", "/post", nil, args{"--http1.1"}, "HIT"},
		{"wp", "/post", args{"-I"}, nil, "HIT"},
		{"wp", "/post", nil, args{"-H", "Cache-Control: no-cache"}, "HIT"},
		{"wp", "/wp-content/themes/x/style.css", nil, get("_ga=1; cookie_notice=1"), "HIT"},
		{"wp", "/post", nil, get("_ga=1; wordpress_logged_in_0f=alice"), "BYPASS"},
		{"wp", "/post", nil, get("wordpress_sec_0f=alice"), "BYPASS"},
		{"wp", "/post", nil, get("wp-postpass_0f=x"), "BYPASS"},
		{"wp", "/post", nil, get("comment_author_0f=alice"), "BYPASS"},
		{"wp", "/post", nil, get("woocommerce_items_in_cart=1"), "BYPASS"},
		{"wp", "/post", nil, get("wp_woocommerce_session_0f=x"), "BYPASS"},
		{"wp", "/post", nil, args{"--http1.1", "-H", "Cookie: a=b", "-H", "Cookie: wordpress_logged_in_0f=x"}, "BYPASS"},
		{"wp", "/post", nil, args{"-u", "alice:secret"}, "BYPASS"},
		{"wp", "/post", get("wordpress_logged_in_0f=alice"), nil, "MISS"},
		{"wp", "/post", args{"-u", "alice:secret"}, nil, "MISS"},
		{"wp", "/post", args{"-d", "x=y"}, nil, "MISS"},
		{"wp", "/post", nil, args{"-d", "x=y"}, "BYPASS"},
		{"wp", "/wp-admin/", nil, nil, "BYPASS"},
		{"wp", "/blog/wp-admin/admin-ajax.php", nil, nil, "BYPASS"},
		{"wp", "/wp-login.php", nil, nil, "BYPASS"},
		{"wp", "/xmlrpc.php", nil, nil, "BYPASS"},
		{"wp", "/wp-admin-is-a-post", nil, nil, "HIT"},
		{"wp", "/?p=1&preview=true", nil, nil, "BYPASS"},
		{"wp", "/?preview_id=1", nil, nil, "BYPASS"},
		{"wp", "/shop/cart/", nil, nil, "BYPASS"},
		{"wp", "/post" + query(cookie), nil, nil, "MISS"},
		{"wp", "/post" + query(cookie, public), nil, nil, "MISS"},
		{"wp", "/post" + query("Cache-Control:no-cache,must-revalidate,max-age=0"), nil, nil, "MISS"},
		{"wp", "/post" + query("Cache-Control:private"), nil, nil, "MISS"},
		{"wp", "/post" + query("X-Accel-Redirect:/.snapshot/x"), nil, nil, "HIT"},
		{"dru", "/node/1", nil, nil, "MISS"}, // Drupal says so itself
		{"dru", "/node/1" + query(public), nil, nil, "HIT"},
		{"dru", "/node/1" + query(public), nil, get("SSESS0f1e=x"), "BYPASS"},
		{"dru", "/node/1" + query(public), nil, get("a=b; SESS0f1e=x"), "BYPASS"},
		{"dru", "/node/1" + query(public), nil, get("NO_CACHE=Y"), "BYPASS"},
		{"dru", "/node/1" + query(public), nil, get("ASSESS=x"), "HIT"},
		{"dru", "/node/1" + query(public), get("SSESS0f1e=x"), nil, "MISS"},
		{"dru", "/user/login" + query(public), nil, nil, "BYPASS"},
		{"dru", "/de/node/1/edit" + query(public), nil, nil, "BYPASS"},
		{"dru", "/admin/config" + query(public), nil, nil, "BYPASS"},
		{"dru", "/administration" + query(public), nil, nil, "HIT"},
		{"files", "/a.zip", nil, get("wordpress_logged_in_0f=x"), "HIT"},
		{"files", "/a.zip", args{"-u", "alice:secret"}, nil, "MISS"},
		{"files", "/a.zip" + query("Cache-Control:no-store"), nil, nil, "MISS"},
		{"app", "/" + query(public), nil, nil, ""},
	} {
		// Each row has a page of its own.
		sep := "?"
		if c.path[len(c.path)-1] == '&' {
			sep = ""
		} else if len(c.path) > 2 && c.path[1] == '?' {
			sep = "&"
		}
		url := fmt.Sprintf("https://%s.example.edu%s%srow=%d", c.site, c.path, sep, i)
		require.Equal(t, 200, f.get(t, p, url, c.fill...).Status, url)
		a := f.get(t, p, url, c.ask...)
		require.Equal(t, 200, a.Status, url)
		require.Equal(t, c.want, a.Headers.Get("X-Cache"), "%s after %v with %v", url, c.fill, c.ask)
	}

	// One name's page is not another's; http is never cached.
	f.get(t, p, "https://wp.example.edu/same")
	require.Equal(t, "HIT", f.get(t, p, "https://wp.example.edu/same").Headers.Get("X-Cache"))
	require.Equal(t, "files.example.edu", f.get(t, p, "https://files.example.edu/same").Host)
}

// everywhere sets the mode of the service on all nodes.
func (f *farm) everywhere(t *testing.T, mode string) {
	t.Helper()
	for _, n := range []string{"node1", "node2", "node3"} {
		control(t, f.Host(n), "mode="+mode)
	}
}

// An old page is better than none: while the service answers errors, while it
// waits for the filer, and while there is no node.
func TestStalePagesWhileTheServiceIsAway(t *testing.T) {
	t.Parallel() // it waits most of the time
	f := newFarm(t, "proxy1")
	p := f.Host("proxy1")
	f.render(t, service("wp", 8081, "site=wp.example.edu", "cache=wordpress"))
	f.certify(t, p, "wp.example.edu")
	f.mustApply(t, p)

	// Pages that are good for a second, and are then out of date.
	page := func(name string) string {
		return "https://wp.example.edu/" + name + query("Cache-Control:max-age=1")
	}
	outOfDate := func(url string) {
		t.Helper()
		f.everywhere(t, "")
		fresh := f.get(t, p, url)
		require.Equal(t, 200, fresh.Status)
		f.get(t, p, url)
		lab.Eventually(t, url+" is out of date", func() error {
			a, err := f.tryGet(p, url)
			if s := a.Headers.Get("X-Cache"); err == nil && s != "STALE" && s != "UPDATING" && s != "EXPIRED" {
				err = fmt.Errorf("%s", s)
			}
			return err
		})
	}
	for _, mode := range []string{"fail", "hang", "gone"} {
		url := page(mode)
		outOfDate(url)
		if mode == "gone" {
			for _, n := range []string{"node1", "node2", "node3"} {
				require.NoError(t, f.Host(n).Cut())
			}
		} else {
			f.everywhere(t, mode)
		}
		for _, version := range []string{"--http2", "--http1.1", "--http2", "--http1.1"} {
			lab.Eventually(t, "stale", func() error {
				// One request, however many: it must not wait for the service.
				a, err := f.tryGet(p, url, version, "--max-time", "20")
				if s := a.Headers.Get("X-Cache"); err == nil && s != "STALE" && s != "UPDATING" {
					err = fmt.Errorf("%d %s", a.Status, s)
				}
				return err
			})
			a := f.get(t, p, url, version, "--max-time", "20")
			require.Equal(t, 200, a.Status, mode)
			require.Contains(t, []string{"STALE", "UPDATING"}, a.Headers.Get("X-Cache"), mode)
			require.Contains(t, a.Body, mode)
		}
	}
	for _, n := range []string{"node1", "node2", "node3"} {
		require.NoError(t, f.Host(n).Heal())
	}
	f.everywhere(t, "")
	// And then the new one comes by itself.
	lab.Eventually(t, "a new page", func() error {
		a, err := f.tryGet(p, page("fail"))
		if err == nil && a.Headers.Get("X-Cache") != "HIT" {
			err = fmt.Errorf("%s", a.Headers.Get("X-Cache"))
		}
		return err
	})
}
