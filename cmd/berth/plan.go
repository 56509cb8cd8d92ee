package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/docker"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot"
)

// planView is a plan as it is shown, with what only this side knows.
type planView struct {
	*snapshot.Plan
	stop  bool         // --stop was given
	stops docker.Stops // what it stops
	to    string       // --to
	uses  []docker.Use
	times show.Times
}

// renderPlan writes what would be done, and to whom.
func renderPlan(w io.Writer, v planView, width int) {
	const indent = "      "
	line := func(format string, args ...any) { show.Indented(w, indent, fmt.Sprintf(format, args...), width) }
	for _, it := range v.Items {
		what := it.Volume
		if it.Path != "" {
			what += ":" + show.Quoted(it.Name())
		}
		from := show.Quoted(it.RefName())
		if it.Snapshot != nil {
			from += " (" + v.times.Made(*it.Snapshot) + ")"
		}
		show.Indented(w, "PLAN  ", what+" <- "+from, width)
		c := it.Changes
		if len(it.Parents) > 0 {
			line("with its directories: %s", show.Quoted(it.Parents[len(it.Parents)-1]))
		}
		if it.New {
			line("bring back all: %s files, %s", humanize.Comma(it.Files), show.Size(it.Bytes))
			continue
		}
		line("modify %s, bring back %s, remove %s, set attributes of %s; %s unchanged", humanize.Comma(c.Modified),
			humanize.Comma(c.Added), humanize.Comma(c.Removed), humanize.Comma(c.Updated), humanize.Comma(c.Unchanged))
		if c.Disguised > 0 {
			line("%s", show.Disguised(c.Disguised))
		}
		if c.Held > 0 {
			line("%s", show.Held(&c))
		}
		if it.Database {
			line("it holds a database")
		}
	}
	engine := map[snapshot.Engine]string{
		snapshot.EngineFiler: "the filer brings the directory back itself, no byte over the network",
		snapshot.EngineCopy:  fmt.Sprintf("%s to copy, then a swap; %s free", show.Size(v.Need), show.Size(v.Avail)),
		snapshot.EngineSync:  fmt.Sprintf("replace what differs, file by file; %s to write", show.Size(v.Need)),
		snapshot.EngineMove:  "swap with the copy in the trash",
	}
	line("engine %s: %s", v.Engine, engine[v.Engine])
	for _, note := range v.Notes() {
		line("%s", note)
	}
	if len(v.Users) > 0 {
		how := "goes on meanwhile"
		if v.stop {
			how = "is stopped, and started again"
		}
		line("in use by %s: %s", strings.Join(userNames(v.Users, v.uses), ", "), how)
	}
	for _, name := range v.stops.Lost {
		line("container %s runs with --rm: Docker removes it when it stops, and it is NOT started again", show.Quoted(name))
	}
	if v.to == "" {
		line("what is there now is kept %s", days(v.KeepDays))
	}
}

func days(d float64) string {
	if d < 2 {
		return fmt.Sprintf("%.0f hours", d*24)
	}
	return fmt.Sprintf("%.0f days", d)
}

// userNames names the users of volumes: containers where Docker here knows them,
// else nodes.
func userNames(users []cluster.User, uses []docker.Use) (out []string) {
	for _, u := range users {
		found := false
		for _, k := range uses {
			if k.Volume != u.Volume || k.Node != u.Node {
				continue
			}
			found = true
			switch {
			case k.Service != "":
				out = append(out, fmt.Sprintf("service %s on %s", k.Service, k.Node))
			default:
				out = append(out, fmt.Sprintf("container %s on %s", k.Container, k.Node))
			}
		}
		if !found {
			out = append(out, fmt.Sprintf("node %s (heartbeat %s ago)", u.Node, show.Age(u.Age)))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
