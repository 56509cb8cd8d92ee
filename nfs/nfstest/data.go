package nfstest

import "maps"

const pageSize = 4096

// content is a file's bytes with holes: pages that were never written are not
// there. A page is never changed, only replaced, so that copies share them.
type content struct {
	size  int64
	pages map[int64]*[pageSize]byte
}

func (c *content) clone() *content {
	return &content{size: c.size, pages: maps.Clone(c.pages)}
}

func (c *content) used() int64 { return int64(len(c.pages)) * pageSize }

// readAt fills p from off, as far as the file goes.
func (c *content) readAt(p []byte, off int64) int {
	if off >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-off)]
	for n := 0; n < len(p); {
		at := off + int64(n)
		part := p[n:min(len(p), n+int(pageSize-at%pageSize))]
		if page := c.pages[at/pageSize]; page != nil {
			copy(part, page[at%pageSize:])
		} else {
			clear(part)
		}
		n += len(part)
	}
	return len(p)
}

func (c *content) writeAt(p []byte, off int64) {
	if c.pages == nil {
		c.pages = make(map[int64]*[pageSize]byte)
	}
	for n := 0; n < len(p); {
		at := off + int64(n)
		page := new([pageSize]byte)
		if old := c.pages[at/pageSize]; old != nil {
			*page = *old
		}
		n += copy(page[at%pageSize:], p[n:])
		c.pages[at/pageSize] = page
	}
	c.size = max(c.size, off+int64(len(p)))
}

func (c *content) truncate(size int64) {
	for i, page := range c.pages {
		switch start := i * pageSize; {
		case start >= size:
			delete(c.pages, i)
		case start+pageSize > size:
			cut := *page
			clear(cut[size-start:])
			c.pages[i] = &cut
		}
	}
	c.size = size
}
