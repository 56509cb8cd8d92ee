package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/casit/berth/ontap"
)

// Filer judges what ONTAP says of the cluster behind the export. What ONTAP did
// not say is no finding that is OK. shown says that the export shows .snapshot to
// berth, which is an NFSv3 client like others.
func Filer(st ontap.Status, shown bool, now time.Time) []Finding {
	f := filer{Status: st, now: now}
	if st.Export.Volume.Name == "" {
		return []Finding{f.noExport(), f.role().named("ontap-role")}
	}
	out := []Finding{
		f.found().named("ontap"),
		f.role().named("ontap-role"),
		f.judge("ontap-policy", f.policy, ontap.PartPolicy),
		f.hidden(shown).named("ontap-snapdir"),
		f.judge("ontap-rules", f.rules, ontap.PartRules),
		f.judge("ontap-style", f.style, ontap.PartStyle),
		f.judge("ontap-restore", f.restore, ontap.PartRestore),
		f.judge("ontap-copies", f.copies, ontap.PartMirror),
		f.judge("ontap-limit", f.limit, ontap.PartCount),
		f.judge("ontap-autodelete", f.autodelete, ontap.PartAutodelete),
		f.judge("ontap-reserve", f.reserve, ontap.PartReserve),
		f.judge("ontap-ransomware", f.ransomware, ontap.PartRansomware),
		f.judge("ontap-analytics", f.analytics, ontap.PartAnalytics),
	}
	if f.hasLocking() {
		out = append(out, f.judge("ontap-locked", f.locked, ontap.PartLocked))
	}
	return out
}

// filer is a Status to be judged.
type filer struct {
	ontap.Status
	now time.Time
}

// judge is the finding of a part of the Status, or that the part is not known.
func (f filer) judge(check string, look func() Finding, part ontap.Part) Finding {
	if err := f.Unknown(part); err != nil {
		return f.unknown(part, err).named(check)
	}
	return look().named(check)
}

// unknown is the finding of a part that is not known, with what makes it known.
func (f filer) unknown(part ontap.Part, err error) Finding {
	return warn(Learn(f.Status, part, err), "unknown: %s: %v", part, err)
}

// Learn says what to type so that a part of a Status becomes known that is not
// known because of err.
func Learn(st ontap.Status, part ontap.Part, err error) string {
	f := filer{Status: st}
	if need, ok := ontap.NeedFor(err); ok {
		return "on the filer: " + need.Grant(f.svm(), f.roleName())
	}
	if show := shows[part]; show != "" {
		return "on the filer: " + fmt.Sprintf(show, f.svm(), or(st.Export.Volume.Name, "VOLUME"))
	}
	return "berth ontap status; docs/ontap.md says what the filer needs"
}

// shows are the commands that show a part to an administrator.
var shows = map[ontap.Part]string{
	ontap.PartPolicy:     "volume show -vserver %s -volume %s -fields snapshot-policy",
	ontap.PartSnapdir:    "volume show -vserver %s -volume %s -fields snapdir-access",
	ontap.PartNFS:        "vserver nfs show -vserver %[1]s -fields v3-hide-snapshot",
	ontap.PartRules:      "vserver export-policy rule show -vserver %[1]s -fields superuser",
	ontap.PartStyle:      "volume show -vserver %s -volume %s -fields security-style",
	ontap.PartMirror:     "snapmirror list-destinations -source-path %s:%s",
	ontap.PartLocked:     "volume snapshot show -vserver %s -volume %s -fields snaplock-expiry-time",
	ontap.PartCount:      "volume show -vserver %s -volume %s -fields snapshot-count",
	ontap.PartReserve:    "volume show -vserver %s -volume %s -fields percent-snapshot-space,snapshot-reserve-size",
	ontap.PartAutodelete: "volume snapshot autodelete show -vserver %s -volume %s",
	ontap.PartRansomware: "security anti-ransomware volume show -vserver %s -volume %s",
	ontap.PartAnalytics:  "volume analytics show -vserver %s -volume %s",
}

