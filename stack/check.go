package stack

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/casit/berth/volume"
)

// Check applies every rule to a file that Read has read, and orders what they
// find by volume. live are the volumes as they are, by name; nil where nobody
// could be asked. name is the stack's, "" where it is not known.
func Check(p *types.Project, live map[string]*volume.Info, name string) []Finding {
	return newFile(p, live, name).check()
}

func (f *stackFile) check() (out []Finding) {
	for _, key := range slices.Sorted(maps.Keys(f.volumes)) {
		for _, rule := range volumeRules {
			out = append(out, rule(f, f.volumes[key])...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.services)) {
		for _, rule := range serviceRules {
			out = append(out, rule(f, f.services[name])...)
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(a.Volume, b.Volume) })
	return out
}

// volumeRules find what is wrong with one volume of a file.
var volumeRules = []func(*stackFile, *fileVolume) []Finding{nameless, driverless, misspelt, external, optionsWrong, drifted, twins, sharedDatabase, fleeting}

// nameless: it cannot be compared with anything that is there.
func nameless(f *stackFile, v *fileVolume) []Finding {
	switch {
	case v.named || f.live == nil:
		return nil
	case isTemplate(v.Name):
		return []Finding{{Volume: v.name, Note: true, Problem: "its name is a template, so it is not compared"}}
	}
	return found(v, "its name depends on the stack's", "say which stack it is: --stack NAME")
}

// driverless: Docker makes a local volume on each node, another one on each.
func driverless(f *stackFile, v *fileVolume) []Finding {
	switch {
	case bool(v.External) || v.Driver != "" && v.Driver != "local":
	case v.live != nil:
		return found(v, "the file makes it a local volume on each node, although berth has one of that name", "add 'driver: berth' to it in the file")
	case v.Driver == "" && (f.hasOurs() || len(f.databases(v)) > 0):
		return found(v, "it has no driver: it is a local volume, another one on each node", "add 'driver: berth' to it in the file; or 'driver: local', if that is meant")
	}
	return nil
}

// misspelt: Docker has no such driver, and no task starts.
func misspelt(_ *stackFile, v *fileVolume) []Finding {
	switch {
	case strings.Contains(v.Driver, "convoy"):
		return found(v, fmt.Sprintf("its driver is %s, which berth replaces", v.Driver), "take its volumes over as docs/from-convoy.md says: 'berth import convoy', then 'driver: berth' in the file")
	case isNearlyBerth(v.Driver):
		return found(v, fmt.Sprintf("Docker knows no driver %q", v.Driver), "write 'driver: berth' in the file")
	}
	return nil
}

// external: Docker is not told whose it is, takes the driver that has one of
// that name and, where none answers, makes an empty local one.
func external(f *stackFile, v *fileVolume) []Finding {
	if !bool(v.External) {
		return nil
	}
	problem := "it is external: where berth does not answer, a node makes an empty local volume of that name and starts the service on it"
	if f.live != nil && v.live == nil {
		problem = "it is external, and berth has none of that name: each node makes an empty local volume of its own"
	}
	return found(v, problem, fmt.Sprintf("write 'driver: berth' and 'name: %s' in the file, in place of 'external'; a volume that is there is used as it is", v.name))
}

func optionsWrong(_ *stackFile, v *fileVolume) []Finding {
	if !v.ours || v.wrong == nil {
		return nil
	}
	return found(v, v.wrong.Reason, "correct it in the file: "+v.wrong.Hint)
}

// drifted: what the file says of a volume that is there has no effect.
func drifted(_ *stackFile, v *fileVolume) []Finding {
	switch {
	case !v.ours || v.live == nil || v.wrong != nil:
		return nil
	case v.live.Options == nil:
		return found(v, v.live.Health, "")
	}
	return Drift(v.name, v.live.Options, v.given)
}

// Drift compares the options that are given with a volume's.
func Drift(name string, has, given volume.Options) (out []Finding) {
	keys := has.Differs(given)
	mend := "berth volume set " + name
	for _, k := range keys {
		if k != "from" {
			mend += " " + k + "=" + given[k]
		}
	}
	for _, k := range keys {
		if k == "from" {
			out = append(out, Finding{Volume: name, Problem: fmt.Sprintf("from=%s has no effect: what a volume was copied from (%q) cannot be changed", given[k], has.Get(k)), Mend: "leave it out of the file"})
			continue
		}
		out = append(out, Finding{Volume: name, Option: k, File: given[k], Live: has.Get(k), Mend: mend})
	}
	return out
}

// twins: two names that differ only in case are two volumes, one of them empty.
func twins(f *stackFile, v *fileVolume) (out []Finding) {
	if !v.ours {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(f.volumes)) {
		if other := f.volumes[key]; other.name < v.name && strings.EqualFold(other.name, v.name) {
			out = append(out, found(v, fmt.Sprintf("%s differs from it only in upper and lower case: they are two volumes", other.name), "use one name in the file, or two that nobody confuses")...)
		}
	}
	if !v.named || v.live != nil {
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(f.live)) {
		if strings.EqualFold(name, v.name) {
			out = append(out, found(v, fmt.Sprintf("berth has %s, which differs from it only in upper and lower case: the file makes an empty volume beside it", name), "write it as it is there: 'name: "+name+"'")...)
		}
	}
	return out
}

// fleeting: there is no way back to a volume that somebody has named.
func fleeting(_ *stackFile, v *fileVolume) []Finding {
	if !v.ours || v.given.Get("on-remove") != "delete" {
		return nil
	}
	return []Finding{{Volume: v.name, Note: true, Problem: "on-remove=delete: 'docker volume rm' deletes it for good, with what restores replaced in it",
		Mend: "leave on-remove out of the file, unless that is meant: the trash keeps it for a week then"}}
}

// sharedDatabase: two services would write to one database's files.
func sharedDatabase(f *stackFile, v *fileVolume) []Finding {
	users := f.users(v)
	if !v.ours || len(users) < 2 || !v.single && len(f.databases(v)) == 0 {
		return nil
	}
	return found(v, fmt.Sprintf("services %s mount one database's files", strings.Join(users, ", ")),
		"give each service a volume of its own; what reads the database asks its server, as mariadb-dump does")
}

// serviceRules find what a service would do to berth's volumes.
var serviceRules = []func(*stackFile, types.ServiceConfig) []Finding{twoWriters, unguarded, impatient, unkept}

// twoWriters: two tasks would fight for a volume that one may have.
func twoWriters(f *stackFile, s types.ServiceConfig) (out []Finding) {
	d := s.Deploy
	if d == nil {
		return nil
	}
	for _, m := range f.mounts(s) {
		why, held := ", and one node at a time may mount the volume", ", which holds the volume"
		if !m.single {
			why = ", and a second server on a database's files ruins them"
			held = why
		}
		switch {
		case !m.single && m.database == "":
			continue
		case d.Mode == "global":
			out = append(out, found(m.fileVolume, fmt.Sprintf("service %s runs on every node%s", s.Name, why), "make it replicated, with one replica")...)
		case d.Replicas != nil && *d.Replicas > 1:
			out = append(out, found(m.fileVolume, fmt.Sprintf("service %s has %d replicas%s", s.Name, *d.Replicas, why), "set replicas: 1")...)
		}
		for i, c := range []*types.UpdateConfig{d.UpdateConfig, d.RollbackConfig} {
			if c != nil && c.Order == "start-first" {
				out = append(out, found(m.fileVolume, fmt.Sprintf("service %s starts the new task before the old one has ended%s", s.Name, held),
					"set "+[]string{"update_config", "rollback_config"}[i]+".order: stop-first")...)
			}
		}
	}
	return out
}

// unguarded: nothing keeps a second node from a database's files.
func unguarded(f *stackFile, s types.ServiceConfig) (out []Finding) {
	for _, m := range f.mounts(s) {
		if m.single || m.database == "" {
			continue
		}
		out = append(out, Finding{Volume: m.name, Note: true, Problem: fmt.Sprintf("service %s runs %s on a volume that any node may mount at the same time", s.Name, m.database),
			Mend: "berth volume set " + m.name + " access=single, and 'driver_opts: { access: single }' in the file"})
	}
	return out
}

// patience is how long a healthcheck has to fail before the task may be
// killed: twice a failover of the filer, in which every access to a volume waits.
const patience = 180 * time.Second

// impatient: swarm would kill the tasks in a failover of the filer. The start
// period does not count: a task that has run for a day is past it.
func impatient(f *stackFile, s types.ServiceConfig) []Finding {
	h, mounts := s.HealthCheck, f.mounts(s)
	if h == nil || h.Disable || len(mounts) == 0 || slices.Equal(h.Test, []string{"NONE"}) {
		return nil
	}
	if len(h.Test) == 0 && (h.Interval == nil || h.Retries == nil) {
		return nil // the rest is the image's, which nobody sees
	}
	interval, retries := 30*time.Second, uint64(3) // Docker's defaults
	if h.Interval != nil && *h.Interval > 0 {
		interval = time.Duration(*h.Interval)
	}
	if h.Retries != nil && *h.Retries > 0 {
		retries = *h.Retries
	}
	if interval.Seconds()*float64(retries) >= patience.Seconds() {
		return nil
	}
	return found(mounts[0].fileVolume, fmt.Sprintf("the healthcheck of service %s gives up after %s (%d × %s): swarm kills its tasks in a failover of the filer, which takes up to 90 s",
		s.Name, interval*time.Duration(retries), retries, interval), "set healthcheck.interval: 30s and healthcheck.retries: 6, or other values that make 180 s")
}

// unkept: a volume without a name lives as long as its task.
func unkept(_ *stackFile, s types.ServiceConfig) (out []Finding) {
	for _, m := range s.Volumes {
		if m.Type == types.VolumeTypeVolume && m.Source == "" && dataDirectory(m.Target) != "" {
			out = append(out, Finding{Volume: m.Target, Problem: fmt.Sprintf("service %s keeps its database in a volume without a name: each new task begins with an empty one", s.Name),
				Mend: "give the volume a name, and the name 'driver: berth' and 'driver_opts: { access: single }' under 'volumes:'"})
		}
	}
	return out
}

func found(v *fileVolume, problem, mend string) []Finding {
	return []Finding{{Volume: v.name, Problem: problem, Mend: mend}}
}
