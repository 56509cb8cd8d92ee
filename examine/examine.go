// Package examine looks at a node for `berth doctor`: it asks the plugin what
// the plugin finds, asks the Docker engine, and looks at the rest from outside.
// What the findings mean is decided in package doctor.
//
//	report := examine.Node(ctx, examine.Config{Socket: socket, Version: "1.0", MaxAge: 26 * time.Hour})
//
// It changes nothing. Where no plugin answers, it goes the way to the filer
// itself and says what can be said.
package examine

import (
	"context"
	"slices"
	"time"

	"github.com/casit/berth/doctor"
	"github.com/casit/berth/plugin"
)

// Config is how to examine a node. Socket or Silent is given.
type Config struct {
	Socket   string        // the plugin's
	Silent   error         // why there is no Socket
	Caller   string        // who asks, for the audit trail
	Version  string        // of this command
	Settings string        // the file that the plugin reads
	MaxAge   time.Duration // of the newest snapshot; 0 for no limit
	URL      string        // a site whose .snapshot must not be served, "" for none
}

// Limits of what is asked from outside the plugin.
const (
	askLimit   = 40 * time.Second // the plugin's own look, which has deadlines of its own
	checkLimit = 15 * time.Second // each other check
)

// Node asks the plugin what it finds, and looks at the rest from here.
func Node(ctx context.Context, cfg Config) (out doctor.Report) {
	err := cfg.Silent
	engine := lookAtEngine(ctx)
	from := asker{plugin.NewClient(cfg.Socket, cfg.Caller)}
	var inside doctor.Report
	if err == nil {
		inside, err = from.doctor(ctx, cfg.MaxAge)
	}
	if inside.Version != "" && (err == nil || inside.Version != cfg.Version) {
		out.Add("node", doctor.PluginAnswers(engine.plugin, cfg.Socket, inside.Version, cfg.Version))
	} else {
		out.Add("node", doctor.PluginSilent(engine.plugin, err, engine.err))
	}
	if err != nil {
		inside = engine.examineOutside(ctx, cfg.Settings)
	}
	out.Node, out.Version, out.Settings, out.Unasked = inside.Node, inside.Version, inside.Settings, inside.Unasked
	out.Findings = append(out.Findings, inside.Findings...)

	answers := func(f doctor.Finding) bool { return f.Group == "nodes" } // which needs an export that answers
	checks := engine.checks(from, err == nil && slices.ContainsFunc(inside.Findings, answers))
	if cfg.URL != "" {
		checks = append(checks, from.site(cfg.URL))
	}
	found, unasked := doctor.Run(ctx, checkLimit, checks)
	out.Findings, out.Unasked = append(out.Findings, found...), append(append([]string{}, out.Unasked...), unasked...)
	return out
}

// asker asks the plugin.
type asker struct{ client *plugin.Client }

// ask sends one request.
func ask[Resp any](ctx context.Context, a asker, route string, req any) (resp Resp, err error) {
	err = a.client.Call(ctx, route, req, &resp)
	return resp, err
}

// doctor returns what the plugin finds. A plugin that does not know the
// question says its version at least.
func (a asker) doctor(ctx context.Context, maxAge time.Duration) (r doctor.Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	if err = a.client.Call(ctx, "Berth.Doctor", plugin.DoctorRequest{MaxAge: maxAge}, &r); err != nil {
		var about plugin.About
		if a.client.Call(ctx, "Berth.Version", plugin.Empty{}, &about) == nil {
			r.Version = about.Version
		}
	}
	return r, err
}

// site is the check of a site that must not serve .snapshot.
func (a asker) site(url string) doctor.Check {
	return doctor.Check{Group: "site", Name: "site", Next: "curl -I " + url, Look: func(ctx context.Context) []doctor.Finding {
		name := ""
		if newest, err := ask[plugin.Newest](ctx, a, "Berth.SnapshotNewest", plugin.Empty{}); err == nil && newest.Snapshot != nil {
			name = newest.Snapshot.Name
		}
		return []doctor.Finding{doctor.Site(ctx, url, name)}
	}}
}
