package proxy

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite testdata")

// service is one that publishes 8081 for the container's port 80, with labels
// as LABEL=VALUE, without "berth.".
func service(name string, labels ...string) Service {
	s := Service{Name: name, Labels: map[string]string{}, Ports: []Port{{Published: 8081, Target: 80}}}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		s.Labels["berth."+k] = v
	}
	return s
}

func TestLabelsThatAreWrongSayWhatToWrite(t *testing.T) {
	two := service("two", "site=www.example.edu")
	two.Ports = append(two.Ports, Port{Published: 9443, Target: 443})
	with := func(s Service, label, value string) Service {
		s.Labels = map[string]string{"berth.site": s.Labels["berth.site"], label: value}
		return s
	}
	none := service("none", "site=www.example.edu")
	none.Ports = nil
	for _, c := range []struct {
		service      Service
		reason, hint string
	}{
		{service("s", "site="), `service s: label berth.site="": there is no name in it`, "write a host name such as www.example.edu"},
		{service("s", "site=WWW.Example.edu"), `"WWW.Example.edu" is no host name in lower case without a dot at the end`, "write www.example.edu"},
		{service("s", "site=www.example.edu."), "is no host name in lower case without a dot at the end", "write www.example.edu"},
		{service("s", "site=*.example.edu"), "a wildcard would take the names", "write every name"},
		{service("s", "site=müller.example.edu"), "is not in ASCII", "xn--"},
		{service("s", "site=https://www.example.edu/"), "is no host name", "no scheme, port or path"},
		{service("s", "site=localhost"), "is no host name", "full name"},
		{service("s", "site=10.0.0.1"), "is no host name", "full name"},
		{service("s", "site=a_b.example.edu"), "is no host name", "full name"},
		{service("s", "site=www.example.edu;}"), "is no host name", "full name"},
		{service("s", "site=www.example.edu\nserver_name"), "is no host name", "full name"},
		{service("s", "site=a.example.edu a.example.edu"), "a.example.edu is named twice", "write it once"},
		{service("s", "site=www.example.edu", "cache=wordpres"), `label berth.cache="wordpres": there is no such value`, "did you mean berth.cache=wordpress? It has one of: wordpress, drupal, static, none"},
		{service("s", "site=www.example.edu", "access=Campus"), "there is no such value", "berth.access=campus"},
		{service("s", "site=www.example.edu", "certificate=../../shadow"), "it is no name of a certificate", "name of a directory"},
		{service("s", "site=www.example.edu", "certificate="), "it is no name of a certificate", "name of a directory"},
		{service("s", "site=www.example.edu", "cach=none"), `label berth.cach="none": there is no such label`, "write berth.cache=none"},
		{service("s", "sites=www.example.edu"), `there is no such label`, "write berth.site=www.example.edu"},
		{service("s", "cache=none"), "without the label berth.site the service is no site", "add berth.site=www.example.edu"},
		{two, `label berth.port="": the service publishes several ports`, "write berth.port= with one of 8081, 9443"},
		{with(two, "berth.port", "443"), `label berth.port="443": the service does not publish it`, "write berth.port=9443: that is where the container's port 443 is published"},
		{with(two, "berth.port", "08081"), "the service does not publish it", "write berth.port= with one of 8081, 9443"},
		{with(two, "berth.port", "99999999"), "the service does not publish it", "write berth.port= with one of 8081, 9443"},
		{none, "the service publishes no TCP port", "publish one"},
		{with(none, "berth.port", "80"), "the service publishes no TCP port", "publish one"},
	} {
		sites, err := Sites([]Service{service("fine", "site=fine.example.edu"), c.service})
		require.Len(t, sites, 1, "the other one is right")
		all := LabelErrors{}
		require.ErrorAs(t, err, &all, "%v", c.service)
		require.Len(t, all, 1, "%v", err)
		require.ErrorContains(t, err, c.reason)
		require.Contains(t, all[0].Hint, c.hint)
		require.Equal(t, c.service.Name, all[0].Service)
	}
}

func TestTwoServicesWithOneName(t *testing.T) {
	sites, err := Sites([]Service{service("b", "site=b.example.edu a.example.edu"), service("a", "site=a.example.edu")})
	require.Len(t, sites, 1)
	require.Equal(t, "a", sites[0].Service)
	require.EqualError(t, err, `service b: label berth.site="b.example.edu a.example.edu": service a has the name a.example.edu already`)
}

func TestServicesWithoutLabelsOfOursArePassedOver(t *testing.T) {
	other := service("other", "backup=nightly")
	sites, err := Sites([]Service{{Name: "plain"}, other, service("s", "site=b.example.edu,a.example.edu", "backup=nightly", "cache=drupal", "access=campus", "certificate=wild.example.edu")})
	require.NoError(t, err)
	require.Equal(t, []Site{{Service: "s", Names: []string{"b.example.edu", "a.example.edu"}, Port: 8081, Cache: "drupal", Certificate: "wild.example.edu", Access: "campus"}}, sites)
}