func (f filer) svm() string { return or(f.Export.Volume.SVM.Name, or(f.Export.SVM.Name, "SVM")) }

func (f filer) volume() string { return "-vserver " + f.svm() + " -volume " + f.Export.Volume.Name }

func (f filer) roleName() string {
	if len(f.Identity.Roles) > 0 {
		return f.Identity.Roles[0]
	}
	return "berth"
}

func (f filer) name() string {
	return fmt.Sprintf("ONTAP %s, cluster %s", f.Cluster.Version, or(f.Cluster.Name, "of unknown name"))
}

func (f filer) noExport() Finding {
	next := "berth ontap status; set BERTH_ONTAP_SVM if several SVMs serve that path"
	err := f.Unknown(ontap.PartExport)
	if need, ok := ontap.NeedFor(err); ok {
		next = "on the filer: " + need.Grant(f.svm(), f.roleName())
	}
	return fail(next, "%s does not show the export: %v", f.name(), err).named("ontap")
}

// found says where the export is.
func (f filer) found() Finding {
	vol := f.Export.Volume
	for _, part := range []ontap.Part{ontap.PartCluster, ontap.PartExport} {
		if err := f.Unknown(part); err != nil {
			unknown := f.unknown(part, err)
			unknown.Evidence = fmt.Sprintf("%s:%s at %s, but not all is known: %v", f.svm(), vol.Name, vol.NAS.Path, err)
			return unknown
		}
	}
	return ok("%s: %s:%s at %s", f.name(), f.svm(), vol.Name, vol.NAS.Path)
}

func (f filer) role() Finding {
	name := f.roleName()
	who := "the user's role"
	if f.Identity.Username != "" {
		who = f.Identity.Username + ", role " + strings.Join(f.Identity.Roles, ", ")
	}
	state, next := OK, ""
	var lacks, unproven []string
	for _, m := range f.Missing {
		text := m.Path + " (" + m.For
		if !m.Refused.IsZero() {
			text += "; refused " + long(f.now.Sub(m.Refused)) + " ago"
		}
		lacks = append(lacks, text+")")
		if next == "" || state == Warn && !m.Optional {
			next = "on the filer: " + m.Grant(f.svm(), name)
		}
		if !m.Optional {
			state = Fail
		} else if state == OK {
			state = Warn
		}
	}
	for _, n := range f.Unproven() {
		unproven = append(unproven, n.Path+" ("+string(n.Access)+")")
	}
	switch {
	case len(lacks) > 0 && len(f.Granted) == 0 && len(lacks)+len(unproven) >= len(ontap.Needs())/2:
		return fail("on the filer: "+ontap.WebAccess(f.svm(), name)+"; then the lines of deploy/ontap/berth-role.txt",
			"%s may ask for next to nothing", who)
	case len(lacks) > 0:
		return Finding{State: state, Next: next, Evidence: who + " lacks " + strings.Join(lacks, ", ")}
	case f.Unknown(ontap.PartRole) != nil && len(unproven) == 0:
		return f.unknown(ontap.PartRole, f.Unknown(ontap.PartRole))
	case len(unproven) > 0:
		return warn("on the filer: security login rest-role show -vserver "+f.svm()+" -role "+name+"; compare with deploy/ontap/berth-role.txt",
			"nothing was refused, and unknown until it is used is %s", strings.Join(unproven, ", "))
	}
	return ok("%s: has all that berth needs", who)
}

func (f filer) policy() Finding {
	switch p := f.Policy; {
	case f.Export.Volume.SnapshotPolicy.Name == "none":
		return warn("on the filer: volume modify "+f.volume()+" -snapshot-policy default", "the volume has no snapshot policy: nothing makes versions by itself")
	case !p.Enabled || len(p.Copies) == 0:
		return warn("on the filer: volume snapshot policy modify -policy "+p.Name+" -enabled true", "the snapshot policy makes nothing: %s", p)
	default:
		return ok("%s", p)
	}
}

