package doctor

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/sweep"
	"github.com/casit/berth/volume"
)

// Volumes judges the records of volumes on the export.
func Volumes(v *volume.Survey) []Finding {
	return []Finding{metadata(v), unfinished(v), forgotten(v), convoy(v), staging(v.Staging)}
}

func metadata(v *volume.Survey) Finding {
	names := slices.Sorted(maps.Keys(v.Broken))
	if len(names) > 0 {
		return fail("berth volume repair "+names[0], "the metadata of %s cannot be read, so it is neither mounted nor removed: %v", some(names), reason(v.Broken[names[0]])).named("metadata")
	}
	text := count(len(v.Volumes), "volume")
	if n := len(v.Adopted); n > 0 {
		text += fmt.Sprintf(", %d of them adopted directories with default options", n)
	}
	return ok("%s", text).named("metadata")
}

// mostFaults is how many damaged files are named one by one.
const mostFaults = 20

// ControlFiles judges the control files that are not what their names say, but for
// metadata, each with what mends it.
func ControlFiles(faults []export.Fault) []Finding {
	faults = slices.DeleteFunc(slices.Clone(faults), func(f export.Fault) bool { return path.Dir(f.Path) == export.MetaDir })
	if len(faults) == 0 {
		return []Finding{ok("every file of .berth is what its name says").named("control-files")}
	}
	var out []Finding
	for _, f := range faults[:min(mostFaults, len(faults))] {
		of, what := "", f.Path
		if f.Volume != "" {
			of, what = " of volume "+f.Volume, f.Volume
		}
		out = append(out, fail("berth volume repair "+what, "%s%s is damaged, and nothing is done on its word: %v", f.Path, of, f.Why).named("control-files"))
	}
	if more := len(faults) - mostFaults; more > 0 {
		out = append(out, fail("mend these first, then berth doctor again", "%s more are damaged", count(more, "control file")).named("control-files"))
	}
	return out
}

func reason(err error) string { return failed(err, "").Evidence }

func unfinished(v *volume.Survey) Finding {
	if len(v.Unfinished) > 0 {
		n := v.Unfinished[0]
		return warn(fmt.Sprintf("docker volume create -d berth %s completes it; 'docker volume rm %s' takes it away then", n, n),
			"%s %s recorded and %s no directory: making it was cut short", some(v.Unfinished), plural(v.Unfinished, "is", "are"), plural(v.Unfinished, "has", "have")).named("unfinished")
	}
	return ok("every recorded volume has its directory").named("unfinished")
}

func plural(names []string, one, many string) string {
	if len(names) == 1 {
		return one
	}
	return many
}

func forgotten(v *volume.Survey) Finding {
	names := slices.Sorted(maps.Keys(v.Forgotten))
	if len(names) > 0 {
		return warn("berth volume ps "+names[0]+" shows who; stop what still uses it there",
			"%s %s in use, and not on the export: by %s", some(names), plural(names, "is", "are"), some(v.Forgotten[names[0]])).named("leases")
	}
	return ok("every lease is of a volume that is there").named("leases")
}

func convoy(v *volume.Survey) Finding {
	var left []string
	for _, n := range v.Convoy {
		if slices.Contains(v.Adopted, n) {
			left = append(left, n)
		}
	}
	switch {
	case len(left) > 0:
		return warn("berth import convoy --dry-run", "Rancher Convoy has records of %s that berth has none of: %s", count(len(left), "volume"), some(left)).named("convoy")
	case len(v.Convoy) > 0:
		return ok("all of Rancher Convoy's %s known to berth", plural(v.Convoy, "volume is", "volumes are")).named("convoy")
	}
	return ok("no records of Rancher Convoy").named("convoy")
}

