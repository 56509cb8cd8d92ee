package simulator

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

const (
	policySchema   = "/storage/snapshot-policies"
	scheduleSchema = "/storage/snapshot-policies/{snapshot_policy.uuid}/schedules"
)

// maxPolicyCount is how many snapshots all schedules of a policy may keep.
const maxPolicyCount = 1023

// snapshotPolicy is a snapshot policy. It runs nothing by itself.
type snapshotPolicy struct {
	UUID    string       `json:"uuid"`
	Name    string       `json:"name"`
	Comment string       `json:"comment,omitempty"`
	Enabled bool         `json:"enabled"`
	SVM     bool         `json:"svm,omitempty"` // it belongs to the SVM, not to the cluster
	BuiltIn bool         `json:"built_in,omitempty"`
	Copies  []policyCopy `json:"copies"`
}

type policyCopy struct {
	Schedule  string `json:"schedule"`
	Count     int64  `json:"count"`
	Prefix    string `json:"prefix"`
	Label     string `json:"snapmirror_label,omitempty"`
	Retention string `json:"retention_period,omitempty"`
}

func builtInPolicies(named map[string]string) []*snapshotPolicy {
	return []*snapshotPolicy{
		{UUID: named["policy default"], Name: "default", Enabled: true, BuiltIn: true, Comment: "Default policy with hourly, daily & weekly schedules.",
			Copies: []policyCopy{{"hourly", 6, "hourly", "", ""}, {"daily", 2, "daily", "", ""}, {"weekly", 2, "weekly", "", ""}}},
		{UUID: named["policy none"], Name: "none", BuiltIn: true, Comment: "Policy for no automatic snapshots."},
	}
}

// policy is the first policy that fits, nil if none does.
func (w *world) policy(fits func(*snapshotPolicy) bool) *snapshotPolicy {
	i := slices.IndexFunc(w.Schedules, fits)
	if i < 0 {
		return nil
	}
	return w.Schedules[i]
}

type policyCalls struct{ *Simulator }

// record shows a copy of a policy. The caller holds mu.
func (s policyCalls) record(x policyCopy) record {
	r := rec("count", x.Count, "prefix", x.Prefix, "schedule.name", x.Schedule, "schedule.uuid", s.world.Named[x.Schedule])
	if x.Label != "" {
		r.set("snapmirror_label", x.Label)
	}
	if x.Retention != "" {
		r.set("retention_period", x.Retention)
	}
	return r
}

func (s policyCalls) all() collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: policySchema, key: "uuid", defaults: []string{"name"}, self: hrefOf(policySchema)}
	for _, p := range s.world.Schedules {
		x := rec("uuid", p.UUID, "name", p.Name, "enabled", p.Enabled, "scope", "cluster", "comment", p.Comment)
		if p.SVM {
			x.set("scope", "svm")
			x.set("svm", s.svm(s.cfg.SVM))
		}
		copies := []record{}
		for _, one := range p.Copies {
			copies = append(copies, s.record(one))
		}
		if len(copies) > 0 {
			x.set("copies", copies)
		}
		c.records = append(c.records, x)
	}
	return c
}

func (s policyCalls) list(r *call) (any, error) { return s.all().list(r) }

func (s policyCalls) get(r *call) (any, error) { return s.all().one(r, r.vars["uuid"]) }

var (
	isoPeriod   = rule{good: regexp.MustCompile(`^P(\d+[YMWD])*(T(\d+[HMS])+)?$|^infinite$`).MatchString, code: "918253"}
	policyRules = map[string]rule{"name": anything, "comment": atMost(255), "enabled": anything, "svm.name": anything, "svm.uuid": anything, "copies": anything}
	copyRules   = map[string]rule{"schedule.name": anything, "schedule.uuid": anything, "count": between(1, maxPolicyCount).or("1638451"),
		"prefix": anything, "snapmirror_label": atMost(31), "retention_period": isoPeriod}
)

// copy reads a schedule of a policy. The caller holds mu.
func (s policyCalls) copy(body record) (policyCopy, error) {
	var x policyCopy
	set, err := obey(body, copyRules)
	if err != nil {
		return x, err
	}
	x = policyCopy{Schedule: body.text("schedule.name"), Prefix: body.text("prefix"), Label: body.text("snapmirror_label"), Retention: body.text("retention_period")}
	x.Count, _ = set["count"].(int64)
	uuid := body.text("schedule.uuid")
	for _, name := range []string{"hourly", "daily", "weekly"} {
		if x.Schedule == "" && uuid != "" && s.world.Named[name] == uuid {
			x.Schedule = name
		}
	}
	known := slices.Contains([]string{"hourly", "daily", "weekly"}, x.Schedule)
	switch {
	case x.Schedule == "" && uuid == "":
		return x, fail(http.StatusBadRequest, "1638408", "schedule.name", "When adding schedule to a snapshot policy, the schedule name must be specified.")
	case !known || uuid != "" && s.world.Named[x.Schedule] != uuid:
		return x, fail(http.StatusBadRequest, "1638413", "schedule.name", "Schedule not found.")
	case x.Count == 0:
		return x, fail(http.StatusBadRequest, "1638407", "count", "When adding schedule to a snapshot policy, the count for that schedule must be specified.")
	}
	x.Prefix = orString(x.Prefix, x.Schedule)
	return x, nil
}

