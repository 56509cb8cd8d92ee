package tree

import "slices"

// sharedName is a name whose file has other names, on one side or both. Which
// names are one file is known only when all names are known.
type sharedName struct {
	name   string
	a, b   *Attr // nil where the name does not exist, or is a directory
	diff   *Difference
	silent bool // fn has got the difference already
}

// sharedOf is what links needs to know of a name; nil for nothing. A name that one
// side alone has counts only for an undo, which needs every name.
func (c *comparing) sharedOf(name string, x, y *entryAt) *sharedName {
	a, b := fileAt(x), fileAt(y)
	both := a != nil && b != nil && a.Kind == b.Kind
	if !both && !c.opts.Exact || (a == nil || a.Nlink < 2) && (b == nil || b.Nlink < 2) {
		return nil
	}
	s := &sharedName{name: name}
	if a != nil { // copies: a pointer would keep the whole list
		one := *a
		s.a = &one
	}
	if b != nil {
		one := *b
		s.b = &one
	}
	return s
}

// fileAt is the attributes of an entry, nil for no entry and for a directory.
func fileAt(e *entryAt) *Attr {
	if e == nil || e.attr.Kind == Directory {
		return nil
	}
	return &e.attr
}

// share keeps a name for links. It returns true if links will report the
// difference of the name.
func (c *comparing) share(f finding) bool {
	s := *f.shared
	s.diff = f.diff
	both := s.a != nil && s.b != nil
	s.silent = f.diff != nil && !(c.opts.Exact && both)
	c.shared = append(c.shared, s)
	return both && !s.silent
}

// links reports the names whose files have other names on one side than on the
// other, and the differences that share has kept for it.
func (c *comparing) links(fn func(Difference) error) error {
	of := func(a *Attr) inode {
		if a == nil {
			return inode{}
		}
		return inodeOf(*a)
	}
	var groups [2]map[inode][]*sharedName
	groups[0], groups[1] = map[inode][]*sharedName{}, map[inode][]*sharedName{}
	for i := range c.shared {
		s := &c.shared[i]
		if s.a != nil {
			groups[0][of(s.a)] = append(groups[0][of(s.a)], s)
		}
		if s.b != nil {
			groups[1][of(s.b)] = append(groups[1][of(s.b)], s)
		}
	}
	for _, s := range c.shared {
		d := s.diff
		if s.silent || s.a == nil || s.b == nil {
			continue
		}
		same := len(groups[0][of(s.a)]) == len(groups[1][of(s.b)]) &&
			!slices.ContainsFunc(groups[0][of(s.a)], func(o *sharedName) bool { return of(o.b) != of(s.b) })
		if !same {
			if d == nil {
				d = &Difference{Path: s.name, A: *s.a, B: *s.b}
			}
			d.Fields |= ChangedLinks
			d = d.classified(c.opts.Checksum)
		}
		if d == nil {
			continue
		}
		if err := fn(*d); err != nil {
			return err
		}
	}
	return nil
}
