package simulator

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/casit/berth/ontap"
)

// The resources of this file, by hand from NetApp's reference pages: the reference
// at hand lacks them.
const (
	rolesSchema      = "/security/roles"
	privilegesSchema = "/security/roles/{owner.uuid}/{name}/privileges"
	accountsSchema   = "/security/accounts"
)

var securitySchemas = map[string]schema{
	rolesSchema: {Fields: map[string]string{
		"name": "string", "scope": "string ro", "builtin": "boolean ro", "comment": "string",
		"owner.name": "string", "owner.uuid": "string",
		"privileges.path": "string", "privileges.access": "string", "privileges.query": "string",
	}},
	privilegesSchema: {Fields: map[string]string{"path": "string", "access": "string", "query": "string"}},
	accountsSchema: {Fields: map[string]string{
		"name": "string", "scope": "string ro", "comment": "string", "locked": "boolean", "password": "string",
		"password_hash_algorithm": "string", "owner.name": "string", "owner.uuid": "string",
		"role": "string", "role.name": "string",
		"applications.application": "string", "applications.authentication_methods": "array",
		"applications.second_authentication_method": "string",
	}},
}

// The refusals of the documentation's tables for roles and accounts.
var (
	badRolePath  = fail(http.StatusBadRequest, "5636169", "path", "Specified URI path is invalid or not supported. Resource-qualified endpoints are not supported.")
	roleInUse    = fail(http.StatusConflict, "5636172", "name", "User accounts detected with this role assigned. Update or delete those accounts before deleting this role.")
	noSuchUUID   = fail(http.StatusBadRequest, "5636185", "owner.uuid", "The specified UUID was not found.")
	builtinRole  = fail(http.StatusConflict, "1263347", "name", "Cannot modify pre-defined roles.")
	noSuchSVM    = fail(http.StatusBadRequest, "13434893", "owner.name", "The SVM does not exist.")
	noSuchRole   = fail(http.StatusBadRequest, "1261215", "role", "The role was not found.")
	weakPassword = fail(http.StatusBadRequest, "7077919", "password", "The minimum length for new password does not meet the policy.")
)

func duplicate(field string) *failure {
	return fail(http.StatusConflict, "1", field, "duplicate entry")
}

// roleCalls answers for roles and their privileges.
type roleCalls struct{ gate }

// ownerUUID is the uuid of an SVM, or of the cluster for "". The caller holds mu or
// only reads what is constant.
func (s gate) ownerUUID(svm string) string {
	if svm == "" {
		return s.world.ClusterUUID
	}
	return s.world.SVMUUIDs[svm]
}

// owner finds the SVM of a uuid, "" for the cluster.
func (s gate) owner(uuid string) (string, error) {
	if uuid == s.world.ClusterUUID {
		return "", nil
	}
	for _, svm := range s.svms() {
		if s.world.SVMUUIDs[svm] == uuid {
			return svm, nil
		}
	}
	return "", noSuchUUID
}

// ownerOf is the owner that a body names: none means the cluster, or the SVM of
// the user.
func (s gate) ownerOf(r *call, body record) (string, error) {
	svm := body.text("owner.name")
	if uuid := body.text("owner.uuid"); uuid != "" {
		var err error
		if svm, err = s.owner(uuid); err != nil {
			return "", err
		}
	}
	switch {
	case svm == "cluster1":
		svm = ""
	case svm != "" && !slices.Contains(s.svms(), svm):
		return "", noSuchSVM
	case svm == "":
		svm = r.user.SVM
	}
	if r.user.SVM != "" && svm != r.user.SVM {
		return "", notAllowed
	}
	return svm, nil
}

func (s gate) ownerRecord(svm string) record {
	return record{"name": orString(svm, "cluster1"), "uuid": s.ownerUUID(svm)}
}

func scope(svm string) string {
	if svm == "" {
		return "cluster"
	}
	return "svm"
}

func (s roleCalls) all(r *call) collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: rolesSchema, key: "name", defaults: []string{"owner", "scope", "builtin", "privileges"},
		self: func(x record) string {
			return "/api/security/roles/" + x.text("owner.uuid") + "/" + url.PathEscape(x.text("name"))
		}}
	for _, one := range append(builtinRoles(s.svms()), s.world.Security.Roles...) {
		if r.user.SVM != "" && r.user.SVM != one.SVM {
			continue
		}
		privileges := []record{}
		for _, p := range one.Privileges {
			privileges = append(privileges, rec("path", p.Path, "access", string(p.Access)))
		}
		c.records = append(c.records, rec("name", one.Name, "scope", scope(one.SVM), "builtin", one.builtin,
			"owner", s.ownerRecord(one.SVM), "privileges", privileges))
	}
	return c
}

func (s roleCalls) list(r *call) (any, error) { return s.all(r).list(r) }

