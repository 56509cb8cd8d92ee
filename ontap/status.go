package ontap

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Part names a part of a Status.
type Part string

// The parts of a Status.
const (
	PartCluster    Part = "cluster"
	PartExport     Part = "export"
	PartRole       Part = "role"
	PartPolicy     Part = "snapshot policy"
	PartSnapdir    Part = "snapshot directory" // whether the FlexVol shows .snapshot
	PartNFS        Part = "nfs service"        // whether the NFS service shows .snapshot
	PartRules      Part = "export rules"
	PartStyle      Part = "security style"
	PartRestore    Part = "directory restore"
	PartMirror     Part = "copies elsewhere"
	PartLocked     Part = "locked snapshots"
	PartCount      Part = "number of snapshots"
	PartReserve    Part = "snapshot reserve"
	PartAutodelete Part = "snapshot autodelete"
	PartRansomware Part = "anti-ransomware"
	PartAnalytics  Part = "file system analytics"
)

// Parts are all parts of a Status.
func Parts() []Part {
	return []Part{PartCluster, PartExport, PartRole, PartPolicy, PartSnapdir, PartNFS, PartRules, PartStyle, PartRestore,
		PartMirror, PartLocked, PartCount, PartReserve, PartAutodelete, PartRansomware, PartAnalytics}
}

// Status describes the cluster behind an export, for people. A part that the
// cluster did not tell is zero, and Unknown says why. The zero Status knows
// nothing.
type Status struct {
	Cluster Cluster
	Export  Export
	Policy  SnapshotPolicy
	NFS     NFSService
	Rules   []ExportRule // of the FlexVol's export policy; nil if not known

	// Hidden says why clients do not see .snapshot. Where it is empty, nothing hides
	// .snapshot if PartSnapdir and PartNFS are known.
	Hidden []string

	DirectoryRestore *bool // this release has directory-restore; nil if not known

	Copies []Relationship // of the FlexVol elsewhere; nil if not known
	Locked []Snapshot     // the locked ones; nil if not known

	Identity Identity  // as whoami says, or empty
	Granted  []Need    // privileges that the user has
	Missing  []Missing // privileges that the user lacks

	Problems []Problem
}

// Problem is a part of a Status that the cluster did not tell.
type Problem struct {
	Part Part
	Err  error
}

// Why a part is not known of which no call failed.
var (
	errNotTold  = errors.New("this release or this role does not show it")
	errNotAsked = errors.New("not asked, since the export is not known")
)

// Unknown says why a part is not known; it is nil for a part that is.
func (s Status) Unknown(part Part) error {
	for _, p := range s.Problems {
		if p.Part == part {
			return p.Err
		}
	}
	vol := s.Export.Volume
	known := map[Part]bool{
		PartCluster:    s.Cluster.Version != Version{},
		PartExport:     vol.Name != "",
		PartRole:       len(s.Unproven()) == 0,
		PartPolicy:     vol.SnapshotPolicy.Name == "none" || vol.SnapshotPolicy.Name != "" && s.Policy.Name != "",
		PartSnapdir:    vol.SnapshotDirectory != nil,
		PartNFS:        s.NFS.Protocol.V3Features.HideSnapshot != nil,
		PartRules:      len(s.Rules) > 0 && !slices.ContainsFunc(s.Rules, func(r ExportRule) bool { return len(r.Superuser) == 0 }),
		PartStyle:      vol.NAS.SecurityStyle != "",
		PartRestore:    s.DirectoryRestore != nil,
		PartMirror:     s.Copies != nil,
		PartLocked:     s.Locked != nil && vol.SnapshotLocking != nil,
		PartCount:      vol.SnapshotCount != nil,
		PartReserve:    vol.Space.Snapshot.ReservePercent != nil && vol.Space.Snapshot.Used != nil,
		PartAutodelete: vol.Space.Snapshot.Autodelete != nil,
		PartRansomware: vol.AntiRansomware.State == "disabled" || vol.AntiRansomware.State != "" && vol.AntiRansomware.AttackProbability != "",
		PartAnalytics:  vol.Analytics.State != "" && vol.Analytics.State != "unknown",
	}[part]
	if known {
		return nil
	}
	for _, p := range s.Problems {
		if p.Part == PartExport {
			return errNotAsked
		}
	}
	return errNotTold
}

