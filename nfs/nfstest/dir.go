package nfstest

import (
	"slices"
	"sort"
)

// Cookies of "." and "..", and of the first name.
const (
	cookieSelf   = 1
	cookieParent = 2
	cookieFirst  = 3
)

// dirent is a name in a directory.
type dirent struct {
	name    string
	node    *node
	cookie  uint64
	removed bool
}

// directory is a directory's names, in the order in which they were made; a
// cookie stays valid whatever happens to other names.
type directory struct {
	byName  map[string]*dirent
	order   []*dirent // by cookie; some are removed
	next    uint64    // cookie
	changes uint64    // of the set of names
}

func newDirectory() *directory {
	return &directory{byName: make(map[string]*dirent), next: cookieFirst}
}

func (d *directory) add(name string, n *node) {
	e := &dirent{name: name, node: n, cookie: d.next}
	d.next++
	d.changes++
	d.byName[name] = e
	d.order = append(d.order, e)
}

func (d *directory) remove(name string) {
	e := d.byName[name]
	delete(d.byName, name)
	e.removed = true
	d.changes++
	if len(d.order) > 16 && len(d.order) > 2*len(d.byName) {
		d.order = slices.DeleteFunc(d.order, func(e *dirent) bool { return e.removed })
	}
}

// after calls fn for the entries behind a cookie until fn returns false. It
// tells whether the end was reached.
func (d *directory) after(self *node, cookie uint64, fn func(*dirent) bool) bool {
	for _, e := range []*dirent{{name: ".", node: self, cookie: cookieSelf}, {name: "..", node: self.parent, cookie: cookieParent}} {
		if e.cookie > cookie && !fn(e) {
			return false
		}
	}
	i := sort.Search(len(d.order), func(i int) bool { return d.order[i].cookie > cookie })
	for _, e := range d.order[i:] {
		if !e.removed && !fn(e) {
			return false
		}
	}
	return true
}