func staging(v sweep.Left) Finding {
	var stuck, slow []string
	var first *sweep.Stuck
	for i, t := range v.Stuck {
		name := path.Base(t.Path)
		if t.Reason == "" {
			slow = append(slow, name)
			continue
		}
		if stuck = append(stuck, name); first == nil {
			first = &v.Stuck[i]
		}
	}
	switch {
	case first != nil:
		return warn("look at "+first.Path+" on the export: lsattr -R shows what is immutable (chattr -R -ia), findmnt what is mounted in it, find -name '.nfs*' what an NFS client has open (or is only named so: rm); berth goes on by itself",
			"%s cannot be deleted: %s, since %s: %s", trees(stuck), some(stuck), first.Since.UTC().Format("2006-01-02 15:04Z"), first.Reason).named("staging")
	case slow != nil:
		return warn("berth doctor on the other nodes: one of them may say why; then again in an hour",
			"%s %s still there an hour after berth began to delete: %s; this node has found no fault", trees(slow), plural(slow, "is", "are"), some(slow)).named("staging")
	case v.Lost > 0:
		return warn("look into the plugin's log for what keeps it from sweeping: journalctl -u docker", "%s in .berth/staging should have been swept long ago", count(v.Lost, "private file")).named("staging")
	}
	return ok("%s being deleted", count(v.Purging, "tree")).named("staging")
}

func trees(names []string) string {
	return plural(names, "a tree", fmt.Sprintf("%d trees", len(names)))
}

// overdue is how long after its end a trash item may be there: each node looks
// every third of a lease's TTL.
const overdue = 15 * time.Minute

// Trash judges the items of the trash; now is the export's time.
func Trash(items []*volume.Trashed, now time.Time) Finding {
	var late []string
	why := ""
	kinds := map[string]int{}
	for _, t := range items {
		kinds[t.Kind]++
		if t.Expires != nil && now.Sub(*t.Expires) > overdue {
			if late = append(late, t.ID); why == "" && t.Stays != "" {
				why = "; " + t.ID + ": " + t.Stays
			}
		}
	}
	if len(late) > 0 {
		return warn("berth trash purge says why; then look at .berth/trash/"+late[0]+" on the export: lsattr -d shows what is immutable (chattr -ia)",
			"%s long expired and still there: %s%s", plural(late, "one item is", fmt.Sprintf("%d items are", len(late))), some(late), why).named("trash")
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		parts = append(parts, fmt.Sprintf("%d %s", kinds[k], k))
	}
	if parts == nil {
		return ok("empty").named("trash")
	}
	return ok("%s", strings.Join(parts, ", ")).named("trash")
}

// PassedOver judges what this node could not do with single items when it tried last.
func PassedOver(faults []problem.Fault) Finding {
	if len(faults) == 0 {
		return ok("nothing is left out").named("passed-over")
	}
	first := faults[0]
	more := ""
	if n := len(faults) - 1; n > 0 {
		var items []string
		for _, f := range faults[1:] {
			items = append(items, f.Item)
		}
		more = fmt.Sprintf("; and %s: %s", count(n, "more item"), some(items))
	}
	return warn("look at it on the export; no other item waits for it, and berth goes on by itself",
		"%s: %s: %s%s", first.Item, first.Event, first.Reason, more).named("passed-over")
}

// locked says which volumes wait for a job.
func locked(volumes []string) string {
	if len(volumes) == 0 {
		return ""
	}
	return ", and nothing can be done to " + some(volumes)
}

// Jobs judges the unfinished jobs of all nodes.
func Jobs(jobs []*job.Job) Finding {
	running := 0
	for _, j := range jobs {
		if j.State == job.Unreadable {
			return fail("look at it on the export; a newer berth may have written it. Its trees are beside it", "%s%s", j.Error, locked(j.Volumes())).named("jobs")
		}
		if j.State != job.Failed && !j.Interrupted {
			running++
			continue
		}
		name := strings.Join(j.Volumes(), ", ")
		first := name
		if v := j.Volumes(); len(v) > 0 {
			first = v[0]
		}
		why := "was interrupted"
		if j.State == job.Failed {
			why = "failed: " + j.Error
		}
		return fail(fmt.Sprintf("berth snapshot restore --resume %s, or --abort %s", first, first), "the %s of %s, begun on %s, %s", j.Op, name, j.Node, why).named("jobs")
	}
	return ok("%s at work", count(running, "job")).named("jobs")
}
