package tree

import "context"

// CompareOne compares what is at a with what is at b, whatever it is, without
// what is below: nil if nothing is different.
func CompareOne(ctx context.Context, fsys FS, a, b string, opts CompareOptions) (*Difference, error) {
	c := &comparing{e: engineOf(fsys), opts: opts, slots: make(chan struct{}, 1)}
	var sides [2]*entryAt
	for i, name := range []string{a, b} {
		at, attr, err := c.e.find(ctx, name)
		if err != nil {
			return nil, err
		}
		sides[i] = &entryAt{at, attr}
	}
	f := finding{diff: c.attributes(".", sides[0], sides[1])}
	if c.mustRead(sides[0].attr, sides[1].attr) {
		if err := c.read(ctx, ".", sides[0], sides[1], &f); err != nil {
			return nil, err
		}
	}
	return f.diff, nil
}
