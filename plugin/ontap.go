package plugin

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/doctor"
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

	Policy           string   `json:"snapshot_policy"`     // none: it has none; empty: not known
	Hidden           []string `json:"snapshots_hidden_by"` // the reasons why clients do not see .snapshot
	Visible          *bool    `json:"snapshots_visible"`   // to NFSv3 clients; nil: not known
	DirectoryRestore *bool    `json:"directory_restore"`   // nil: not known
	RootSquashed     []string `json:"root_squashed_for"`   // clients of rules that squash root; nil: not known

	SnapshotLimit   int64            `json:"snapshot_limit"`
	ReservePercent  *int64           `json:"snapshot_reserve_percent"`
	Autodelete      *bool            `json:"snapshot_autodelete"`
	Locked          []LockedSnapshot `json:"locked_snapshots"` // nil: not known
	Copies          []ONTAPCopy      `json:"copies"`           // of the volume elsewhere; nil: not known
	AntiRansomware  string           `json:"anti_ransomware"`
	AttackProbable  string           `json:"attack_probability"`
	Suspects        []ontap.Suspect  `json:"suspect_files"`
	Analytics       string           `json:"file_system_analytics"`
	AnalyticsEnable string           `json:"file_system_analytics_command,omitempty"` // turns it on

	Missing  []MissingPrivilege `json:"missing_privileges"`
	Unproven []string           `json:"unproven_privileges"` // known after the first change that needs them
	Problems []ONTAPProblem     `json:"problems"`
}

// LockedSnapshot is a snapshot that nobody can delete before a time.
type LockedSnapshot struct {
	Name  string    `json:"name"`
	Until time.Time `json:"until"`
}

// ONTAPCopy is a copy of the volume that SnapMirror keeps.
type ONTAPCopy struct {
	Destination string   `json:"destination"`
	State       string   `json:"state"`
	Healthy     *bool    `json:"healthy"`     // nil: this cluster does not know
	LagSeconds  *float64 `json:"lag_seconds"` // nil: this cluster does not know
	Reasons     []string `json:"unhealthy_reasons,omitempty"`
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

// ONTAPProblem is a part that is not known, and what to type to know it.
type ONTAPProblem struct {
	Part  string `json:"part"`
	Error string `json:"error"`
	Next  string `json:"next"`
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
		e.Kind, e.Hint = problem.Failed, "check BERTH_ONTAP_USER="+o.User+" and the password in "+o.PasswordFile+"; a new role logs in after, on the filer: "+
			ontap.WebAccess(cmp.Or(o.SVM, "SVM"), "berth")
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Hint = problem.NotFound, "check BERTH_EXPORT and BERTH_ONTAP_SVM"
	}
	return e
}

func describeONTAP(set Settings, st ontap.Status) *ONTAPStatus {
	vol := st.Export.Volume
	out := &ONTAPStatus{
		Address: set.ONTAP.Address, Cluster: st.Cluster.Name,
		User: cmp.Or(st.Identity.Username, set.ONTAP.User), Role: strings.Join(st.Identity.Roles, ", "),
		SVM: cmp.Or(st.Export.SVM.Name, vol.SVM.Name), Volume: vol.Name, Junction: vol.NAS.Path, Below: st.Export.Sub, Security: vol.NAS.SecurityStyle,
		SizeBytes: vol.Space.Size, AvailableBytes: vol.Space.Available, SnapshotUsedBytes: vol.Space.Snapshot.Used, Snapshots: vol.SnapshotCount,
		Hidden: append([]string{}, st.Hidden...), DirectoryRestore: st.DirectoryRestore,
		SnapshotLimit: ontap.MaxSnapshots, ReservePercent: vol.Space.Snapshot.ReservePercent, Autodelete: vol.Space.Snapshot.Autodelete,
		AntiRansomware: vol.AntiRansomware.State, AttackProbable: vol.AntiRansomware.AttackProbability, Suspects: vol.AntiRansomware.Suspects,
		Analytics: vol.Analytics.State,
		Missing:   []MissingPrivilege{}, Unproven: []string{}, Problems: []ONTAPProblem{},
	}
	if st.Unknown(ontap.PartCluster) == nil {
		out.Version = st.Cluster.Version.String()
	}
	if out.Analytics == "off" && (vol.Analytics.Supported == nil || *vol.Analytics.Supported) {
		out.AnalyticsEnable = "volume analytics on -vserver " + out.SVM + " -volume " + vol.Name
	}
	switch {
	case st.Policy.Name != "":
		out.Policy = st.Policy.String()
	case vol.SnapshotPolicy.Name == "none":
		out.Policy = "none"
	}
	if len(st.Hidden) > 0 || st.Unknown(ontap.PartSnapdir) == nil && st.Unknown(ontap.PartNFS) == nil {
		visible := len(st.Hidden) == 0
		out.Visible = &visible
	}
	if st.Unknown(ontap.PartRules) == nil {
		out.RootSquashed = []string{}
	}
	for _, r := range st.Rules {
		if len(r.Superuser) == 1 && r.Superuser[0] == "none" {
			for _, c := range r.Clients {
				out.RootSquashed = append(out.RootSquashed, c.Match)
			}
		}
	}
	out.history(st)
	svm, role := cmp.Or(out.SVM, cmp.Or(set.ONTAP.SVM, "SVM")), "berth"
	if len(st.Identity.Roles) > 0 {
		role = st.Identity.Roles[0]
	}
	for _, n := range st.Missing {
		out.Missing = append(out.Missing, MissingPrivilege{Path: n.Path, Access: string(n.Access), For: n.For, Optional: n.Optional, Grant: n.Grant(svm, role)})
	}
	for _, n := range st.Unproven() {
		out.Unproven = append(out.Unproven, n.Path+" "+string(n.Access))
	}
	for _, part := range ontap.Parts() {
		if vol.Name == "" && !slices.Contains([]ontap.Part{ontap.PartCluster, ontap.PartExport, ontap.PartRestore}, part) {
			continue // that the export is not known says it
		}
		if err := st.Unknown(part); err != nil && part != ontap.PartRole {
			out.Problems = append(out.Problems, ONTAPProblem{string(part), err.Error(), doctor.Learn(st, part, err)})
		}
	}
	return out
}

// history fills in what protects old versions.
func (st *ONTAPStatus) history(s ontap.Status) {
	if s.Locked != nil {
		st.Locked = []LockedSnapshot{}
	}
	for _, l := range s.Locked {
		st.Locked = append(st.Locked, LockedSnapshot{l.Name, *l.SnaplockExpiry})
	}
	if s.Copies != nil {
		st.Copies = []ONTAPCopy{}
	}
	for _, r := range s.Copies {
		c := ONTAPCopy{Destination: r.Destination, State: r.State, Healthy: r.Healthy, Reasons: r.UnhealthyReason}
		if lag, ok := r.LagTime(); ok {
			c.LagSeconds = new(lag.Seconds())
		}
		st.Copies = append(st.Copies, c)
	}
}
