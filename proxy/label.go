package proxy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/agext/levenshtein"
)

// A Service is a service of the swarm, as far as a proxy needs to know it.
type Service struct {
	Name   string
	Labels map[string]string // the service's own, not its containers'
	Ports  []Port
	// Created decides between two services of one name.
	Created time.Time
}

// A Port is a TCP port that a service publishes.
type Port struct {
	Published uint16 // on every node
	Target    uint16 // in the container
}

// A Label describes one label of a site. Default is a description if it is not
// a value.
type Label struct {
	Name, Values, Default, About string
}

// LabelTable lists all labels, as docs/proxy.md prints them.
var LabelTable = []Label{
	{"berth.site", "host names", "", "makes the service a site. Several are separated by spaces or commas; the first is canonical: it names the file and the certificate"},
	{"berth.port", "1–65535", "its only one", "the published port, needed where the service publishes several"},
	{"berth.cache", "wordpress, drupal, static, none", "none", "what the proxy may keep"},
	{"berth.certificate", "a directory's name", "canonical name", "below `/etc/nginx/certificates`, if not the canonical name"},
	{"berth.access", "public, campus", "public", "campus: only the addresses of `local/campus.conf`, 403 for others"},
}

// values are the words that a label may have.
func (l Label) values() []string { return strings.Split(l.Values, ", ") }

// LabelError says why a label is wrong.
type LabelError struct {
	Service string `json:"service"`
	Label   string `json:"label"`
	Value   string `json:"value"`
	Reason  string `json:"reason"`
	Hint    string `json:"hint"` // what to write
}

func (e *LabelError) Error() string {
	return fmt.Sprintf("service %s: label %s=%q: %s", e.Service, e.Label, e.Value, e.Reason)
}

// LabelErrors are all wrong labels, by service and label.
type LabelErrors []*LabelError

func (e LabelErrors) Error() string {
	var lines []string
	for _, one := range e {
		lines = append(lines, one.Error())
	}
	return strings.Join(lines, "\n")
}

// A Site is a service with correct labels.
type Site struct {
	Service     string
	Names       []string // the canonical one first
	Port        uint16
	Cache       string
	Certificate string
	Access      string
}

// Name is the canonical host name.
func (s Site) Name() string { return s.Names[0] }

// File is the site's include, below the directory that is rendered into.
func (s Site) File() string { return "sites/" + s.Name() + ".conf" }

// Sites reads the labels of services, and returns the sites of those whose labels are
// right. The others, or nil, are in the error, LabelErrors.
func Sites(services []Service) ([]Site, error) {
	sites, wrong := choose(services, nil)
	if len(wrong) > 0 {
		return sites, wrong
	}
	return sites, nil
}

// reader reads the labels of one service.
type reader struct {
	service Service
	wrong   LabelErrors
}

func (r *reader) refuse(label, hint, format string, args ...any) {
	r.wrong = append(r.wrong, &LabelError{Service: r.service.Name, Label: label, Value: r.service.Labels[label], Reason: fmt.Sprintf(format, args...), Hint: hint})
}

// serviceRule is what Docker accepts as the name of a service.
var serviceRule = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)

// site returns the service's site; ok is false if the service is no site or has
// wrong labels.
func (r *reader) site() (s Site, ok bool) {
	labelled := r.known()
	if len(r.wrong) > 0 || !labelled {
		return s, false
	}
	if !serviceRule.MatchString(r.service.Name) {
		r.refuse("berth.site", "give the service a name of letters, digits and . _ -", "no service of Docker's has such a name")
		return s, false
	}
	s = Site{Service: r.service.Name, Names: r.names(), Port: r.port(), Cache: r.word("berth.cache"), Access: r.word("berth.access")}
	s.Certificate = r.certificate(s.Names)
	return s, len(r.wrong) == 0
}

// known tells whether the service has labels of ours. It refuses a label that
// looks like a misspelt one; other labels that begin with "berth." belong to
// somebody else.
func (r *reader) known() bool {
	var names []string
	for _, l := range LabelTable {
		names = append(names, l.Name)
	}
	labelled := ""
	for _, label := range slices.Sorted(maps.Keys(r.service.Labels)) {
		if slices.Contains(names, label) {
			labelled = label
			continue
		}
		if near := nearest(label, names); strings.HasPrefix(label, "berth.") && levenshtein.Distance(label, near, nil) <= 2 {
			r.refuse(label, fmt.Sprintf("write %s=%s", near, r.service.Labels[label]), "there is no such label")
		}
	}
	if _, ok := r.service.Labels["berth.site"]; !ok && labelled != "" {
		r.refuse(labelled, "add berth.site=www.example.edu, or take this label away", "without the label berth.site the service is no site")
	}
	return labelled != ""
}

