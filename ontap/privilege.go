package ontap

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Access is what a REST role may do below a path.
type Access string

// The access levels of `security login rest-role`.
const (
	AccessNone             Access = "none"
	AccessReadonly         Access = "readonly"
	AccessReadCreate       Access = "read_create"
	AccessReadModify       Access = "read_modify"
	AccessReadCreateModify Access = "read_create_modify"
	AccessAll              Access = "all"
)

// methods of each level; GET, HEAD and OPTIONS come with every one but none.
var methods = map[Access][]string{
	AccessReadonly:         {},
	AccessReadCreate:       {http.MethodPost},
	AccessReadModify:       {http.MethodPatch},
	AccessReadCreateModify: {http.MethodPost, http.MethodPatch},
	AccessAll:              {http.MethodPost, http.MethodPatch, http.MethodDelete},
}

// Allows says whether the level allows a method. A level that this package does
// not know allows nothing.
func (a Access) Allows(method string) bool {
	more, known := methods[a]
	switch {
	case !known:
		return false
	case method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions:
		return true
	}
	return slices.Contains(more, method)
}

// Privilege is one line of a REST role.
type Privilege struct {
	Path   string `json:"path"` // below the host, e.g. /api/storage/volumes; * is any one segment
	Access Access `json:"access"`
}

// Need is a Privilege that berth uses, and its purpose. Without an Optional one a
// feature is missing; without another one the service is.
type Need struct {
	Privilege
	For      string
	Optional bool

	// Since and Until are the releases that know the path; a zero one is no limit.
	// Another release refuses to make such a line of a role.
	Since, Until Version
}

// In says whether a release knows the path. The zero Version may be any release.
func (n Need) In(v Version) bool {
	return v == Version{} || v.AtLeast(n.Since) && (n.Until == Version{} || n.Until.AtLeast(v))
}

// Needs are the privileges for all methods of Client: the least-privilege role.
// Those that old releases refuse come last.
func Needs() []Need {
	need := func(path string, access Access, why string) Need {
		return Need{Privilege: Privilege{"/api" + path, access}, For: why}
	}
	optional := func(path string, access Access, why string) Need {
		n := need(path, access, why)
		n.Optional = true
		return n
	}
	restore := optional("/storage/directory-restore", AccessReadCreate, "restoring a directory without copying it")
	restore.Since, restore.Until = Version{Generation: 9, Major: 15, Minor: 1}, Version{Generation: 9, Major: 16, Minor: 1}
	files := optional("/storage/volumes/*/files", AccessAll, "deleting a directory on the filer, sizes without a walk")
	files.Since = Version{Generation: 9, Major: 12, Minor: 1}
	whoami := optional("/security/login/whoami", AccessReadonly, "checking these privileges")
	whoami.Since = Version{Generation: 9, Major: 19, Minor: 1}
	return []Need{
		need("/cluster", AccessReadonly, "the release"),
		need("/cluster/jobs", AccessReadonly, "following what it has started"),
		need("/storage/volumes", AccessReadonly, "finding the FlexVol of the export"),
		need("/storage/volumes/*/snapshots", AccessAll, "listing, taking, commenting and deleting snapshots"),
		optional("/svm/svms", AccessReadonly, "saying which SVMs there are if the export is not found"),
		optional("/network/ip/interfaces", AccessReadonly, "telling SVMs apart that have the same junction path"),
		optional("/cluster/schedules", AccessReadonly, "showing when the next snapshot is due"),
		optional("/storage/snapshot-policies", AccessReadonly, "showing when the next snapshot is due"),
		optional("/storage/file/clone", AccessReadCreate, "restoring large files without copying them"),
		optional("/protocols/locks", AccessAll, "showing and breaking locks"),
		optional("/protocols/nfs/services", AccessReadonly, "finding out why .snapshot is hidden"),
		optional("/protocols/nfs/export-policies", AccessReadonly, "finding out whether root is squashed"),
		optional("/snapmirror/relationships", AccessReadonly, "showing copies elsewhere"),
		files,
		restore,
		whoami,
	}
}

// Grant is the command that an ONTAP administrator types to add a privilege to
// a role of an SVM; an svm of "" means a role of the cluster.
func (p Privilege) Grant(svm, role string) string { return p.grant("create", svm, role) }

func (p Privilege) grant(verb, svm, role string) string {
	var vserver string
	if svm != "" {
		vserver = " -vserver " + svm
	}
	return "security login rest-role " + verb + vserver + " -role " + role + " -api " + p.Path + " -access " + string(p.Access)
}