// hidden judges whether NFSv3 clients see .snapshot: the filer's word, or what
// berth itself has seen.
func (f filer) hidden(shown bool) Finding {
	if len(f.Hidden) > 0 {
		return fail("on the filer: volume modify "+f.volume()+" -snapdir-access true; vserver nfs modify -vserver "+f.svm()+" -v3-hide-snapshot disabled",
			"NFSv3 clients do not see .snapshot: %s", strings.Join(f.Hidden, "; "))
	}
	for _, part := range []ontap.Part{ontap.PartSnapdir, ontap.PartNFS} {
		if err := f.Unknown(part); err != nil && shown {
			return ok("berth sees .snapshot over NFSv3; the filer does not say what hides it (%s: %v)", part, err)
		} else if err != nil {
			return f.unknown(part, err)
		}
	}
	return ok("the filer shows .snapshot to NFSv3 clients")
}

func (f filer) rules() Finding {
	var squashed []string
	for _, r := range f.Rules {
		if slices.Equal(r.Superuser, []string{"none"}) {
			for _, c := range r.Clients {
				squashed = append(squashed, c.Match)
			}
		}
	}
	if squashed != nil {
		return warn("on the filer: vserver export-policy rule modify -vserver "+f.svm()+" -policyname "+f.Export.Volume.NAS.ExportPolicy.Name+" -ruleindex N -superuser sys",
			"the export's rules squash root for %s", some(squashed))
	}
	return ok("%s, none squashes root", count(len(f.Rules), "export rule"))
}

func (f filer) style() Finding {
	if s := f.Export.Volume.NAS.SecurityStyle; s != "unix" {
		return fail("on the filer: volume modify "+f.volume()+" -security-style unix", "security style %s: owners and modes are not kept", s)
	}
	return ok("security style unix")
}

func (f filer) restore() Finding {
	if *f.DirectoryRestore {
		return ok("the filer brings directories back itself")
	}
	return ok("this release has no directory-restore: berth brings directories back by copying")
}

// oldCopy is the lag of a copy elsewhere that is worth a look: a copy that is made
// once a day, and two hours.
const oldCopy = 26 * time.Hour

func (f filer) copies() Finding {
	if len(f.Copies) == 0 {
		return ok("SnapMirror keeps no copy of the volume elsewhere: versions are on this filer only")
	}
	var good []string
	for _, r := range f.Copies {
		show := "on the destination's cluster: snapmirror show -destination-path " + r.Destination
		lag, known := r.LagTime()
		switch {
		case r.Healthy != nil && !*r.Healthy:
			return warn(show+" -fields unhealthy-reason", "the copy %s is unhealthy: %s", r.Destination, or(strings.Join(r.UnhealthyReason, "; "), or(r.State, "no reason is given")))
		case r.State == "broken_off" || r.State == "uninitialized" || r.State == "out_of_sync":
			return warn(show, "the copy %s is %s", r.Destination, r.State)
		case known && lag > oldCopy:
			return warn(show, "the copy %s is %s behind", r.Destination, long(lag))
		case r.Healthy == nil || !known && r.State != "in_sync":
			return warn(show, "the copy %s exists; how old and how healthy it is is unknown here", r.Destination)
		case known:
			good = append(good, r.Destination+", "+long(lag)+" behind")
		default:
			good = append(good, r.Destination+", in sync")
		}
	}
	return ok("%s: %s", count(len(good), "healthy copy"), some(good))
}

