package stack

import (
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/volume"
)

// A stackFile is what the rules look at: a parsed file, and the volumes as they
// are.
type stackFile struct {
	services types.Services
	volumes  map[string]*fileVolume  // by their key in the file
	live     map[string]*volume.Info // by name; nil: they could not be asked for
}

// A fileVolume is a volume as a file has it.
type fileVolume struct {
	types.VolumeConfig
	name  string // the volume's own; its key in the file where named is false
	named bool
	live  *volume.Info // nil: there is none, or nobody knows

	ours   bool // berth's, or meant to be
	given  volume.Options
	wrong  *problem.Error // what is wrong with the options
	single bool           // one node at a time may mount it
}

// newFile joins a file with the live volumes. stack is "" where it was not
// given.
func newFile(p *types.Project, live map[string]*volume.Info, stack string) *stackFile {
	f := &stackFile{services: p.Services, volumes: map[string]*fileVolume{}, live: live}
	for key, config := range p.Volumes {
		f.volumes[key] = f.volume(key, config, stack)
	}
	return f
}

func (f *stackFile) volume(key string, config types.VolumeConfig, stack string) *fileVolume {
	v := &fileVolume{VolumeConfig: config, name: strings.Replace(config.Name, unnamed, stack, 1), named: true}
	if isTemplate(v.name) || stack == "" && strings.HasPrefix(v.name, "_") {
		v.name, v.named = key, false
	} else {
		v.live = f.live[v.name]
	}
	v.ours = IsBerth(v.Driver) || isNearlyBerth(v.Driver) || bool(v.External) && (f.live == nil || v.live != nil)
	given, err := volume.ParseOptions(map[string]string(v.DriverOpts))
	v.given = given
	_ = errors.As(err, &v.wrong)
	v.single = given.Get("access") == "single" || v.live != nil && v.live.Options.Get("access") == "single"
	return v
}

// A berthMount is one of berth's volumes in a service.
type berthMount struct {
	*fileVolume
	database string // the kind of database whose files it holds, "" for none
}

// mounts are berth's volumes in a service. Read-only ones count: Docker does
// not tell a driver that a mount is read-only.
func (f *stackFile) mounts(s types.ServiceConfig) (out []berthMount) {
	for _, m := range s.Volumes {
		if v := f.volumes[m.Source]; m.Type == types.VolumeTypeVolume && v != nil && v.ours {
			out = append(out, berthMount{v, database(s.Image, m.Target)})
		}
	}
	return out
}

// users are the services that mount a volume, by name.
func (f *stackFile) users(v *fileVolume) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(f.services)) {
		if slices.ContainsFunc(f.services[name].Volumes, func(m types.ServiceVolumeConfig) bool { return f.volumes[m.Source] == v }) {
			out = append(out, name)
		}
	}
	return out
}

// databases are the kinds of database whose files a volume holds.
func (f *stackFile) databases(v *fileVolume) (out []string) {
	for _, name := range f.users(v) {
		s := f.services[name]
		for _, m := range s.Volumes {
			if word := database(s.Image, m.Target); word != "" && f.volumes[m.Source] == v {
				out = append(out, word)
			}
		}
	}
	return out
}

func (f *stackFile) hasOurs() bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(f.volumes)), func(v *fileVolume) bool { return v.ours })
}

// database says which database's files are at a directory of an image, "" for
// none.
func database(image, target string) string {
	if word := dataDirectory(target); word != "" {
		return word
	}
	if strings.HasPrefix(target, "/etc/") || strings.HasPrefix(target, "/docker-entrypoint-initdb.d") {
		return "" // its configuration
	}
	for _, word := range []string{"mariadb", "mysql", "percona", "postgres", "mongo"} {
		if strings.Contains(image, word) {
			return word
		}
	}
	return ""
}

// dataDirectory says which database keeps its files at a directory, whatever
// the image is called.
func dataDirectory(target string) string {
	switch path.Clean(target) {
	case "/var/lib/mysql", "/bitnami/mariadb", "/bitnami/mysql":
		return "mysql"
	case "/var/lib/postgresql", "/var/lib/postgresql/data", "/bitnami/postgresql":
		return "postgres"
	case "/data/db", "/bitnami/mongodb":
		return "mongo"
	}
	return ""
}

// IsBerth tells whether a driver is the plugin, as files and Docker name it.
func IsBerth(driver string) bool { return shortName(driver) == "berth" }

// isNearlyBerth tells whether a driver is meant to be the plugin, or was its
// predecessor.
func isNearlyBerth(driver string) bool {
	name := strings.ToLower(shortName(driver))
	return !IsBerth(driver) && (strings.Contains(name, "convoy") || levenshtein.Distance(name, "berth", nil) <= 2)
}

// shortName is a driver's name without its repository and tag.
func shortName(driver string) string {
	name, _, _ := strings.Cut(driver[strings.LastIndex(driver, "/")+1:], ":")
	return name
}

func isTemplate(name string) bool { return strings.Contains(name, "{{") }
