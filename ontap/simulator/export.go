package simulator

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const rulesSchema = "/protocols/nfs/export-policies/{policy.id}/rules"

// exportPolicy is an NFS export policy of the SVM.
type exportPolicy struct {
	Name  string       `json:"name"`
	ID    int64        `json:"id"`
	Rules []exportRule `json:"rules"`
}

type exportRule struct {
	Index     int      `json:"index"`
	Match     []string `json:"match"`
	Protocols []string `json:"protocols"`
	RO        []string `json:"ro"`
	RW        []string `json:"rw"`
	Superuser []string `json:"superuser"`
	Anonymous string   `json:"anonymous"`
	Chown     string   `json:"chown"`
}

func defaultPolicy() *exportPolicy {
	return &exportPolicy{Name: "default", ID: 12884901889, Rules: []exportRule{{Index: 1, Match: []string{"0.0.0.0/0"},
		Protocols: []string{"nfs3"}, RO: []string{"sys"}, RW: []string{"sys"}, Superuser: []string{"sys"}, Anonymous: "65534", Chown: "restricted"}}}
}

// record shows a rule. With a policy of nil the rule is shown inside its policy.
func (x exportRule) record(policy *exportPolicy) record {
	clients := []record{}
	for _, m := range x.Match {
		clients = append(clients, record{"match": m})
	}
	r := rec("index", x.Index, "clients", clients, "protocols", x.Protocols, "ro_rule", x.RO, "rw_rule", x.RW, "superuser", x.Superuser,
		"anonymous_user", x.Anonymous, "chown_mode", x.Chown, "ntfs_unix_security", "fail", "allow_suid", true, "allow_device_creation", true)
	if policy != nil {
		r.set("policy.name", policy.Name)
		r.set("policy.id", policy.ID)
	}
	return r
}

// exportCalls answers for export policies and their rules.
type exportCalls struct{ *Simulator }

// policies copies the export policies. It takes mu.
func (s exportCalls) policies() collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: "/protocols/nfs/export-policies", key: "id", defaults: []string{"name"},
		self: func(x record) string { return "/api/protocols/nfs/export-policies/" + x.text("id") }}
	for _, p := range s.world.Policies {
		rules := []record{}
		for _, rule := range p.Rules {
			rules = append(rules, rule.record(nil))
		}
		c.records = append(c.records, rec("id", p.ID, "name", p.Name, "svm", s.svm(s.cfg.SVM), "rules", rules))
	}
	return c
}

func (s exportCalls) policyList(r *call) (any, error) { return s.policies().list(r) }

func (s exportCalls) policyGet(r *call) (any, error) { return s.policies().one(r, r.vars["id"]) }

func (s exportCalls) policyCreate(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body("/protocols/nfs/export-policies")
	if err != nil {
		return nil, err
	}
	name := body.text("name")
	switch {
	case name == "":
		return nil, missing("name")
	case strings.Contains(name, " "):
		return nil, fail(http.StatusBadRequest, "1703952", "name", "Invalid ruleset name provided. No spaces allowed in a ruleset name")
	case body.text("svm.name") != s.cfg.SVM && body.text("svm.uuid") != s.world.SVMUUIDs[s.cfg.SVM]:
		return nil, fail(http.StatusNotFound, "2621462", "svm.name", "The specified SVM name does not exist.")
	}
	p := &exportPolicy{Name: name}
	rules, _ := body["rules"].([]record)
	for i, rule := range rules {
		made, err := newRule(rule, i+1)
		if err != nil {
			return nil, err
		}
		p.Rules = append(p.Rules, made)
	}
	if err := s.addPolicy(p); err != nil {
		return nil, err
	}
	r.status = http.StatusCreated
	id := strconv.FormatInt(p.ID, 10)
	r.header.Set("Location", "/api/protocols/nfs/export-policies/"+id)
	if r.query.Get("return_records") != "true" {
		return record{"num_records": 1}, nil
	}
	return record{"num_records": 1, "records": []record{{"name": p.Name, "id": p.ID}}}, nil
}

