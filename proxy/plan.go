package proxy

import (
	"cmp"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Plan compares dir with what the labels say. What is wrong is one service's fault: the
// other sites are as their labels say, and what dir has of that service stays as it is,
// names and nodes included, until its labels are right or the service is gone.
func Plan(dir string, services []Service, nodes []netip.Addr) (c Changes, wrong LabelErrors, err error) {
	have, err := standing(dir)
	if err != nil {
		return c, nil, err
	}
	sites, wrong := choose(services, have)
	var kept []File
	for _, f := range have {
		if f.ours && wrong.of(f.service) {
			kept = append(kept, f.File)
		}
	}
	c, err = Compare(dir, Render(sites, nodes, kept...))
	return c, wrong, err
}

// file is a file of sites/ as it is.
type file struct {
	File
	ours    bool
	service string   // of which it is, if it is ours
	names   []string // of its servers
}

var (
	serviceLine = regexp.MustCompile(`(?m)^# Service (\S+)\. Change`)
	serverNames = regexp.MustCompile(`(?m)^\s*server_name\s+([^;]+);`)
)

// standing reads the files of sites/ that NGINX would.
func standing(dir string) (out []file, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, "sites"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".conf") {
			continue
		}
		f := file{File: File{Name: "sites/" + e.Name()}}
		if !e.Type().IsRegular() {
			out = append(out, f)
			continue
		}
		if f.Data, err = os.ReadFile(filepath.Join(dir, f.Name)); err != nil {
			return nil, err
		}
		if f.ours = isOurs(f.Name, f.Data); f.ours {
			if m := serviceLine.FindSubmatch(f.Data); m != nil {
				f.service = string(m[1])
			}
		}
		for _, m := range serverNames.FindAllSubmatch(f.Data, -1) {
			f.names = append(f.names, strings.Fields(string(m[1]))...)
		}
		out = append(out, f)
	}
	return out, err
}

// of tells whether something is wrong with a service.
func (e LabelErrors) of(service string) bool {
	return slices.ContainsFunc(e, func(l *LabelError) bool { return l.Service == service })
}

// candidate is a service whose labels are right by themselves.
type candidate struct {
	*reader
	site Site
}

// choose returns the sites of the services whose labels are right, and what is wrong
// with the others. A name that two services want is the one's whose file has it
// already; else the older one's. So nobody takes another site's name by a label.
func choose(services []Service, have []file) (sites []Site, wrong LabelErrors) {
	services = slices.SortedFunc(slices.Values(services), func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
	var right []candidate
	for _, s := range services {
		r := &reader{service: s}
		site, ok := r.site()
		if wrong = append(wrong, r.wrong...); ok {
			right = append(right, candidate{r, site})
		}
	}
	// A service that is refused keeps the names of its file, which may refuse another.
	for refused := true; refused; {
		refused = false
		for _, c := range right {
			c.checkNames(right, have, wrong)
			refused = refused || len(c.wrong) > 0
		}
		right = slices.DeleteFunc(right, func(c candidate) bool {
			wrong = append(wrong, c.wrong...)
			return len(c.wrong) > 0
		})
	}
	for _, c := range right {
		sites = append(sites, c.site)
	}
	slices.SortFunc(sites, func(a, b Site) int { return cmp.Compare(a.Name(), b.Name()) })
	slices.SortStableFunc(wrong, func(a, b *LabelError) int { return cmp.Compare(a.Service, b.Service) })
	return sites, wrong
}

// checkNames refuses the names of c that another site has.
func (c candidate) checkNames(right []candidate, have []file, wrong LabelErrors) {
	for _, name := range c.site.Names {
		for _, f := range have {
			switch its := slices.Contains(f.names, name); {
			case !f.ours && f.Name == c.site.File() && name == c.site.Name():
				c.refuse("berth.site", "move it away or rename it", "%s is there already, and 'berth proxy render' did not write it", f.Name)
			case !f.ours && its:
				c.refuse("berth.site", "take the name out of one of the two", "the file %s has the name %s already", f.Name, name)
			case its && f.service != c.service.Name && wrong.of(f.service):
				c.refuse("berth.site", "correct that service's labels first, or take the name out here", "service %s has the name %s already", f.service, name)
			}
		}
		for _, other := range right {
			if other.service.Name != c.service.Name && slices.Contains(other.site.Names, name) && c.after(other, name, have) {
				c.refuse("berth.site", "take the name out of one of the two", "service %s has the name %s already", other.service.Name, name)
			}
		}
	}
}

// after tells whether the other service comes before c for the name.
func (c candidate) after(other candidate, name string, have []file) bool {
	for _, f := range have {
		if f.ours && slices.Contains(f.names, name) && (f.service == c.service.Name || f.service == other.service.Name) {
			return f.service == other.service.Name
		}
	}
	return cmp.Or(other.service.Created.Compare(c.service.Created), cmp.Compare(other.service.Name, c.service.Name)) < 0
}
