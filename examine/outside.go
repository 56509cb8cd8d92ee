package examine

import (
	"context"
	"os"

	"github.com/casit/berth/doctor"
	"github.com/casit/berth/plugin"
)

// examineOutside says what can be said without a plugin: it reads the settings
// that the plugin would have, and goes the way to the filer itself.
func (e *dockerEngine) examineOutside(ctx context.Context, file string) doctor.Report {
	getenv := os.Getenv
	if e.plugin.Name != "" {
		getenv = e.getenv
	}
	settings, err := plugin.LoadSettings(file, getenv)
	r := doctor.Report{Node: settings.Node, Settings: plugin.SettingSources(file, getenv)}
	r.Add("node", doctor.Settings(r.Settings, err), doctor.MountsLeft())
	if err != nil {
		r.Unasked = []string{"export"}
		return r
	}
	checks := []doctor.Check{{Group: "export", Name: "export", Look: func(context.Context) []doctor.Finding {
		return []doctor.Finding{doctor.Directory(settings.Dir)}
	}}}
	if settings.Dir == "" {
		server := doctor.NewServer(settings.NFS)
		defer server.Close()
		checks = server.Checks()
	}
	found, unasked := doctor.Run(ctx, checkLimit, checks)
	r.Findings, r.Unasked = append(r.Findings, found...), unasked
	return r
}
