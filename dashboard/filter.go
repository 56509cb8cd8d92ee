package dashboard

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// filter is what a viewer wants to see; the address has it.
type filter struct {
	Stack     string
	Name      string
	Attention bool // only what is not well
	Page      int  // from 1
}

func filterOf(q url.Values) filter {
	f := filter{Stack: strings.TrimSpace(q.Get("stack")), Name: strings.ToLower(strings.TrimSpace(q.Get("name"))), Attention: q.Get("attention") != ""}
	f.Page, _ = strconv.Atoi(q.Get("page"))
	f.Page = max(1, f.Page)
	return f
}

// Any tells whether something is filtered out.
func (f filter) Any() bool { return f.Stack != "" || f.Name != "" || f.Attention }

// Query is the filter as an address, for another page of the same list.
func (f filter) Query(page int) string {
	q := url.Values{}
	for k, v := range map[string]string{"stack": f.Stack, "name": f.Name} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if f.Attention {
		q.Set("attention", "1")
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	return "?" + q.Encode()
}

// Prev is the address of the page before this one.
func (f filter) Prev() string { return f.Query(f.Page - 1) }

// Next is the address of the page behind this one.
func (f filter) Next() string { return f.Query(f.Page + 1) }

// of tells whether the filter means a stack: the stack of exactly that name if
// there is one, else all that begin with it.
func (f filter) of(stack string, known map[string]bool) bool {
	if known[f.Stack] {
		return stack == f.Stack
	}
	return strings.HasPrefix(stack, f.Stack)
}

// cut returns the part of n that a page shows, from first to last. It changes a
// page behind the last one to the last one.
func (f *filter) cut(n, aPage int) (pages, first, last int) {
	pages = max(1, (n+aPage-1)/aPage)
	f.Page = min(f.Page, pages)
	first = (f.Page - 1) * aPage
	return pages, first, min(first+aPage, n)
}

// wants tells whether a volume is shown: by its name, or by that of a task or
// node that uses it.
func (m *merged) wants(f filter, v *volumeView) bool {
	return (f.Stack == "" || f.of(v.Stack, m.stacks)) && (!f.Attention || v.Health.Level.poor()) &&
		(f.Name == "" || strings.Contains(strings.ToLower(v.Name), f.Name) || slices.ContainsFunc(v.Users, func(u userView) bool {
			return strings.ToLower(u.Node) == f.Name || slices.ContainsFunc(u.Tasks, func(t string) bool { return strings.Contains(strings.ToLower(t), f.Name) })
		}))
}

// tasksOf are the tasks that are shown.
func (m *merged) tasksOf(f filter, tasks []*taskView) (out []*taskView) {
	for _, t := range tasks {
		stackFits := f.Stack == "" || f.of(t.Stack, m.stacks)
		nameFits := f.Name == "" || strings.Contains(strings.ToLower(t.Name), f.Name) || strings.ToLower(t.Node) == f.Name ||
			slices.ContainsFunc(t.Volumes, func(v volumeLink) bool { return strings.Contains(strings.ToLower(v.Name), f.Name) })
		if stackFits && nameFits {
			out = append(out, t)
		}
	}
	return out
}
