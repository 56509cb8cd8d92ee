package doctor

import (
	"fmt"
	"strings"

	"github.com/casit/berth/ontap"
)

// Filer judges what ONTAP says of the cluster behind the export.
func Filer(st ontap.Status) []Finding {
	vol := st.Export.Volume
	if vol.Name == "" {
		return append([]Finding{fail("berth ontap status; set BERTH_ONTAP_SVM if several SVMs serve that path", "%s does not know the export%s", clusterOf(st), problems(st)).named("ontap")}, role(st))
	}
	how := "it cannot bring directories back itself, berth copies"
	if st.DirectoryRestore {
		how = "it brings directories back itself"
	}
	out := []Finding{ok("%s: %s:%s at %s; %s", clusterOf(st), st.Export.SVM.Name, vol.Name, vol.NAS.Path, how).named("ontap")}
	if len(st.Problems) > 0 {
		out[0] = warn("berth ontap status", "%s:%s on %s, but not all is known%s", st.Export.SVM.Name, vol.Name, clusterOf(st), problems(st)).named("ontap")
	}
	return append(out, role(st), policy(st), hidden(st), rules(st), style(st))
}

func clusterOf(st ontap.Status) string {
	return fmt.Sprintf("ONTAP %s, cluster %s", st.Cluster.Version, st.Cluster.Name)
}

func problems(st ontap.Status) string {
	var text string
	for _, p := range st.Problems {
		text += fmt.Sprintf("; %s: %v", p.Part, p.Err)
	}
	return text
}

func role(st ontap.Status) Finding {
	name := "berth"
	if len(st.Identity.Roles) > 0 {
		name = st.Identity.Roles[0]
	}
	state, next := OK, ""
	var lacks []string
	for _, n := range st.Missing {
		lacks = append(lacks, fmt.Sprintf("%s (%s)", n.Path, n.For))
		if next == "" || state == Warn && !n.Optional {
			next = n.Grant(st.Export.SVM.Name, name)
		}
		if !n.Optional {
			state = Fail
		} else if state == OK {
			state = Warn
		}
	}
	if state == OK {
		return ok("%s, role %s: has all that berth needs", st.Identity.Username, strings.Join(st.Identity.Roles, ", ")).named("ontap-role")
	}
	return Finding{Check: "ontap-role", State: state, Next: "on the filer: " + next,
		Evidence: fmt.Sprintf("%s, role %s, lacks %s", st.Identity.Username, name, strings.Join(lacks, ", "))}
}

func policy(st ontap.Status) Finding {
	name := "ontap-policy"
	switch p := st.Policy; {
	case st.Export.Volume.SnapshotPolicy.Name == "" || st.Export.Volume.SnapshotPolicy.Name == "none":
		return warn("on the filer: volume modify -snapshot-policy default", "the volume has no snapshot policy: nothing makes versions by itself").named(name)
	case p.Name == "":
		return warn("berth ontap status", "the snapshot policy %s cannot be read", st.Export.Volume.SnapshotPolicy.Name).named(name)
	case !p.Enabled || len(p.Copies) == 0:
		return warn("on the filer: volume snapshot policy modify -enabled true", "the snapshot policy makes nothing: %s", p).named(name)
	default:
		return ok("%s", p).named(name)
	}
}

func hidden(st ontap.Status) Finding {
	if len(st.Hidden) > 0 {
		return fail("on the filer: volume modify -snapdir-access true, vserver nfs modify -v3-hide-snapshot disabled", "NFSv3 clients do not see .snapshot: %s", strings.Join(st.Hidden, "; ")).named("ontap-snapdir")
	}
	return ok("the filer shows .snapshot to NFSv3 clients").named("ontap-snapdir")
}

func rules(st ontap.Status) Finding {
	var squashed []string
	for _, r := range st.Rules {
		if len(r.Superuser) == 1 && r.Superuser[0] == "none" {
			for _, c := range r.Clients {
				squashed = append(squashed, c.Match)
			}
		}
	}
	if squashed != nil {
		return warn("on the filer: vserver export-policy rule modify -superuser sys", "the export's rules squash root for %s", some(squashed)).named("ontap-rules")
	}
	return ok("%s, none squashes root", count(len(st.Rules), "export rule")).named("ontap-rules")
}

func style(st ontap.Status) Finding {
	if s := st.Export.Volume.NAS.SecurityStyle; s != "" && s != "unix" {
		return fail("on the filer: volume modify -security-style unix", "security style %s: owners and modes are not kept", s).named("ontap-style")
	}
	return ok("security style unix").named("ontap-style")
}