// named is the role that a path names. The caller holds mu.
func (s roleCalls) named(r *call) (*role, error) {
	svm, err := s.owner(r.vars["owner.uuid"])
	if err != nil {
		return nil, err
	}
	found := s.findRole(owned{svm, r.vars["name"]})
	if found == nil || r.user.SVM != "" && r.user.SVM != svm {
		return nil, entryNotFound("name")
	}
	return found, nil
}

func (s roleCalls) get(r *call) (any, error) {
	c := s.all(r)
	c.records = slices.DeleteFunc(c.records, func(x record) bool { return x.text("owner.uuid") != r.vars["owner.uuid"] })
	return c.one(r, r.vars["name"])
}

func (s roleCalls) create(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(rolesSchema)
	if err != nil {
		return nil, err
	}
	svm, err := s.ownerOf(r, body)
	if err != nil {
		return nil, err
	}
	made := &role{owned: owned{svm, body.text("name")}}
	given, _ := body["privileges"].([]record)
	switch {
	case made.Name == "":
		return nil, missing("name")
	case len(given) == 0:
		return nil, missing("privileges")
	}
	for _, x := range given {
		p, err := s.privilege(x)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(made.Privileges, func(have ontap.Privilege) bool { return have.Path == p.Path }) {
			return nil, duplicate("privileges.path")
		}
		made.Privileges = append(made.Privileges, p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.findRole(made.owned) != nil {
		return nil, duplicate("name")
	}
	s.world.Security.Roles = append(s.world.Security.Roles, made)
	r.header.Set("Location", "/api/security/roles/"+s.ownerUUID(svm)+"/"+url.PathEscape(made.Name))
	r.status = http.StatusCreated
	return nil, s.save()
}

func (s roleCalls) delete(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.named(r)
	if err != nil {
		return nil, err
	}
	switch {
	case found.builtin:
		return nil, builtinRole
	case s.roleUsed(found.owned):
		return nil, roleInUse
	}
	s.removeRole(found)
	return nil, s.save()
}

func (s roleCalls) roleUsed(id owned) bool {
	return slices.ContainsFunc(s.world.Security.Accounts, func(a *account) bool { return a.SVM == id.SVM && a.Role == id.Name })
}

func (s roleCalls) removeRole(gone *role) {
	s.world.Security.Roles = slices.DeleteFunc(s.world.Security.Roles, func(x *role) bool { return x == gone })
	s.world.Security.WebAccess = slices.DeleteFunc(s.world.Security.WebAccess, func(x owned) bool { return x == gone.owned })
}

// privilege reads a tuple of path and access and judges it as the release does.
func (s gate) privilege(x record) (ontap.Privilege, error) {
	p := ontap.Privilege{Path: x.text("path"), Access: ontap.Access(x.text("access"))}
	switch {
	case p.Path == "":
		return p, missing("path")
	case p.Access == "":
		return p, missing("access")
	case p.Access != ontap.AccessNone && !p.Access.Allows(http.MethodGet):
		return p, invalid(string(p.Access), "access")
	}
	if f := s.rolePath(p.Path); f != nil {
		return p, f
	}
	return p, nil
}

// others are paths of ONTAP that roles may have and that the simulator does not
// serve, with all below them.
var others = strings.Fields(`/api/application /api/cloud /api/name-services /api/private /api/resource-tags /api/snapmirror /api/support
	/api/cluster/chassis /api/cluster/counter /api/cluster/firmware /api/cluster/licensing /api/cluster/mediators /api/cluster/metrics
	/api/cluster/metrocluster /api/cluster/ntp /api/cluster/peers /api/cluster/sensors /api/cluster/software /api/cluster/web
	/api/network/ethernet /api/network/fc /api/network/http-proxy /api/network/ipspaces /api/network/ip/bgp /api/network/ip/routes
	/api/network/ip/service-policies /api/network/ip/subnets /api/protocols/active-directory /api/protocols/audit /api/protocols/cifs
	/api/protocols/file-access-tracing /api/protocols/file-security /api/protocols/fpolicy /api/protocols/ndmp /api/protocols/nfs/connected-clients
	/api/protocols/nfs/kerberos /api/protocols/nvme /api/protocols/s3 /api/protocols/san /api/protocols/vscan /api/security/anti-ransomware
	/api/security/audit /api/security/authentication /api/security/aws-kms /api/security/azure-key-vaults /api/security/certificates
	/api/security/gcp-kms /api/security/ipsec /api/security/key-managers /api/security/key-stores /api/security/login/messages
	/api/security/multi-admin-verify /api/security/ssh /api/storage/availability-zones /api/storage/bridges /api/storage/cluster
	/api/storage/disks /api/storage/file/clone /api/storage/file/copy /api/storage/file/moves /api/storage/flexcache /api/storage/luns
	/api/storage/monitored-files /api/storage/namespaces /api/storage/pools /api/storage/ports /api/storage/qos /api/storage/qtrees
	/api/storage/quota /api/storage/shelves /api/storage/snaplock /api/storage/switches /api/storage/tape-devices
	/api/storage/volume-efficiency-policies /api/svm/migrations /api/svm/peer-permissions /api/svm/peers`)

// rolePath refuses a path that the release cannot have in a role: an API that it
// lacks, or a path with an object in it that is not of the few that may have one.
func (s gate) rolePath(p string) *failure {
	if p != "/api" && !strings.HasPrefix(p, "/api/") || strings.HasSuffix(p, "/") {
		return badRolePath
	}
	if strings.ContainsRune(p, '*') || s.qualified(p) {
		for known, span := range since().RolePaths {
			if s.cfg.plays(span) && ontap.Effective([]ontap.Privilege{{Path: known, Access: ontap.AccessAll}}, p) == ontap.AccessAll {
				return nil
			}
		}
		return badRolePath
	}
	if under(strings.ReplaceAll(p, "/", "."), dotted(others)) {
		return nil
	}
	for template, all := range s.routes() {
		plain, _, _ := strings.Cut("/api"+template, "/{")
		if s.cfg.released(template, all) != nil && (plain == p || strings.HasPrefix(plain, p+"/") || p == "/api") {
			return nil
		}
	}
	return badRolePath
}

// qualified says whether a path names one volume or SVM by its uuid.
func (s gate) qualified(p string) bool {
	words := strings.Split(p, "/")
	return len(words) > 4 && (words[3] == "volumes" || words[3] == "svms") && strings.Count(words[4], "-") == 4
}

func dotted(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, strings.ReplaceAll(p, "/", "."))
	}
	return out
}

