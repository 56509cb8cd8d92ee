package ontap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
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
}

// Needs are the privileges for all methods of Client: the least-privilege role.
func Needs() []Need {
	need := func(path string, access Access, why string, optional bool) Need {
		return Need{Privilege{"/api" + path, access}, why, optional}
	}
	return []Need{
		need("/cluster", AccessReadonly, "version, jobs and schedules", false),
		need("/svm/svms", AccessReadonly, "finding the SVM of the export", false),
		need("/network/ip/interfaces", AccessReadonly, "the NFS interfaces of the SVM", false),
		need("/storage/volumes", AccessReadonly, "finding the FlexVol of the export", false),
		need("/storage/volumes/*/snapshots", AccessAll, "listing, taking, commenting and deleting snapshots", false),
		need("/storage/snapshot-policies", AccessReadonly, "showing when the next snapshot is due", true),
		need("/storage/volumes/*/files", AccessAll, "deleting a directory on the filer", true),
		need("/storage/file/clone", AccessReadCreate, "restoring large files without copying them", true),
		need("/storage/directory-restore", AccessReadCreate, "restoring a directory without copying it (9.15.1 and 9.16.1)", true),
		need("/protocols/locks", AccessAll, "showing and breaking locks", true),
		need("/protocols/nfs/services", AccessReadonly, "finding out why .snapshot is hidden", true),
		need("/protocols/nfs/export-policies", AccessReadonly, "finding out whether root is squashed", true),
		need("/security/login/whoami", AccessReadonly, "checking these privileges", true),
	}
}

// Grant is the command that an ONTAP administrator types to add a privilege to
// a role of an SVM; an svm of "" means a role of the cluster.
func (p Privilege) Grant(svm, role string) string {
	var vserver string
	if svm != "" {
		vserver = " -vserver " + svm
	}
	return fmt.Sprintf("security login rest-role create%s -role %s -api %s -access %s", vserver, role, p.Path, p.Access)
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

// MissingPrivileges checks the user's own privileges against Needs and
// returns the missing ones. They are to be granted to the Identity's first
// role. In old releases predefined roles consist of commands; such a role cannot
// be compared, and the error matches errors.ErrUnsupported.
func (c *Client) MissingPrivileges(ctx context.Context) (Identity, []Need, error) {
	me, err := c.Whoami(ctx)
	if err != nil {
		return me, nil, err
	}
	if !slices.ContainsFunc(me.Privileges, func(p Privilege) bool { return strings.HasPrefix(p.Path, "/api") }) {
		return me, nil, &Error{Op: "GET /security/login/whoami", HTTP: http.StatusOK, err: errors.ErrUnsupported,
			Message: "role " + strings.Join(me.Roles, ", ") + " is made of commands and not of REST paths; what it lacks shows when it is needed"}
	}
	return me, missing(me.Privileges, Needs()), nil
}

func missing(have []Privilege, needs []Need) []Need {
	var out []Need
	for _, n := range needs {
		got := Effective(have, n.Path)
		allowed := got.Allows(http.MethodGet)
		for _, m := range methods[n.Access] {
			allowed = allowed && got.Allows(m)
		}
		if !allowed {
			out = append(out, n)
		}
	}
	return out
}

// NeedFor names the privilege whose absence explains err: an Error of one of
// our calls that ONTAP refused for lack of permission, not of a password.
func NeedFor(err error) (Need, bool) {
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, fs.ErrPermission) || e.HTTP == http.StatusUnauthorized || e.Code == CodeReadOnly {
		return Need{}, false
	}
	_, path, ok := strings.Cut(e.Op, " ")
	if !ok {
		return Need{}, false
	}
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
