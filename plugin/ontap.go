package plugin

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/problem"
)

// ONTAPStatus is the answer to Berth.ONTAPStatus: the filer behind the export, as
// its API shows it. A part that the API did not tell is empty, and Problems says
// why.
type ONTAPStatus struct {
	Address  string `json:"address"`
	Cluster  string `json:"cluster"`
	Version  string `json:"version"`
	User     string `json:"user"`
	Role     string `json:"role"`
	SVM      string `json:"svm"`
	Volume   string `json:"volume"`
	Junction string `json:"junction"`
	Below    string `json:"below_junction,omitempty"` // of the export's path
	Security string `json:"security_style"`

	SizeBytes         int64  `json:"size_bytes"`
	AvailableBytes    int64  `json:"available_bytes"`
	SnapshotUsedBytes *int64 `json:"snapshot_used_bytes"` // nil: not known
	Snapshots         *int64 `json:"snapshots"`           // nil: not known

	Policy           string   `json:"snapshot_policy"`
	Hidden           []string `json:"snapshots_hidden_by"` // the reasons why clients do not see .snapshot
	DirectoryRestore bool     `json:"directory_restore"`
	RootSquashed     []string `json:"root_squashed_for"` // clients of rules that squash root

	Missing  []MissingPrivilege `json:"missing_privileges"`
	Problems []ONTAPProblem     `json:"problems"`
}

// Blocked says that berth cannot work with the filer in this state.
func (st ONTAPStatus) Blocked() bool {
	for _, m := range st.Missing {
		if !m.Optional {
			return true
		}
	}
	return st.Volume == "" || len(st.Hidden) > 0
}

// MissingPrivilege is a privilege that the role lacks, and the command that
// grants it.
type MissingPrivilege struct {
	Path     string `json:"path"`
	Access   string `json:"access"`
	For      string `json:"for"`
	Optional bool   `json:"optional"` // it costs a feature, not the service
	Grant    string `json:"grant"`
}

// ONTAPProblem is a part that the API did not tell.
type ONTAPProblem struct {
	Part  string `json:"part"`
	Error string `json:"error"`
}

// ontapStatus asks the filer with a client of its own, so that nothing else in the
// plugin waits for the filer.
func (s *Server) ontapStatus(ctx context.Context, ss *session, _ Empty) (*ONTAPStatus, error) {
	set := ss.settings()
	if set.ONTAP.Address == "" {
		return nil, &problem.Error{Kind: problem.Failed, Reason: "BERTH_ONTAP is not set: berth does not talk to the filer's REST interface",
			Hint: "set BERTH_ONTAP, BERTH_ONTAP_USER and BERTH_ONTAP_PASSWORD_FILE in " + SettingsFile + "; docs/ontap.md says what the filer needs"}
	}
	if set.Dir != "" {
		return nil, &problem.Error{Kind: problem.Failed, Reason: "the export is a directory of this host, so berth cannot know where it is on the filer",
			Hint: "set BERTH_EXPORT=nfs://FILER/PATH"}
	}
	client, err := s.newONTAP(set.ONTAP)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	st, err := askFiler(ctx, set, client)
	if err != nil {
		return nil, ontapError(set.ONTAP, err)
	}
	return describeONTAP(set, st), nil
}

// ontapError adds the setting to check when the filer answers nothing at all.
func ontapError(o ONTAP, err error) error {
	e := &problem.Error{Kind: problem.Unreachable, Reason: err.Error(), Hint: "check BERTH_ONTAP=" + o.Address + " and that its management interface takes HTTPS from here"}
	cure, ofCertificate := ontap.CertificateCure(err, o.Address, o.CA)
	switch {
	case ofCertificate:
		e.Kind, e.Hint = problem.Failed, cure
	case errors.Is(err, ontap.ErrPassword) && o.Cert != "":
		e.Kind, e.Hint = problem.Failed, "the filer logs nobody in by BERTH_ONTAP_CERT="+o.Cert+"; on the filer: 'security certificate install -type client-ca', 'security ssl modify -client-enabled true', "+
			"'security login create -user-or-group-name NAME -application http -authentication-method cert', where NAME is the common name of the certificate: openssl x509 -noout -subject -enddate -in "+o.Cert
	case errors.Is(err, ontap.ErrPassword), errors.Is(err, fs.ErrPermission):
		e.Kind, e.Hint = problem.Failed, "check BERTH_ONTAP_USER="+o.User+" and the password in "+o.PasswordFile
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Hint = problem.NotFound, "check BERTH_EXPORT and BERTH_ONTAP_SVM"
	}
	return e
}

func describeONTAP(set Settings, st ontap.Status) *ONTAPStatus {
	vol := st.Export.Volume
	out := &ONTAPStatus{
		Address: set.ONTAP.Address, Cluster: st.Cluster.Name, Version: st.Cluster.Version.String(),
		User: st.Identity.Username, Role: strings.Join(st.Identity.Roles, ", "),
		SVM: st.Export.SVM.Name, Volume: vol.Name, Junction: vol.NAS.Path, Below: st.Export.Sub, Security: vol.NAS.SecurityStyle,
		SizeBytes: vol.Space.Size, AvailableBytes: vol.Space.Available, SnapshotUsedBytes: vol.Space.Snapshot.Used, Snapshots: vol.SnapshotCount,
		Hidden: append([]string{}, st.Hidden...), DirectoryRestore: st.DirectoryRestore,
		RootSquashed: []string{}, Missing: []MissingPrivilege{}, Problems: []ONTAPProblem{},
	}
	if st.Policy.Name != "" {
		out.Policy = st.Policy.String()
	}
	for _, r := range st.Rules {
		if len(r.Superuser) == 1 && r.Superuser[0] == "none" {
			for _, c := range r.Clients {
				out.RootSquashed = append(out.RootSquashed, c.Match)
			}
		}
	}
	role := "berth"
	if len(st.Identity.Roles) > 0 {
		role = st.Identity.Roles[0]
	}
	for _, n := range st.Missing {
		out.Missing = append(out.Missing, MissingPrivilege{Path: n.Path, Access: string(n.Access), For: n.For, Optional: n.Optional, Grant: n.Grant(out.SVM, role)})
	}
	for _, p := range st.Problems {
		out.Problems = append(out.Problems, ONTAPProblem{p.Part, p.Err.Error()})
	}
	return out
}
