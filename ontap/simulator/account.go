package simulator

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"

	"github.com/casit/berth/ontap"
)

// The names that REST has for how one logs in; the shell says cert.
const (
	methodPassword    = "password"
	methodCertificate = "certificate"
)

// security is who may log in and do what, beside Config.User. It is part of the
// state file; of a password it has a hash.
type security struct {
	Roles     []*role    `json:"roles,omitempty"`
	Accounts  []*account `json:"accounts,omitempty"`
	WebAccess []owned    `json:"web_access,omitempty"` // roles that may use the web service rest
}

// owned names something of an SVM; an SVM of "" is the cluster.
type owned struct {
	SVM  string `json:"svm,omitempty"`
	Name string `json:"name"`
}

// role is a role of REST paths.
type role struct {
	owned
	Privileges []ontap.Privilege `json:"privileges"`
	builtin    bool
}

// account is a user of an SVM or of the cluster.
type account struct {
	owned
	Role         string        `json:"role"`
	Comment      string        `json:"comment,omitempty"`
	Locked       bool          `json:"locked,omitempty"`
	Hash         string        `json:"password_sha256,omitempty"`
	Applications []application `json:"applications"`
	failed       int           // wrong passwords in a row
}

type application struct {
	Name    string   `json:"application"` // e.g. http
	Methods []string `json:"authentication_methods"`
}

// gate decides who may log in and do what.
type gate struct{ *Simulator }

// builtinRoles are those that every cluster has and that nobody can change.
func builtinRoles(svms []string) []*role {
	all := func(svm, name string, access ontap.Access) *role {
		return &role{owned: owned{svm, name}, builtin: true, Privileges: []ontap.Privilege{{Path: "/api", Access: access}}}
	}
	out := []*role{all("", "admin", ontap.AccessAll), all("", "readonly", ontap.AccessReadonly), all("", "none", ontap.AccessNone)}
	for _, svm := range svms {
		out = append(out, all(svm, "vsadmin", ontap.AccessAll), all(svm, "vsadmin-readonly", ontap.AccessReadonly))
	}
	return out
}

// findRole is a role by its owner and name, nil if there is none. The caller holds mu.
func (s gate) findRole(id owned) *role {
	all := append(builtinRoles(s.svms()), s.world.Security.Roles...)
	if i := slices.IndexFunc(all, func(r *role) bool { return r.owned == id }); i >= 0 {
		return all[i]
	}
	return nil
}

// findAccount is an account by its owner and name, nil if there is none. The caller
// holds mu.
func (s gate) findAccount(id owned) *account {
	all := s.world.Security.Accounts
	if i := slices.IndexFunc(all, func(a *account) bool { return a.owned == id }); i >= 0 {
		return all[i]
	}
	return nil
}

func (a *account) may(name, method string) bool {
	return slices.ContainsFunc(a.Applications, func(x application) bool {
		return x.Name == name && slices.Contains(x.Methods, method)
	})
}

// hash is salted with the account, so that two with one password differ.
func (a *account) hash(password string) string {
	sum := sha256.Sum256([]byte(a.SVM + "\x00" + a.Name + "\x00" + password))
	return hex.EncodeToString(sum[:])
}

// user is who makes a call.
type user struct {
	owned
	role       string
	privileges []ontap.Privilege
}

// login finds out who makes a call: by password, or by a certificate that the TLS
// handshake has verified.
func (s gate) login(r *call) (user, *failure) {
	name, password, basic := r.BasicAuth()
	if basic && name == s.cfg.User && s.passwordIs(password) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.firstUser(), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if basic {
		for _, a := range s.world.Security.Accounts {
			if a.Name == name && a.may("http", methodPassword) && s.proves(a, password) {
				return s.admit(a)
			}
		}
	} else if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		name := r.TLS.PeerCertificates[0].Subject.CommonName
		for _, a := range s.world.Security.Accounts {
			if a.Name == name && a.may("http", methodCertificate) && !a.Locked {
				return s.admit(a)
			}
		}
		r.note = "no account for the certificate of " + name
	}
	return user{}, notAuthorized
}

// proves checks a password, and locks the account after too many wrong ones. The
// caller holds mu.
func (s gate) proves(a *account, password string) bool {
	right := a.Hash != "" && subtle.ConstantTimeCompare([]byte(a.Hash), []byte(a.hash(password))) == 1
	if right && !a.Locked {
		a.failed = 0
		return true
	}
	if a.failed++; s.cfg.MaxFailedLogins > 0 && a.failed >= s.cfg.MaxFailedLogins {
		a.Locked = true
	}
	return false
}

// firstUser is Config.User. The caller holds mu.
func (s gate) firstUser() user {
	role := "berth"
	if s.cfg.Role == nil {
		role = "admin"
	}
	return user{owned: owned{"", s.cfg.User}, role: role, privileges: s.role}
}

// admit lets an account in, if its role has access to the web service. The caller
// holds mu.
func (s gate) admit(a *account) (user, *failure) {
	id := owned{a.SVM, a.Role}
	found := s.findRole(id)
	if found == nil {
		return user{}, notAuthorized
	}
	if s.cfg.WebAccess == "explicit" && !found.builtin && !slices.Contains(s.world.Security.WebAccess, id) {
		return user{}, noWebAccess
	}
	return user{owned: a.owned, role: a.Role, privileges: slices.Clone(found.Privileges)}, nil
}

// noWebAccess refuses a role that no `vserver services web access create` names.
var noWebAccess = fail(http.StatusForbidden, ontap.CodeNotAuthorized, "", "User is not authorized: the role has no access to the web service \"rest\".")

// sees says whether the user of an SVM may see a record: those of other SVMs are
// not there.
func (u user) sees(schemaName string, x record) bool {
	if u.SVM == "" {
		return true
	}
	svm := x.text("svm.name")
	if schemaName == "/svm/svms" {
		svm = x.text("name")
	}
	return svm == "" || svm == u.SVM || svm == u.SVM+"-mc"
}