// Unproven are the privileges of which nobody knows whether the user has them.
// Only looking is without consequences, so that what only a change needs is known
// after the change.
func (s Status) Unproven() []Need {
	var out []Need
	for _, n := range Needs() {
		known := slices.ContainsFunc(s.Granted, func(g Need) bool { return g.Path == n.Path }) ||
			slices.ContainsFunc(s.Missing, func(m Missing) bool { return m.Path == n.Path })
		if n.In(s.Cluster.Version) && !known {
			out = append(out, n)
		}
	}
	return out
}

// Status asks for all parts at once and goes on where a part fails, since a role
// may lack one privilege and have the others. It fails only if the cluster
// answers nothing at all. The arguments are those of ExportGet.
func (c *Client) Status(ctx context.Context, svm string, addrs []netip.Addr, exportPath string) (Status, error) {
	a := &asking{client: c}
	s := &a.Status
	var err error
	// Alone and first: a wrong password is tried once.
	s.Cluster, err = c.ClusterInfo(ctx)
	a.note(PartCluster, err)
	if err != nil && !lacksPrivilege(err) && s.Cluster.UUID == "" {
		return *s, err
	}
	first, cancel := share(ctx, 2)
	a.atOnce(
		func() { a.identify(first) },
		func() {
			ok, err := c.DirectoryRestoreSupported(first)
			if a.note(PartRestore, err) {
				s.DirectoryRestore = &ok
			}
		},
		func() {
			s.Export, err = c.ExportGet(first, svm, addrs, exportPath)
			a.note(PartExport, err)
		})
	cancel()
	var more []func()
	if s.Export.Volume.UUID != "" {
		more = a.ofVolume(ctx)
	}
	if len(s.Granted) == 0 {
		more = append(more, func() { a.prove(ctx) })
	}
	a.atOnce(more...)
	slices.SortStableFunc(s.Problems, func(x, y Problem) int {
		return slices.Index(Parts(), x.Part) - slices.Index(Parts(), y.Part)
	})
	s.Missing = slices.DeleteFunc(s.Missing, func(m Missing) bool { return !m.In(s.Cluster.Version) })
	order := Needs()
	at := func(n Need) int { return slices.IndexFunc(order, func(o Need) bool { return o.Path == n.Path }) }
	slices.SortStableFunc(s.Missing, func(x, y Missing) int { return at(x.Need) - at(y.Need) })
	s.Hidden = s.Export.Volume.Visibility(s.NFS)
	return *s, nil
}

// share gives a part of the time that ctx has left, so that one question without
// an answer leaves time for the others.
func share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/time.Duration(n))
}

// asking is a Status under way. Each question writes fields of its own.
type asking struct {
	client *Client
	mu     sync.Mutex // guards Problems, Granted and Missing
	Status
}

func (a *asking) atOnce(questions ...func()) {
	var wait sync.WaitGroup
	for _, q := range questions {
		wait.Go(q)
	}
	wait.Wait()
}