func (s exportCalls) addPolicy(p *exportPolicy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.world.Policies {
		if other.Name == p.Name {
			return fail(http.StatusConflict, "1", "name", "duplicate entry")
		}
		p.ID = max(p.ID, other.ID+1)
	}
	s.world.Policies = append(s.world.Policies, p)
	return s.save()
}

func (s exportCalls) policyDelete(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	return nil, s.onPolicy(r.vars["id"], func(p *exportPolicy) error {
		if p.Name == "default" {
			return fail(http.StatusConflict, "1703947", "id", "Cannot delete default ruleset.")
		}
		s.world.Policies = slices.DeleteFunc(s.world.Policies, func(x *exportPolicy) bool { return x == p })
		return s.save()
	})
}

// onPolicy calls do on a policy, with mu held.
func (s exportCalls) onPolicy(id string, do func(*exportPolicy) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.world.Policies {
		if strconv.FormatInt(p.ID, 10) == id {
			return do(p)
		}
	}
	return fail(http.StatusNotFound, "1703954", "policy.id", "Export policy does not exist")
}

// rules copies the rules of a policy. It takes mu.
func (s exportCalls) rules(id string) (collection, error) {
	c := collection{schema: rulesSchema, key: "index", defaults: []string{"policy"},
		self: func(x record) string {
			return "/api/protocols/nfs/export-policies/" + id + "/rules/" + x.text("index")
		}}
	err := s.onPolicy(id, func(p *exportPolicy) error {
		for _, rule := range p.Rules {
			x := rule.record(p)
			x.set("svm", s.svm(s.cfg.SVM))
			c.records = append(c.records, x)
		}
		return nil
	})
	return c, err
}

func (s exportCalls) ruleList(r *call) (any, error) {
	c, err := s.rules(r.vars["policy.id"])
	if err != nil {
		return nil, err
	}
	return c.list(r)
}

func (s exportCalls) ruleGet(r *call) (any, error) {
	c, err := s.rules(r.vars["policy.id"])
	if err != nil {
		return nil, err
	}
	return c.one(r, r.vars["index"])
}

func (s exportCalls) ruleCreate(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(rulesSchema)
	if err != nil {
		return nil, err
	}
	var made exportRule
	err = s.onPolicy(r.vars["policy.id"], func(p *exportPolicy) error {
		next := 1
		for _, x := range p.Rules {
			next = max(next, x.Index+1)
		}
		var err error
		if made, err = newRule(body, next); err != nil {
			return err
		}
		p.Rules = append(p.Rules, made)
		return s.save()
	})
	if err != nil {
		return nil, err
	}
	r.status = http.StatusCreated
	if r.query.Get("return_records") != "true" {
		return record{"num_records": 1}, nil
	}
	return record{"num_records": 1, "records": []record{made.record(nil)}}, nil
}

func newRule(body record, index int) (exportRule, error) {
	x := exportRule{Index: index, Match: body.values("clients.match"), Protocols: body.values("protocols"),
		RO: body.values("ro_rule"), RW: body.values("rw_rule"), Superuser: body.values("superuser"),
		Anonymous: orString(body.text("anonymous_user"), "65534"), Chown: orString(body.text("chown_mode"), "restricted")}
	switch {
	case len(x.Match) == 0:
		return x, missing("clients.match")
	case x.RO == nil:
		return x, missing("ro_rule")
	case x.RW == nil:
		return x, missing("rw_rule")
	}
	if x.Protocols == nil {
		x.Protocols = []string{"any"}
	}
	if x.Superuser == nil {
		x.Superuser = []string{"none"}
	}
	return x, nil
}

func (s exportCalls) ruleDelete(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	return nil, s.onPolicy(r.vars["policy.id"], func(p *exportPolicy) error {
		kept := slices.DeleteFunc(slices.Clone(p.Rules), func(x exportRule) bool { return strconv.Itoa(x.Index) == r.vars["index"] })
		if len(kept) == len(p.Rules) {
			return entryNotFound("index")
		}
		p.Rules = kept
		return s.save()
	})
}
