package simulator

import (
	"net/http"
	"slices"
	"strings"
)

// counting says whether a listing of a directory asks for File System Analytics.
// It refuses where they are asked for by name and are off.
func (s fileCalls) counting(r *call, c collection, v content, name string) (bool, error) {
	q, err := c.parse(r)
	if err != nil {
		return false, err
	}
	byName := slices.ContainsFunc(q.order, func(o order) bool { return strings.HasPrefix(o.field, "analytics.") })
	for _, f := range q.filters {
		byName = byName || strings.HasPrefix(f.field, "analytics.")
	}
	for _, field := range q.fields.names {
		byName = byName || field == "analytics" || strings.HasPrefix(field, "analytics.")
	}
	if !byName && !q.fields.expensive {
		return false, nil
	}
	is, err := volumeCalls(s).present(v.uuid)
	if err != nil {
		return false, err
	}
	on := is.text("analytics.state") == "on"
	if !on && byName {
		return false, fail(http.StatusBadRequest, "111412203", "fields", "File system analytics is not enabled on volume %q.", v.name)
	}
	return on, nil
}

// analytics counts what lies below a directory; false if it is gone.
func (s fileCalls) analytics(v content, name string) (record, bool) {
	sum, err := v.Sum(name)
	if err != nil {
		return nil, false
	}
	x := rec("bytes_used", sum.Bytes, "file_count", sum.Files, "subdir_count", sum.Directories)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.world.Settings.Incomplete && v.uuid == s.world.VolumeUUID {
		x.set("incomplete_data", true)
	}
	return x, true
}
