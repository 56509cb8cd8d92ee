package simulator

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
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
	NTFS      string   `json:"ntfs_unix_security,omitempty"` // fail or ignore; "" is fail
	NoSuid    bool     `json:"no_suid,omitempty"`
	NoDevice  bool     `json:"no_device,omitempty"`
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
		"anonymous_user", x.Anonymous, "chown_mode", x.Chown, "ntfs_unix_security", orString(x.NTFS, "fail"), "allow_suid", !x.NoSuid, "allow_device_creation", !x.NoDevice)
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
	if _, err := obey(body, map[string]rule{"name": anything, "svm.name": anything, "svm.uuid": anything, "rules": anything}); err != nil {
		return nil, err
	}
	name := body.text("name")
	if err := policyName(name); err != nil {
		return nil, err
	}
	if body.text("svm.name") != s.ours() && body.text("svm.uuid") != s.world.SVMUUIDs[s.cfg.SVM] {
		return nil, fail(http.StatusNotFound, "2621462", "svm.name", "The specified SVM name does not exist.")
	}
	p := &exportPolicy{Name: name}
	if err := p.take(body); err != nil {
		return nil, err
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
		switch s.usedBy(p) {
		case "volume":
			return fail(http.StatusConflict, "1703945", "id", "Ruleset is in use by a volume.  It cannot be deleted until all volumes that refer to it are first deleted.")
		case "qtree":
			return fail(http.StatusConflict, "1703953", "id", "This ruleset is in use by a qtree export policy.  It cannot be deleted until all qtree policies that refer to it are first deleted.")
		}
		s.world.Policies = slices.DeleteFunc(s.world.Policies, func(x *exportPolicy) bool { return x == p })
		return s.save()
	})
}

// policyName refuses a name that no export policy can have.
func policyName(name string) error {
	switch {
	case name == "":
		return missing("name")
	case strings.Contains(name, " "):
		return fail(http.StatusBadRequest, "1703952", "name", "Invalid ruleset name provided. No spaces allowed in a ruleset name")
	case len(name) > 256:
		return fail(http.StatusBadRequest, "1704047", "name", "The export policy name cannot be longer than 256 characters")
	}
	return nil
}

// take replaces a policy's rules by those of a body, if it has any.
func (p *exportPolicy) take(body record) error {
	if !body.has("rules") {
		return nil
	}
	fresh := exportPolicy{}
	rules, _ := body["rules"].([]record)
	for _, one := range rules {
		made, err := newRule(one)
		if err != nil {
			return err
		}
		if err := fresh.add(made); err != nil {
			return fail(http.StatusConflict, "1704071", "rules", "The export policy was not created because of duplicate export policy rules present in the input.")
		}
	}
	p.Rules = fresh.Rules
	return nil
}

// add inserts a rule: at its index, moving on those behind, or at the end.
func (p *exportPolicy) add(made exportRule) error {
	last := 0
	for _, x := range p.Rules {
		if slices.Equal(slices.Sorted(slices.Values(x.Match)), slices.Sorted(slices.Values(made.Match))) {
			return fail(http.StatusConflict, "1704070", "clients.match", "Export policy rule already exists. The export policy rule was not created because an export policy rule with the same clientmatch exists.")
		}
		last = max(last, x.Index)
	}
	if made.Index == 0 {
		made.Index = last + 1
	}
	p.free(made.Index)
	p.Rules = append(p.Rules, made)
	p.sort()
	return nil
}

// free moves on the rules from an index, as far as they are in the way.
func (p *exportPolicy) free(index int) {
	p.sort()
	for i := range p.Rules {
		if p.Rules[i].Index == index {
			p.Rules[i].Index++
			index++
		}
	}
}

func (p *exportPolicy) sort() {
	slices.SortStableFunc(p.Rules, func(a, b exportRule) int { return a.Index - b.Index })
}

// policyPatch renames a policy, or replaces its rules.
func (s exportCalls) policyPatch(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body("/protocols/nfs/export-policies")
	if err != nil {
		return nil, err
	}
	if _, err := obey(body, map[string]rule{"name": anything, "rules": anything}); err != nil {
		return nil, err
	}
	return nil, s.onPolicy(r.vars["id"], func(p *exportPolicy) error {
		name := p.Name
		if body.has("name") {
			name = body.text("name")
			if err := policyName(name); err != nil {
				return err
			}
		}
		switch {
		case name != p.Name && p.Name == "default":
			return fail(http.StatusConflict, "1703950", "name", "Failed to rename ruleset: the default ruleset keeps its name.")
		case slices.ContainsFunc(s.world.Policies, func(o *exportPolicy) bool { return o != p && o.Name == name }):
			return fail(http.StatusConflict, "1703950", "name", "Failed to rename ruleset: duplicate entry")
		}
		if err := p.take(body); err != nil {
			return err
		}
		p.Name = name
		return s.save()
	})
}

