package nfs

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// maxPath is the longest path that MOUNT takes (RFC 1813 §5.1.4).
const maxPath = 1024

// maxName is the longest name or link target that is accepted from a server;
// servers that we know allow 255 and 1023 bytes.
const maxName = 4096

// Target names a directory on a server.
type Target struct {
	Host string // a name or an address; IPv6 without brackets
	Path string // absolute and clean; an export or a directory below one

	Port      int // of the NFS program; 0 asks the server's rpcbind
	MountPort int // of the MOUNT program; 0 asks the server's rpcbind
}

// ParseTarget reads nfs://host/path[?port=N][&mountport=N]. The path is
// percent-decoded. What it does not know it refuses, and the error says what
// to write instead.
func ParseTarget(s string) (Target, error) {
	fail := func(format string, args ...any) (Target, error) {
		return Target{}, fmt.Errorf("%q: %s", s, fmt.Sprintf(format, args...))
	}
	u, err := url.Parse(s)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err // without the URL, which fail adds
		}
		return fail("%v", err)
	}
	switch {
	case u.Scheme != "nfs" || u.Opaque != "" || !strings.HasPrefix(strings.ToLower(s), "nfs://"):
		return fail("want nfs://host/path")
	case u.User != nil:
		return fail("NFS has no user name or password; access is the export's rule on the server")
	case u.Hostname() == "":
		return fail("no host; want nfs://host/path")
	case strings.HasSuffix(u.Host, ":") || u.Port() != "":
		return fail("the port goes behind the path: nfs://%s/path?port=%s", u.Hostname(), u.Port())
	case strings.ContainsRune(s, '#'):
		return fail("what follows # is not used; write %%23 for a # in the path")
	}
	t := Target{Host: u.Hostname()}
	if t.Path, err = cleanPath(u.Path); err != nil {
		return fail("%v", err)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail("%v", err)
	}
	for key, values := range query {
		var port *int
		switch key {
		case "port":
			port = &t.Port
		case "mountport":
			port = &t.MountPort
		default:
			return fail("unknown %q; only port and mountport may be given", key)
		}
		n, err := strconv.ParseUint(values[0], 10, 16)
		if len(values) > 1 || err != nil || n == 0 {
			return fail("%s needs one number from 1 to 65535", key)
		}
		*port = int(n)
	}
	return t, nil
}

// cleanPath checks a path and drops a slash at its end.
func cleanPath(p string) (string, error) {
	if p == "" {
		return "", fmt.Errorf("no path; want nfs://host/path")
	}
	if len(p) > maxPath {
		return "", fmt.Errorf("a path of %d bytes; MOUNT takes %d", len(p), maxPath)
	}
	if p == "/" {
		return p, nil
	}
	p = strings.TrimSuffix(p, "/")
	for _, name := range strings.Split(p[1:], "/") {
		if name == "" || name == "." || name == ".." || strings.ContainsRune(name, 0) {
			return "", fmt.Errorf("the path has a component %q", name)
		}
	}
	return p, nil
}

// String returns the target as ParseTarget reads it.
func (t Target) String() string {
	host := t.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	query := url.Values{}
	if t.Port != 0 {
		query.Set("port", strconv.Itoa(t.Port))
	}
	if t.MountPort != 0 {
		query.Set("mountport", strconv.Itoa(t.MountPort))
	}
	u := url.URL{Scheme: "nfs", Host: host, Path: t.Path, RawQuery: query.Encode()}
	return u.String()
}