// nameRule is a host name with a dot in it, as DNS and NGINX take it alike:
// no wildcard, no underscore, no address.
var nameRule = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// maxName is the longest host name, RFC 1035 §2.3.4, with the file's ".conf"
// short enough for a filesystem.
const maxName = 250

func (r *reader) names() (names []string) {
	const label = "berth.site"
	for _, name := range strings.FieldsFunc(r.service.Labels[label], func(c rune) bool { return c == ',' || unicode.IsSpace(c) }) {
		low := strings.ToLower(strings.TrimSuffix(name, "."))
		switch {
		case slices.Contains(names, name):
			r.refuse(label, "write it once", "%s is named twice", name)
		case nameRule.MatchString(name) && len(name) <= maxName:
			names = append(names, name)
		case nameRule.MatchString(low) && len(low) <= maxName:
			r.refuse(label, "write "+low, "%q is no host name in lower case without a dot at the end", name)
		case strings.HasPrefix(name, "*."):
			r.refuse(label, "write every name, separated by spaces", "%q: a wildcard would take the names of later services", name)
		case strings.ContainsFunc(name, func(c rune) bool { return c > 127 }):
			r.refuse(label, "write it as DNS has it, xn--…: 'idn2 NAME' prints that", "%q is not in ASCII", name)
		default:
			r.refuse(label, "write a full name such as www.example.edu: no scheme, port or path", "%q is no host name", name)
		}
	}
	if len(names) == 0 && len(r.wrong) == 0 {
		r.refuse(label, "write a host name such as www.example.edu", "there is no name in it")
	}
	return names
}

func (r *reader) port() uint16 {
	const label = "berth.port"
	value, given := r.service.Labels[label]
	published := r.published()
	switch {
	case len(published) == 0:
		r.refuse(label, "publish one in the stack file: ports: [\"8080:80\"]", "the service publishes no TCP port")
	case !given && len(published) == 1:
		return published[0]
	case !given:
		r.refuse(label, "write "+label+"= with one of "+join(published), "the service publishes several ports")
	}
	if !given || len(published) == 0 {
		return 0
	}
	// What is accepted is one of the published numbers, spelled as we would.
	n, err := strconv.ParseUint(value, 10, 16)
	if err == nil && strconv.FormatUint(n, 10) == value && slices.Contains(published, uint16(n)) {
		return uint16(n)
	}
	hint := "write " + label + "= with one of " + join(published)
	for _, p := range r.service.Ports {
		if p.Target == uint16(n) && err == nil {
			hint = fmt.Sprintf("write %s=%d: that is where the container's port %d is published", label, p.Published, n)
		}
	}
	r.refuse(label, hint, "the service does not publish it")
	return 0
}

// published are the ports of the service on the nodes, in order, each once.
func (r *reader) published() (out []uint16) {
	for _, p := range r.service.Ports {
		if p.Published != 0 {
			out = append(out, p.Published)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func join(ports []uint16) string {
	var words []string
	for _, p := range ports {
		words = append(words, strconv.Itoa(int(p)))
	}
	return strings.Join(words, ", ")
}

// word reads a label that has one of a few values.
func (r *reader) word(label string) string {
	l := LabelTable[slices.IndexFunc(LabelTable, func(l Label) bool { return l.Name == label })]
	value, given := r.service.Labels[label]
	if !given {
		return l.Default
	}
	if slices.Contains(l.values(), value) {
		return value
	}
	r.refuse(label, fmt.Sprintf("did you mean %s=%s? It has one of: %s", label, nearest(value, l.values()), l.Values), "there is no such value")
	return ""
}

// certificateRule is the name of one directory, without a leading dot.
var certificateRule = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9._-]{0,248}[a-z0-9])?$`)

func (r *reader) certificate(names []string) string {
	const label = "berth.certificate"
	value, given := r.service.Labels[label]
	if !given && len(names) > 0 {
		return names[0]
	}
	if given && !certificateRule.MatchString(value) {
		r.refuse(label, "write the name of a directory below /etc/nginx/certificates: letters a-z, digits and . _ -", "it is no name of a certificate")
	}
	return value
}

func nearest(s string, candidates []string) string {
	s = strings.ToLower(strings.ReplaceAll(s, "_", "-"))
	return slices.MinFunc(candidates, func(a, b string) int {
		return levenshtein.Distance(s, a, nil) - levenshtein.Distance(s, b, nil)
	})
}