// usedBy says what has an export policy: a volume, a qtree or "". The caller holds mu.
func (s exportCalls) usedBy(p *exportPolicy) string {
	for _, set := range s.world.Set {
		if set["nas.export_policy.id"] == p.ID {
			return "volume"
		}
	}
	for _, q := range s.world.Qtrees {
		if q.Set["export_policy.id"] == p.ID {
			return "qtree"
		}
	}
	return ""
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
	made, err := newRule(body)
	if err != nil {
		return nil, err
	}
	err = s.onPolicy(r.vars["policy.id"], func(p *exportPolicy) error {
		if err := p.add(made); err != nil {
			return err
		}
		for _, x := range p.Rules {
			if slices.Equal(x.Match, made.Match) {
				made.Index = x.Index
			}
		}
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

var (
	flavours   = oneOf("any", "none", "never", "krb5", "krb5i", "krb5p", "ntlm", "sys")
	ruleFields = map[string]rule{
		"clients": anything, "index": between(1, 4294967295).or("3277162"), "protocols": oneOf("any", "nfs", "nfs3", "nfs4", "cifs", "flexcache", "s3"),
		"ro_rule": flavours, "rw_rule": flavours, "superuser": flavours,
		"anonymous_user":     {good: func(v string) bool { return v != "" }, code: "3277149"},
		"chown_mode":         oneOf("restricted", "unrestricted"),
		"ntfs_unix_security": oneOf("fail", "ignore"), "allow_suid": anything, "allow_device_creation": anything,
	}
)

// newRule reads the rule of a POST. An index of 0 is the next.
func newRule(body record) (exportRule, error) {
	x := exportRule{Protocols: []string{"any"}, Superuser: []string{"none"}, Anonymous: "65534", Chown: "restricted"}
	if err := x.take(body); err != nil {
		return x, err
	}
	switch {
	case len(x.Match) == 0:
		return x, missing("clients.match")
	case x.RO == nil:
		return x, missing("ro_rule")
	case x.RW == nil:
		return x, missing("rw_rule")
	}
	return x, nil
}

// take sets what a body has.
func (x *exportRule) take(body record) error {
	got, err := obey(body, ruleFields)
	if err != nil {
		return err
	}
	if body.has("clients") {
		x.Match = nil
		for _, match := range body.values("clients.match") {
			for _, one := range strings.Split(match, ",") {
				one = strings.TrimSpace(one)
				if err := clientMatch(one); err != nil {
					return err
				}
				if slices.Contains(x.Match, one) {
					return fail(http.StatusBadRequest, "1704050", "clients.match", "Invalid clientmatch: clientmatch list contains a duplicate string.")
				}
				x.Match = append(x.Match, one)
			}
		}
		if len(x.Match) == 0 {
			return missing("clients.match")
		}
	}
	for name, list := range map[string]*[]string{"protocols": &x.Protocols, "ro_rule": &x.RO, "rw_rule": &x.RW, "superuser": &x.Superuser} {
		if value, ok := got[name].([]string); ok {
			if len(value) == 0 {
				return missing(name)
			}
			*list = value
		}
	}
	for name, word := range map[string]*string{"anonymous_user": &x.Anonymous, "chown_mode": &x.Chown, "ntfs_unix_security": &x.NTFS} {
		if value, ok := got[name].(string); ok {
			*word = value
		}
	}
	if id, err := strconv.ParseInt(x.Anonymous, 10, 64); err == nil && (id < 0 || id > 4294967295) {
		return fail(http.StatusBadRequest, "3277083", "anonymous_user", "User ID is not valid. Enter a value for User ID from 0 to 4294967295")
	}
	if index, ok := got["index"].(int64); ok {
		x.Index = int(index)
	}
	if allowed, ok := got["allow_suid"].(bool); ok {
		x.NoSuid = !allowed
	}
	if allowed, ok := got["allow_device_creation"].(bool); ok {
		x.NoDevice = !allowed
	}
	return nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`)

// clientMatch refuses what is no host, network, domain or netgroup.
func clientMatch(match string) error {
	bad := func(code, why string) error {
		return fail(http.StatusBadRequest, code, "clients.match", "Invalid clientmatch: %s", why)
	}
	if rest, ok := strings.CutPrefix(match, "@"); ok {
		switch {
		case rest == "":
			return bad("1704038", "missing netgroup name")
		case strings.ContainsAny(rest, " /\\,"):
			return bad("1704054", "invalid characters in netgroup name")
		}
		return nil
	}
	if rest, ok := strings.CutPrefix(match, "."); ok {
		switch {
		case rest == "":
			return bad("1704036", "missing domain name")
		case !hostName.MatchString(rest):
			return bad("1704045", "invalid characters in domain name")
		}
		return nil
	}
	address, bits, network := strings.Cut(match, "/")
	ip, ipErr := netip.ParseAddr(address)
	switch {
	case match == "":
		return missing("clients.match")
	case network && address == "":
		return bad("1704037", "missing network name")
	case !network && ipErr == nil:
		return nil
	case !network && !hostName.MatchString(match):
		return bad("1704044", "invalid characters in host name")
	case !network && len(match) > 255:
		return fail(http.StatusBadRequest, "1704064", "clients.match", "Clientmatch host name too long")
	case !network && regexp.MustCompile(`^[0-9.]+$`).MatchString(match):
		return fail(http.StatusBadRequest, "1704039", "clients.match", "Invalid clientmatch")
	case !network:
		return nil
	case ipErr != nil:
		return fail(http.StatusBadRequest, "1704039", "clients.match", "Invalid clientmatch")
	}
	n, err := strconv.Atoi(bits)
	if mask, maskErr := netip.ParseAddr(bits); maskErr == nil && mask.Is4() && ip.Is4() {
		n, _ = net.IPMask(mask.AsSlice()).Size()
		err = nil
		if n == 0 && bits != "0.0.0.0" {
			return bad("1704043", "invalid netmask")
		}
	}
	switch {
	case err != nil || n < 0:
		return bad("1704043", "invalid netmask")
	case n > ip.BitLen():
		return bad("1704042", "too many bits in netmask")
	case netip.PrefixFrom(ip, n).Masked().Addr() != ip:
		return bad("1704040", "address bytes masked out by netmask are non-zero")
	}
	return nil
}

// rulePatch changes a rule, or moves it to new_index.
func (s exportCalls) rulePatch(r *call) (any, error) {
	if err := r.onlyQuery("new_index"); err != nil {
		return nil, err
	}
	body := record{}
	if r.ContentLength != 0 {
		var err error
		if body, err = r.body(rulesSchema); err != nil {
			return nil, err
		}
	}
	if body.has("index") {
		return nil, notSettable("index")
	}
	moved := 0
	if value := r.query.Get("new_index"); value != "" {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return nil, fail(http.StatusBadRequest, "3277162", "new_index", "The specified \"index\", %s, is invalid. Valid values are values from 1 to 4294967295", strings.ToValidUTF8(value, "?"))
		}
		moved = n
	}
	return nil, s.onPolicy(r.vars["policy.id"], func(p *exportPolicy) error {
		i := slices.IndexFunc(p.Rules, func(x exportRule) bool { return strconv.Itoa(x.Index) == r.vars["index"] })
		if i < 0 {
			return entryNotFound("index")
		}
		changed := p.Rules[i]
		if err := changed.take(body); err != nil {
			return err
		}
		if moved > 0 {
			changed.Index = moved
		}
		rest := exportPolicy{Rules: slices.Delete(slices.Clone(p.Rules), i, i+1)}
		if err := rest.add(changed); err != nil {
			return err
		}
		p.Rules = rest.Rules
		return s.save()
	})
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

// every does a change to the policies that a query selects.
func (s exportCalls) every(do handler) handler {
	return func(r *call) (any, error) {
		return s.policies().each(r, func(x record) map[string]string { return map[string]string{"id": x.text("id")} }, do)
	}
}

// everyRule does a change to the rules of the path's policy that a query selects.
func (s exportCalls) everyRule(do handler) handler {
	return func(r *call) (any, error) {
		c, err := s.rules(r.vars["policy.id"])
		if err != nil {
			return nil, err
		}
		return c.each(r, func(x record) map[string]string {
			return map[string]string{"policy.id": r.vars["policy.id"], "index": x.text("index")}
		}, do)
	}
}

const clientsSchema = rulesSchema + "/{index}/clients"

// clientList are the clients of a rule.
func (s exportCalls) clientList(r *call) (any, error) {
	c := collection{schema: clientsSchema, key: "match", self: func(x record) string {
		return "/api/protocols/nfs/export-policies/" + r.vars["policy.id"] + "/rules/" + r.vars["index"] + "/clients/" + url.PathEscape(x.text("match"))
	}}
	err := s.onRule(r, func(p *exportPolicy, i int) error {
		for _, match := range p.Rules[i].Match {
			c.records = append(c.records, rec("match", match, "index", p.Rules[i].Index, "policy.id", p.ID, "svm", s.svm(s.cfg.SVM)))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.list(r)
}

// clientCreate adds a client to a rule.
func (s exportCalls) clientCreate(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(clientsSchema)
	if err != nil {
		return nil, err
	}
	if _, err := obey(body, map[string]rule{"match": anything}); err != nil {
		return nil, err
	}
	err = s.onRule(r, func(p *exportPolicy, i int) error {
		changed := p.Rules[i]
		clients := []record{}
		for _, match := range append(slices.Clone(changed.Match), body.text("match")) {
			clients = append(clients, record{"match": match})
		}
		if err := changed.take(record{"clients": clients}); err != nil {
			return err
		}
		p.Rules[i] = changed
		return s.save()
	})
	if err != nil {
		return nil, err
	}
	r.status = http.StatusCreated
	return record{"num_records": 1}, nil
}

// onRule calls do on the place of the path's rule in its policy, with mu held.
func (s exportCalls) onRule(r *call, do func(p *exportPolicy, i int) error) error {
	return s.onPolicy(r.vars["policy.id"], func(p *exportPolicy) error {
		i := slices.IndexFunc(p.Rules, func(x exportRule) bool { return strconv.Itoa(x.Index) == r.vars["index"] })
		if i < 0 {
			return entryNotFound("index")
		}
		return do(p, i)
	})
}