// nodes are three, in an order that is not theirs.
var nodes = []netip.Addr{netip.MustParseAddr("10.0.0.12"), netip.MustParseAddr("2001:db8::3"), netip.MustParseAddr("10.0.0.2")}

func TestRenderedFiles(t *testing.T) {
	services := []Service{service("blog", "site=blog.example.edu www.blog.example.edu", "cache=wordpress"),
		service("intranet_web", "site=intranet.example.edu", "access=campus", "certificate=wild.example.edu")}
	sites, err := Sites(services)
	require.NoError(t, err)
	files := Render(sites, nodes)
	for _, f := range files {
		golden := filepath.Join("testdata", filepath.Base(f.Name))
		if *update {
			require.NoError(t, os.WriteFile(golden, f.Data, 0o644))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, string(want), string(f.Data))
	}

	// The order of what comes in is nothing.
	slices.Reverse(services)
	backwards, err := Sites(services)
	require.NoError(t, err)
	require.Equal(t, files, Render(backwards, []netip.Addr{nodes[2], nodes[0], nodes[1], nodes[0]}))
}

// shape is a file of a site with one or two nodes, whatever the labels say.
var shape = regexp.MustCompile(`^# berth proxy render: sites/N\.conf
# Service S\. Change the labels of that, not this file: docs/proxy\.md\.

upstream berth\.N \{
    zone berth\.N 64k;
    server 10\.0\.0\.2:P max_fails=3 fail_timeout=10s;
\}

server \{
    listen 80;
    listen \[::\]:80;
    server_name( N)+;
    include berth\.d/snippets/http\.conf;
\}

server \{
    listen 443 ssl http2;
    listen \[::\]:443 ssl http2;
    server_name( N)+;
    ssl_certificate certificates/C/fullchain\.pem;
    ssl_certificate_key certificates/C/privkey\.pem;
(    include berth\.d/snippets/campus\.conf;
)?    include berth\.d/snippets/denied\.conf;

    location / \{
        include berth\.d/snippets/proxy\.conf;
        include berth\.d/snippets/cache-(wordpress|drupal|static|none)\.conf;
        proxy_pass http://berth\.N;
    \}
\}
$`)

// FuzzLabels: whatever is accepted gives a file of this one shape. The parts
// that come from labels are held to rules written down here once more.
func FuzzLabels(f *testing.F) {
	f.Add("shop_web", "www.example.edu, example.edu", "8081", "wordpress", "www.example.edu", "campus")
	f.Add("s", "a.example.edu;} server {", "8081;", "none;", "a/../b", "public;")
	f.Add("s", "xn--mller-kva.example.edu\nb.example.edu", "08081", "", "..", "")
	f.Add("s\n}", "a.b", "8081", "static", "a..b", "public")
	dns := regexp.MustCompile(`^[a-z0-9.-]{3,250}$`)
	f.Fuzz(func(t *testing.T, name, site, port, cache, certificate, access string) {
		s := Service{Name: name, Labels: map[string]string{"berth.site": site, "berth.port": port, "berth.cache": cache, "berth.certificate": certificate, "berth.access": access},
			Ports: []Port{{Published: 8081, Target: 80}}}
		sites, err := Sites([]Service{s})
		if err != nil {
			require.Empty(t, sites)
			for _, e := range err.(LabelErrors) {
				require.NotEmpty(t, e.Hint)
			}
			return
		}
		for _, n := range sites[0].Names {
			require.Regexp(t, dns, n)
			require.NotContains(t, n, "..")
		}
		require.Regexp(t, `^[a-z0-9][a-z0-9._-]*$`, certificate)
		require.Regexp(t, `^[a-zA-Z0-9._-]+$`, name)
		files := Render(sites, nodes[2:])
		require.Equal(t, "sites/"+sites[0].Name()+".conf", files[0].Name)
		require.True(t, filepath.IsLocal(files[0].Name))
		require.True(t, isOurs(files[0].Name, files[0].Data))
		require.Regexp(t, fill(sites[0]), string(files[0].Data))
	})
}

// fill is the shape with the names of one site.
func fill(s Site) *regexp.Regexp {
	var names []string
	for _, n := range s.Names {
		names = append(names, regexp.QuoteMeta(n))
	}
	text := shape.String()
	text = strings.NewReplacer("( N)+", " "+strings.Join(names, " "), `/N\.`, "/"+names[0]+`\.`, `berth\.N`, `berth\.`+names[0],
		"Service S", "Service "+regexp.QuoteMeta(s.Service), "/C/", "/"+regexp.QuoteMeta(s.Certificate)+"/", ":P ", fmt.Sprintf(":%d ", s.Port)).Replace(text)
	return regexp.MustCompile(text)
}

func TestErrorsNameEverythingThatIsWrong(t *testing.T) {
	_, err := Sites([]Service{service("b", "site=x"), service("a", "site=y", "cache=none "), service("c", "site=c.example.edu")})
	var all LabelErrors
	require.True(t, errors.As(err, &all))
	var where []string
	for _, e := range all {
		where = append(where, e.Service+" "+e.Label)
	}
	require.Equal(t, []string{"a berth.site", "a berth.cache", "b berth.site"}, where)
}