func (f filer) limit() Finding {
	n := *f.Export.Volume.SnapshotCount
	percent := n * 100 / ontap.MaxSnapshots
	text := fmt.Sprintf("%d of %d snapshots, %d %%", n, ontap.MaxSnapshots, percent)
	if percent >= 80 {
		return warn("remove some: 'berth snapshot ls VOLUME', 'berth snapshot rm NAME'; or let the policy keep fewer", "%s: at the limit the filer makes none", text)
	}
	return ok("%s", text)
}

func (f filer) autodelete() Finding {
	if *f.Export.Volume.Space.Snapshot.Autodelete {
		return warn("on the filer: volume snapshot autodelete modify "+f.volume()+" -enabled false; volume autosize "+f.volume()+" -mode grow",
			"autodelete is on: when space runs out the filer deletes snapshots, and versions with them")
	}
	return ok("off: the filer deletes no snapshot when space runs out")
}

func (f filer) reserve() Finding {
	vol := f.Export.Volume
	used, percent := *vol.Space.Snapshot.Used, *vol.Space.Snapshot.ReservePercent
	reserve := vol.Space.Size * percent / 100
	text := fmt.Sprintf("snapshots use %s; %d %% (%s) are reserved for them", sized(used), percent, sized(reserve))
	if percent > 0 && used > reserve {
		return warn("berth df shows what can be freed; on the filer: volume modify "+f.volume()+" -percent-snapshot-space N", "%s: the rest is taken from the volumes' room", text)
	}
	return ok("%s", text)
}

func (f filer) ransomware() Finding {
	r := f.Export.Volume.AntiRansomware
	if r.State == "disabled" {
		return ok("anti-ransomware is off")
	}
	var kinds []string
	for _, s := range r.Suspects {
		kind := s.Format
		if s.Count != nil {
			kind = strconv.FormatInt(*s.Count, 10) + " of " + kind
		}
		kinds = append(kinds, kind)
	}
	next := "on the filer: security anti-ransomware volume attack generate-report " + f.volume() + " -dest-path " + f.svm() + ":" + f.Export.Volume.Name +
		"; look at recent files; 'berth diff VOLUME' shows what changed"
	suspects := ""
	if len(kinds) > 0 {
		suspects = "; suspect files: " + some(kinds)
	}
	switch r.AttackProbability {
	case "moderate", "high":
		return fail(next, "anti-ransomware (%s): the probability of an attack is %s%s", r.State, r.AttackProbability, suspects)
	case "none":
		return ok("anti-ransomware is %s and sees no attack", r.State)
	}
	return warn(next, "anti-ransomware (%s): the probability of an attack is %s%s", r.State, r.AttackProbability, suspects)
}

func (f filer) analytics() Finding {
	switch a := f.Export.Volume.Analytics; {
	case a.State == "on":
		return ok("File System Analytics is on: 'berth ls --size' needs no walk")
	case a.State == "off" && a.Supported != nil && !*a.Supported:
		return ok("File System Analytics is not possible on this volume: sizes take a walk")
	case a.State == "off":
		return ok("File System Analytics is off: sizes take a walk; 'volume analytics on %s' on the filer ends that", f.volume())
	default:
		return warn("on the filer: volume analytics show "+f.volume(), "File System Analytics is %s: sizes take a walk until it is on", a.State)
	}
}

// hasLocking says whether the release has snapshot locking, or may have it.
func (f filer) hasLocking() bool {
	return f.Cluster.Version == ontap.Version{} || f.Cluster.Version.AtLeast(ontap.Version{Generation: 9, Major: 12, Minor: 1})
}

func (f filer) locked() Finding {
	if len(f.Locked) == 0 {
		return ok("no snapshot is locked")
	}
	last := f.Locked[0]
	for _, s := range f.Locked {
		if s.SnaplockExpiry.After(*last.SnaplockExpiry) {
			last = s
		}
	}
	return ok("%s; the last, %s, until %s", count(len(f.Locked), "locked snapshot"), last.Name, last.SnaplockExpiry.UTC().Format("2006-01-02 15:04 UTC"))
}
