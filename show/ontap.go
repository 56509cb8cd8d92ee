package show

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/text"
)

// ONTAP writes what is known of the filer, a line each, and then what is not
// known and how it becomes known.
func ONTAP(w io.Writer, st plugin.ONTAPStatus, width int) {
	line := func(name, format string, args ...any) {
		if said := fmt.Sprintf(format, args...); strings.Trim(said, " ,:/") != "" {
			Indented(w, fmt.Sprintf("%-10s ", name), said, width)
		}
	}
	line("cluster", "%s, ONTAP %s, at %s", orUnknown(st.Cluster), orUnknown(st.Version), st.Address)
	line("user", "%s, role %s", st.User, orUnknown(st.Role))
	line("svm", "%s", st.SVM)
	if st.Volume != "" {
		line("volume", "%s at %s, security style %s", st.Volume, st.Junction+strings.TrimSuffix("/"+st.Below, "/"), orUnknown(st.Security))
		line("space", "%s, %s available, snapshots use %s; reserve %s; autodelete %s", sizeOrUnknown(st.SizeBytes), Size(st.AvailableBytes), known(st.SnapshotUsedBytes, Size),
			known(st.ReservePercent, func(n int64) string { return strconv.FormatInt(n, 10) + " %" }), yesNo(st.Autodelete, "ON: the filer deletes snapshots when space runs out", "off"))
		line("snapshots", "%s; policy %s", known(st.Snapshots, func(n int64) string { return fmt.Sprintf("%d of %d", n, st.SnapshotLimit) }), orUnknown(st.Policy))
		line("locked", "%s", lockedText(st.Locked))
		line("copies", "%s", copiesText(st.Copies))
		line("malware", "%s", ransomwareText(st))
		line("sizes", "%s", analyticsText(st))
	}
	line(".snapshot", "%s", yesNo(st.Visible, "visible to NFSv3 clients", "HIDDEN: "+strings.Join(st.Hidden, "; ")))
	line("restore", "%s", yesNo(st.DirectoryRestore, "by the filer, without copying", "by copying: this release has no directory-restore"))
	switch {
	case len(st.RootSquashed) > 0:
		line("root", "SQUASHED for %s: set -superuser sys in the export rule", strings.Join(st.RootSquashed, ", "))
	case st.RootSquashed == nil && st.Volume != "":
		line("root", "unknown")
	}
	for _, m := range st.Missing {
		need := "needed for"
		if m.Optional {
			need = "wanted for"
		}
		line("missing", "%s (%s), %s %s", m.Path, m.Access, need, m.For)
		fmt.Fprintf(w, "%-10s type there: %s\n", "", text.Line(m.Grant)) // whole, to be copied
	}
	for _, p := range st.Unproven {
		line("unproven", "%s: known after the first change that needs it", p)
	}
	for _, p := range st.Problems {
		line("unknown", "%s: %s", p.Part, p.Error)
		if p.Next != "" {
			fmt.Fprintf(w, "%-10s next: %s\n", "", text.Line(p.Next))
		}
	}
}

func lockedText(locked []plugin.LockedSnapshot) string {
	if locked == nil {
		return "unknown"
	}
	var all []string
	for _, l := range locked {
		all = append(all, Quoted(l.Name)+" until "+l.Until.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return orNone(strings.Join(all, ", "))
}

func copiesText(copies []plugin.ONTAPCopy) string {
	if copies == nil {
		return "unknown"
	}
	var all []string
	for _, c := range copies {
		text := c.Destination + ", state " + orUnknown(c.State) + ", "
		if c.Healthy == nil {
			text += "health "
		}
		text += yesNo(c.Healthy, "healthy", "UNHEALTHY: "+strings.Join(c.Reasons, "; "))
		if c.LagSeconds != nil {
			text += ", " + Age(*c.LagSeconds) + " behind"
		}
		all = append(all, text)
	}
	return orNone(strings.Join(all, "; "))
}

func ransomwareText(st plugin.ONTAPStatus) string {
	if st.AntiRansomware == "" || st.AntiRansomware == "disabled" {
		return "anti-ransomware " + orUnknown(st.AntiRansomware)
	}
	text := fmt.Sprintf("anti-ransomware %s, probability of an attack: %s", st.AntiRansomware, orUnknown(st.AttackProbable))
	for _, s := range st.Suspects {
		text += "; suspect: " + known(s.Count, func(n int64) string { return strconv.FormatInt(n, 10) }) + " of " + Quoted(s.Format)
	}
	return text
}

func analyticsText(st plugin.ONTAPStatus) string {
	switch {
	case st.Analytics == "on":
		return "File System Analytics on"
	case st.AnalyticsEnable != "":
		return "File System Analytics off; type there: " + st.AnalyticsEnable
	}
	return "File System Analytics " + orUnknown(st.Analytics)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// yesNo words an answer of the filer, or that there was none.
func yesNo(b *bool, yes, no string) string {
	switch {
	case b == nil:
		return "unknown"
	case *b:
		return yes
	}
	return no
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// known prints a number of the filer, or that the filer did not tell it.
func known(n *int64, text func(int64) string) string {
	if n == nil {
		return "unknown"
	}
	return text(*n)
}

// sizeOrUnknown prints a size that cannot be 0 where the filer told it.
func sizeOrUnknown(bytes int64) string {
	if bytes == 0 {
		return "unknown"
	}
	return Size(bytes)
}