// fits checks the schedules of a policy against each other.
func (p *snapshotPolicy) fits() error {
	total, prefixes, schedules := int64(0), map[string]bool{}, map[string]bool{}
	for _, x := range p.Copies {
		total += x.Count
		switch {
		case schedules[x.Schedule]:
			return fail(http.StatusConflict, "1638410", "schedule.name", "Specified schedule already exists in snapshot policy.")
		case prefixes[x.Prefix]:
			return fail(http.StatusConflict, "1638508", "prefix", "Another schedule has the same prefix within this policy.")
		case total > maxPolicyCount:
			return fail(http.StatusBadRequest, "1638451", "count", "This operation would result in total snapshot count for the policy to exceed maximum supported count.")
		}
		schedules[x.Schedule], prefixes[x.Prefix] = true, true
	}
	return nil
}

// copies reads the schedules of a body. The caller holds mu.
func (s policyCalls) copies(body record) ([]policyCopy, error) {
	list, _ := body["copies"].([]record)
	var out []policyCopy
	for _, one := range list {
		x, err := s.copy(one)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func (s policyCalls) create(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(policySchema)
	if err != nil {
		return nil, err
	}
	if _, err := obey(body, policyRules); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &snapshotPolicy{UUID: s.uuid(), Name: body.text("name"), Comment: body.text("comment"), Enabled: body.text("enabled") != "false", SVM: body.has("svm")}
	if p.Copies, err = s.copies(body); err != nil {
		return nil, err
	}
	svm, uuid := body.text("svm.name"), body.text("svm.uuid")
	switch {
	case p.Name == "":
		return nil, missing("name")
	case strings.ContainsAny(p.Name, " /\\"):
		return nil, fail(http.StatusBadRequest, "1638417", "name", "Specified policy name is invalid.")
	case p.SVM && (svm != "" && svm != s.ours() || uuid != "" && uuid != s.world.SVMUUIDs[s.cfg.SVM]):
		return nil, fail(http.StatusNotFound, "2621462", "svm.name", "The specified SVM name does not exist.")
	case s.world.policy(func(o *snapshotPolicy) bool { return o.Name == p.Name }) != nil:
		return nil, fail(http.StatusConflict, "1638527", "name", "Policy name already exists.")
	case len(p.Copies) == 0:
		return nil, fail(http.StatusBadRequest, "1638408", "copies", "When adding schedule to a snapshot policy, the schedule name must be specified.")
	}
	if err := p.fits(); err != nil {
		return nil, err
	}
	s.world.Schedules = append(s.world.Schedules, p)
	s.world.Named["policy "+p.Name] = p.UUID
	r.status = http.StatusCreated
	r.header.Set("Location", "/api/storage/snapshot-policies/"+p.UUID)
	out := record{"num_records": 1}
	if r.query.Get("return_records") == "true" {
		out["records"] = []record{rec("uuid", p.UUID, "name", p.Name)}
	}
	return out, s.save()
}

// on runs change on a copy of the path's policy, which then takes its place. A
// built-in policy is refused: all SVMs have it.
func (s policyCalls) on(uuid string, change func(*snapshotPolicy) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.world.policy(func(p *snapshotPolicy) bool { return p.UUID == uuid })
	if p == nil {
		return entryNotFound("uuid")
	}
	if p.BuiltIn {
		return fail(http.StatusConflict, "1638431", "uuid", "Cannot modify or delete built-in policy.")
	}
	fresh := *p
	fresh.Copies = slices.Clone(p.Copies)
	if err := change(&fresh); err != nil {
		return err
	}
	if err := fresh.fits(); err != nil {
		return err
	}
	delete(s.world.Named, "policy "+p.Name)
	s.world.Named["policy "+fresh.Name] = fresh.UUID
	*p = fresh
	return s.save()
}

func (s policyCalls) patch(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(policySchema)
	if err != nil {
		return nil, err
	}
	if body.has("svm") {
		return nil, notSettable("svm")
	}
	set, err := obey(body, policyRules)
	if err != nil {
		return nil, err
	}
	if name, ok := set["name"].(string); ok && (name == "" || strings.ContainsAny(name, " /\\")) {
		return nil, fail(http.StatusBadRequest, "1638417", "name", "Specified policy name is invalid.")
	}
	return nil, s.on(r.vars["uuid"], func(p *snapshotPolicy) error {
		if name, ok := set["name"].(string); ok && name != p.Name {
			if s.used(p.Name) {
				return fail(http.StatusConflict, "1638415", "name", "Cannot rename policy. Reason: Policy is in use by at least one volume.")
			}
			if s.world.policy(func(o *snapshotPolicy) bool { return o.Name == name }) != nil {
				return fail(http.StatusConflict, "1638527", "name", "Policy name already exists.")
			}
			p.Name = name
		}
		if comment, ok := set["comment"].(string); ok {
			p.Comment = comment
		}
		if enabled, ok := set["enabled"].(bool); ok {
			p.Enabled = enabled
		}
		if body.has("copies") {
			if p.Copies, err = s.copies(body); err != nil {
				return err
			}
		}
		return nil
	})
}

// used says whether a volume has the policy. The caller holds mu.
func (s policyCalls) used(name string) bool {
	if s.world.Settings.SnapshotPolicy == name {
		return true
	}
	for _, set := range s.world.Set {
		if set["snapshot_policy.name"] == name {
			return true
		}
	}
	return false
}

func (s policyCalls) delete(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	return nil, s.on(r.vars["uuid"], func(p *snapshotPolicy) error {
		if s.used(p.Name) {
			return fail(http.StatusConflict, "1638415", "uuid", "Cannot delete policy. Reason: Policy is in use by at least one volume.")
		}
		s.world.Schedules = slices.DeleteFunc(s.world.Schedules, func(o *snapshotPolicy) bool { return o.UUID == p.UUID })
		return nil
	})
}

// schedules are the schedules of the path's policy.
func (s policyCalls) schedules(r *call) (collection, error) {
	policy := r.vars["snapshot_policy.uuid"]
	c := collection{schema: scheduleSchema, key: "schedule.uuid", defaults: []string{"schedule", "snapshot_policy.uuid"},
		self: func(x record) string {
			return "/api/storage/snapshot-policies/" + policy + "/schedules/" + x.text("schedule.uuid")
		}}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.world.policy(func(p *snapshotPolicy) bool { return p.UUID == policy })
	if p == nil {
		return c, entryNotFound("snapshot_policy.uuid")
	}
	for _, one := range p.Copies {
		x := s.record(one)
		x.set("snapshot_policy.uuid", p.UUID)
		x.set("snapshot_policy.name", p.Name)
		c.records = append(c.records, x)
	}
	return c, nil
}

func (s policyCalls) scheduleList(r *call) (any, error) {
	c, err := s.schedules(r)
	if err != nil {
		return nil, err
	}
	return c.list(r)
}

func (s policyCalls) scheduleGet(r *call) (any, error) {
	c, err := s.schedules(r)
	if err != nil {
		return nil, err
	}
	return c.one(r, r.vars["schedule.uuid"])
}

func (s policyCalls) scheduleCreate(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(scheduleSchema)
	if err != nil {
		return nil, err
	}
	err = s.on(r.vars["snapshot_policy.uuid"], func(p *snapshotPolicy) error {
		x, err := s.copy(body)
		p.Copies = append(p.Copies, x)
		return err
	})
	if err == nil {
		r.status = http.StatusCreated
	}
	return nil, err
}

// schedule is the place of the path's schedule in a policy. The caller holds mu.
func (s policyCalls) schedule(r *call, p *snapshotPolicy) int {
	return slices.IndexFunc(p.Copies, func(x policyCopy) bool { return s.world.Named[x.Schedule] == r.vars["schedule.uuid"] })
}

var noSchedule = fail(http.StatusNotFound, "1638412", "schedule.uuid", "Schedule does not exist in snapshot policy.")

func (s policyCalls) schedulePatch(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(scheduleSchema)
	if err != nil {
		return nil, err
	}
	set, err := obey(body, map[string]rule{"count": copyRules["count"], "snapmirror_label": atMost(31), "retention_period": isoPeriod})
	if err != nil {
		return nil, err
	}
	return nil, s.on(r.vars["snapshot_policy.uuid"], func(p *snapshotPolicy) error {
		i := s.schedule(r, p)
		if i < 0 {
			return noSchedule
		}
		x := &p.Copies[i]
		if count, ok := set["count"].(int64); ok {
			x.Count = count
		}
		if label, ok := set["snapmirror_label"].(string); ok {
			x.Label = label
		}
		if period, ok := set["retention_period"].(string); ok {
			x.Retention = period
		}
		return nil
	})
}

func (s policyCalls) scheduleDelete(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	return nil, s.on(r.vars["snapshot_policy.uuid"], func(p *snapshotPolicy) error {
		i := s.schedule(r, p)
		switch {
		case i < 0:
			return noSchedule
		case len(p.Copies) == 1:
			return fail(http.StatusConflict, "1638411", "schedule.uuid", "At least minimum number of schedule must be specified for the policy.")
		}
		p.Copies = slices.Delete(p.Copies, i, i+1)
		return nil
	})
}

// every does a change to the policies that a query selects.
func (s policyCalls) every(do handler) handler {
	return func(r *call) (any, error) { return s.all().each(r, byUUID, do) }
}

// everySchedule does a change to the schedules of the path's policy that a query
// selects.
func (s policyCalls) everySchedule(do handler) handler {
	return func(r *call) (any, error) {
		c, err := s.schedules(r)
		if err != nil {
			return nil, err
		}
		return c.each(r, func(x record) map[string]string {
			return map[string]string{"snapshot_policy.uuid": r.vars["snapshot_policy.uuid"], "schedule.uuid": x.text("schedule.uuid")}
		}, do)
	}
}