// note keeps why a part is not known, and the privilege that would tell it.
func (a *asking) note(part Part, err error) bool {
	if err == nil {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Problems = append(a.Problems, Problem{part, err})
	a.lacks(err)
	return false
}

// lacks keeps the privilege whose absence explains err. The caller holds mu.
func (a *asking) lacks(err error) bool {
	need, ok := NeedFor(err)
	if !ok {
		return false
	}
	if !slices.ContainsFunc(a.Missing, func(m Missing) bool { return m.Path == need.Path }) {
		a.Missing = append(a.Missing, Missing{Need: need, Line: new(bool)}) // any line would let us look
	}
	return true
}

// identify asks the cluster for the privileges. Only the newest releases tell.
func (a *asking) identify(ctx context.Context) {
	me, missing, err := a.client.MissingPrivileges(ctx, a.Cluster.Version)
	a.Identity = me
	if err != nil {
		if !isUnsupported(err) {
			a.note(PartRole, err)
		}
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Missing = append(a.Missing, missing...)
	for _, n := range Needs() {
		if n.In(a.Cluster.Version) && !slices.ContainsFunc(missing, func(m Missing) bool { return m.Path == n.Path }) {
			a.Granted = append(a.Granted, n)
		}
	}
}

// ofVolume are the questions about the export's FlexVol and SVM.
func (a *asking) ofVolume(ctx context.Context) []func() {
	c, s := a.client, &a.Status
	vol := s.Export.Volume
	return []func(){
		func() {
			if uuid := vol.SnapshotPolicy.UUID; uuid != "" && vol.SnapshotPolicy.Name != "none" {
				var err error
				s.Policy, err = c.SnapshotPolicyGet(ctx, uuid)
				a.note(PartPolicy, err)
			}
		},
		func() {
			var err error
			s.NFS, err = c.NFSServiceGet(ctx, vol.SVM.UUID)
			a.note(PartNFS, err)
		},
		func() {
			rules, err := c.ExportRuleList(ctx, vol.NAS.ExportPolicy.ID)
			if a.note(PartRules, err) {
				s.Rules = append([]ExportRule{}, rules...)
			}
		},
		func() {
			copies, err := c.SnapmirrorList(ctx, vol.SVM.Name, vol.Name)
			if a.note(PartMirror, err) {
				s.Copies = append([]Relationship{}, copies...)
			}
		},
		func() {
			if vol.Analytics.State == "on" { // which does not say that the role may read them
				_, err := c.AnalyticsList(ctx, vol.UUID, s.Export.Sub)
				a.note(PartAnalytics, err)
			}
		},
		func() {
			all, err := c.SnapshotList(ctx, vol.UUID)
			if !a.note(PartLocked, err) {
				return
			}
			s.Locked = []Snapshot{}
			for _, one := range all {
				if one.SnaplockExpiry != nil && one.SnaplockExpiry.After(c.now()) {
					s.Locked = append(s.Locked, one)
				}
			}
		},
	}
}

// prove finds out by looking which privileges the user has. What only a change
// needs is known of the changes that this process has asked for.
func (a *asking) prove(ctx context.Context) {
	release, volume := a.Cluster.Version, a.Export.Volume.UUID
	var questions []func()
	for _, n := range Needs() {
		if n.In(release) && (volume != "" || !strings.Contains(n.Path, "*")) && n.Path != "/api/security/login/whoami" {
			questions = append(questions, func() { a.proveOne(ctx, n, volume) })
		}
	}
	a.atOnce(questions...)
}

func (a *asking) proveOne(ctx context.Context, n Need, volume string) {
	r := request{method: http.MethodGet, path: strings.Replace(strings.TrimPrefix(n.Path, "/api"), "*", segment(volume), 1)}
	switch {
	case n.Access == AccessReadCreate:
		r.method = http.MethodOptions // there is nothing to read
	case n.Path != "/api/cluster":
		r.query = url.Values{"max_records": {"1"}}
	}
	if n.Path == "/api/protocols/locks" {
		r.query.Set("volume.uuid", volume) // ONTAP lists the locks of a volume or an SVM
	}
	if strings.HasSuffix(n.Path, "/files") {
		r.path += "/" + segment("/") // the FlexVol's root; a listing has a path
	}
	_, err := do[struct{}](ctx, a.client, r)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lacks(err) || err != nil {
		return
	}
	last, used := a.client.uses.of(a.client.String(), n)
	switch {
	case n.Access == AccessReadonly, used && !last.refused:
		a.Granted = append(a.Granted, n)
	case used:
		a.Missing = append(a.Missing, Missing{Need: n, Refused: last.at})
	}
}

// lacksPrivilege says that a privilege is missing: the password was right.
func lacksPrivilege(err error) bool {
	_, ok := NeedFor(err)
	return ok
}
