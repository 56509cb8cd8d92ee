package simulator

import (
	"net/http"
	"net/url"
	"slices"
)

// accountCalls answers for accounts.
type accountCalls struct{ gate }

func (s accountCalls) all(r *call) collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: accountsSchema, key: "name", defaults: []string{"owner"},
		self: func(x record) string {
			return "/api/security/accounts/" + x.text("owner.uuid") + "/" + url.PathEscape(x.text("name"))
		}}
	first := s.firstUser()
	everyone := append([]*account{{owned: first.owned, Role: first.role, Applications: []application{{"http", []string{methodPassword}}}}},
		s.world.Security.Accounts...)
	for _, a := range everyone {
		if r.user.SVM != "" && r.user.SVM != a.SVM {
			continue
		}
		applications := []record{}
		for _, x := range a.Applications {
			applications = append(applications, rec("application", x.Name, "authentication_methods", slices.Clone(x.Methods), "second_authentication_method", "none"))
		}
		x := rec("name", a.Name, "scope", scope(a.SVM), "owner", s.ownerRecord(a.SVM), "role.name", a.Role, "locked", a.Locked, "applications", applications)
		if a.Comment != "" {
			x.set("comment", a.Comment)
		}
		c.records = append(c.records, x)
	}
	return c
}

func (s accountCalls) list(r *call) (any, error) { return s.all(r).list(r) }

func (s accountCalls) get(r *call) (any, error) {
	c := s.all(r)
	c.records = slices.DeleteFunc(c.records, func(x record) bool { return x.text("owner.uuid") != r.vars["owner.uuid"] })
	return c.one(r, r.vars["name"])
}

// applications reads the ways to log in of a body.
func applications(body record) ([]application, error) {
	given, _ := body["applications"].([]record)
	var out []application
	for _, x := range given {
		a := application{x.text("application"), x.values("authentication_methods")}
		if !slices.Contains([]string{"http", "ssh", "console", "service_processor", "amqp", "snmp"}, a.Name) {
			return nil, invalid(a.Name, "applications.application")
		}
		if len(a.Methods) == 0 {
			return nil, missing("applications.authentication_methods")
		}
		for _, m := range a.Methods {
			if !slices.Contains([]string{methodPassword, methodCertificate, "domain", "nsswitch", "publickey", "saml", "usm", "community"}, m) {
				return nil, invalid(m, "applications.authentication_methods")
			}
		}
		if slices.ContainsFunc(out, func(have application) bool { return have.Name == a.Name }) {
			return nil, duplicate("applications.application")
		}
		out = append(out, a)
	}
	return out, nil
}

// roleName is the role of a body, which is a name or an object with one.
func roleName(body record) string {
	if name := body.text("role.name"); name != "" {
		return name
	}
	return body.text("role")
}

func (s accountCalls) create(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(accountsSchema)
	if err != nil {
		return nil, err
	}
	svm, err := s.ownerOf(r, body)
	if err != nil {
		return nil, err
	}
	made := &account{owned: owned{svm, body.text("name")}, Role: roleName(body), Comment: body.text("comment"), Locked: body.text("locked") == "true"}
	if made.Applications, err = applications(body); err != nil {
		return nil, err
	}
	switch {
	case made.Name == "":
		return nil, missing("name")
	case len(made.Applications) == 0:
		return nil, missing("applications")
	case made.Role == "" && svm == "":
		made.Role = "admin"
	case made.Role == "":
		made.Role = "vsadmin"
	}
	if made.asksPassword() {
		if err := made.setPassword(body.text("password")); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.findRole(owned{svm, made.Role}) == nil:
		return nil, noSuchRole
	case s.findAccount(made.owned) != nil, made.owned == s.firstUser().owned:
		return nil, duplicate("name")
	}
	s.world.Security.Accounts = append(s.world.Security.Accounts, made)
	r.header.Set("Location", "/api/security/accounts/"+s.ownerUUID(svm)+"/"+url.PathEscape(made.Name))
	r.status = http.StatusCreated
	return nil, s.save()
}

func (a *account) asksPassword() bool {
	return slices.ContainsFunc(a.Applications, func(x application) bool { return slices.Contains(x.Methods, methodPassword) })
}

// setPassword refuses one of fewer than 8 characters, as a cluster's policy does
// unless it is changed.
func (a *account) setPassword(password string) error {
	if password == "" {
		return missing("password")
	}
	if len(password) < 8 {
		return weakPassword
	}
	a.Hash, a.failed = a.hash(password), 0
	return nil
}

// named is the account that a path names, without Config.User. The caller holds mu.
func (s accountCalls) named(r *call) (*account, error) {
	svm, err := s.owner(r.vars["owner.uuid"])
	if err != nil {
		return nil, err
	}
	id := owned{svm, r.vars["name"]}
	if id == s.firstUser().owned {
		return nil, fail(http.StatusConflict, "5636097", "name", "The simulator's first account is changed by its flags and its password's file.")
	}
	found := s.findAccount(id)
	if found == nil || r.user.SVM != "" && r.user.SVM != svm {
		return nil, entryNotFound("name")
	}
	return found, nil
}

func (s accountCalls) patch(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(accountsSchema)
	if err != nil {
		return nil, err
	}
	for _, fixed := range []string{"name", "owner", "password_hash_algorithm"} {
		if body.has(fixed) {
			return nil, fail(http.StatusBadRequest, "262196", fixed, "Field %q cannot be set in this operation.", fixed)
		}
	}
	ways, err := applications(body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.named(r)
	if err != nil {
		return nil, err
	}
	changed := *found
	if body.has("applications") {
		changed.Applications = ways
	}
	if role := roleName(body); role != "" {
		if s.findRole(owned{found.SVM, role}) == nil {
			return nil, noSuchRole
		}
		changed.Role = role
	}
	if body.has("comment") {
		changed.Comment = body.text("comment")
	}
	if body.has("locked") {
		changed.Locked, changed.failed = body.text("locked") == "true", 0
	}
	if body.has("password") {
		if err := changed.setPassword(body.text("password")); err != nil {
			return nil, err
		}
	}
	*found = changed
	return nil, s.save()
}

func (s accountCalls) delete(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.named(r)
	if err != nil {
		return nil, err
	}
	s.world.Security.Accounts = slices.DeleteFunc(s.world.Security.Accounts, func(a *account) bool { return a == found })
	return nil, s.save()
}

// securityRoutes are the endpoints of roles and accounts.
func (s gate) securityRoutes() map[string]route {
	roles, accounts := roleCalls{s}, accountCalls{s}
	one := "/security/roles/{owner.uuid}/{name}"
	return map[string]route{
		rolesSchema:                              {"GET": roles.list, "POST": roles.create},
		one:                                      {"GET": roles.get, "DELETE": roles.delete},
		privilegesSchema:                         {"GET": roles.privilegeList, "POST": roles.privilegeCreate},
		privilegesSchema + "/{path}":             {"GET": roles.privilegeGet, "PATCH": roles.privilegePatch, "DELETE": roles.privilegeDelete},
		accountsSchema:                           {"GET": accounts.list, "POST": accounts.create},
		"/security/accounts/{owner.uuid}/{name}": {"GET": accounts.get, "PATCH": accounts.patch, "DELETE": accounts.delete},
	}
}