// privilegeList is GET on a role's privileges.
func (s roleCalls) privilegeList(r *call) (any, error) {
	c, err := s.privileges(r)
	if err != nil {
		return nil, err
	}
	return c.list(r)
}

func (s roleCalls) privilegeGet(r *call) (any, error) {
	c, err := s.privileges(r)
	if err != nil {
		return nil, err
	}
	return c.one(r, r.vars["path"])
}

func (s roleCalls) privileges(r *call) (collection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.named(r)
	if err != nil {
		return collection{}, err
	}
	base := "/api/security/roles/" + r.vars["owner.uuid"] + "/" + url.PathEscape(found.Name) + "/privileges/"
	c := collection{schema: privilegesSchema, key: "path", defaults: []string{"access"},
		self: func(x record) string { return base + url.QueryEscape(x.text("path")) }}
	for _, p := range found.Privileges {
		c.records = append(c.records, rec("path", p.Path, "access", string(p.Access)))
	}
	return c, nil
}

// privilegeCreate adds a tuple. A path that is there already is refused: it is
// changed by PATCH.
func (s roleCalls) privilegeCreate(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(privilegesSchema)
	if err != nil {
		return nil, err
	}
	p, err := s.privilege(body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.named(r)
	switch {
	case err != nil:
		return nil, err
	case found.builtin:
		return nil, builtinRole
	case slices.ContainsFunc(found.Privileges, func(have ontap.Privilege) bool { return have.Path == p.Path }):
		return nil, duplicate("path")
	}
	found.Privileges = append(found.Privileges, p)
	r.header.Set("Location", r.URL.EscapedPath()+"/"+url.QueryEscape(p.Path))
	r.status = http.StatusCreated
	return nil, s.save()
}

// privilegePatch changes the access to a path.
func (s roleCalls) privilegePatch(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(privilegesSchema)
	if err != nil {
		return nil, err
	}
	access := ontap.Access(body.text("access"))
	if access != ontap.AccessNone && !access.Allows(http.MethodGet) {
		return nil, invalid(string(access), "access")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, i, err := s.tuple(r)
	if err != nil {
		return nil, err
	}
	found.Privileges[i].Access = access
	return nil, s.save()
}

// privilegeDelete takes a tuple away, and the role with its last one.
func (s roleCalls) privilegeDelete(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, i, err := s.tuple(r)
	if err != nil {
		return nil, err
	}
	if len(found.Privileges) == 1 {
		if s.roleUsed(found.owned) {
			return nil, roleInUse
		}
		s.removeRole(found)
		return nil, s.save()
	}
	found.Privileges = slices.Delete(found.Privileges, i, i+1)
	return nil, s.save()
}

// tuple is the role and the index of the privilege that a path names. The caller
// holds mu.
func (s roleCalls) tuple(r *call) (*role, int, error) {
	found, err := s.named(r)
	switch {
	case err != nil:
		return nil, 0, err
	case found.builtin:
		return nil, 0, builtinRole
	}
	i := slices.IndexFunc(found.Privileges, func(p ontap.Privilege) bool { return p.Path == r.vars["path"] })
	if i < 0 {
		return nil, 0, entryNotFound("path")
	}
	return found, i, nil
}