// WebAccess is the command that lets a role of an SVM log in to the REST
// interface at all.
func WebAccess(svm, role string) string {
	return "vserver services web access create -vserver " + svm + " -name rest -role " + role
}

// Missing is a Need that the role does not have.
type Missing struct {
	Need

	// Line says whether the role has a line for the path, with less access, which
	// has to be modified; nil means that nobody knows.
	Line *bool

	// Refused is when the cluster refused a change for lack of it. It is zero where
	// that was found out without a change.
	Refused time.Time
}

// Grant is the command that an ONTAP administrator types to add the privilege.
func (m Missing) Grant(svm, role string) string {
	switch {
	case m.Line == nil:
		return m.grant("create", svm, role) + "   (modify instead of create if the role has such a line)"
	case *m.Line:
		return m.grant("modify", svm, role)
	}
	return m.grant("create", svm, role)
}

// Identity is the user as the cluster knows it.
type Identity struct {
	Username   string      `json:"username"`
	Roles      []string    `json:"roles"`
	Privileges []Privilege `json:"privileges"`
}

// Whoami reads the user's own roles and privileges
// (GET /security/login/whoami). A release without it answers an error matching
// errors.ErrUnsupported.
func (c *Client) Whoami(ctx context.Context) (Identity, error) {
	// The call knows no query: it has no fields to choose from.
	got, err := do[Identity](ctx, c, request{method: http.MethodGet, path: "/security/login/whoami"})
	return got.body, err
}

// MissingPrivileges checks the user's own privileges against the Needs in this
// cluster's release and returns the missing ones. They are to be granted to the
// Identity's first role. In old releases predefined roles consist of commands;
// such a role cannot be compared, and the error matches errors.ErrUnsupported, as
// it does before 9.19.1.
func (c *Client) MissingPrivileges(ctx context.Context, release Version) (Identity, []Missing, error) {
	me, err := c.Whoami(ctx)
	if err != nil {
		return me, nil, err
	}
	if !slices.ContainsFunc(me.Privileges, func(p Privilege) bool { return strings.HasPrefix(p.Path, "/api") }) {
		return me, nil, &Error{Op: "GET /security/login/whoami", HTTP: http.StatusOK, err: errors.ErrUnsupported,
			Message: "role " + strings.Join(me.Roles, ", ") + " is made of commands and not of REST paths; what it lacks shows when it is needed"}
	}
	return me, missing(me.Privileges, release), nil
}

func missing(have []Privilege, release Version) []Missing {
	var out []Missing
	for _, n := range Needs() {
		if !n.In(release) {
			continue
		}
		got := Effective(have, n.Path)
		allowed := got.Allows(http.MethodGet)
		for _, m := range methods[n.Access] {
			allowed = allowed && got.Allows(m)
		}
		if !allowed {
			line := slices.ContainsFunc(have, func(p Privilege) bool { return p.Path == n.Path })
			out = append(out, Missing{Need: n, Line: &line})
		}
	}
	return out
}

// NeedFor names the privilege whose absence explains err: an Error of one of
// our calls that ONTAP refused for lack of permission, not of a password.
func NeedFor(err error) (Need, bool) {
	var e *Error
	if !errors.As(err, &e) || e == nil || !errors.Is(err, fs.ErrPermission) || e.HTTP == http.StatusUnauthorized || e.Code == CodeReadOnly {
		return Need{}, false
	}
	_, path, ok := strings.Cut(e.Op, " ")
	if !ok {
		return Need{}, false
	}
	return needOf(path)
}

// needOf is the Need for a path below /api.
func needOf(path string) (Need, bool) {
	var best Need
	for _, n := range Needs() {
		if covers(n.Path, "/api"+path) && len(n.Path) > len(best.Path) {
			best = n
		}
	}
	return best, best.Path != ""
}

// Effective returns the access that a role gives to a path. The longest entry
// decides that is the path or a directory above it. A segment * of an entry
// stands for any one segment.
func Effective(have []Privilege, path string) Access {
	access, longest := AccessNone, -1
	for _, p := range have {
		depth := strings.Count(strings.TrimSuffix(p.Path, "/"), "/")
		if depth > longest && covers(p.Path, path) {
			access, longest = p.Access, depth
		}
	}
	return access
}

func covers(entry, path string) bool {
	want := strings.Split(strings.Trim(entry, "/"), "/")
	have := strings.Split(strings.Trim(path, "/"), "/")
	if len(want) > len(have) {
		return false
	}
	for i, w := range want {
		if w != "*" && w != have[i] {
			return false
		}
	}
	return true
}
