package plugin

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/casit/berth/doctor"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/plugin/mounts"
	"github.com/casit/berth/volume"
)

// SettingsFile is where the settings are, for the plugin and the command line.
const SettingsFile = "/etc/berth/berth.env"

// Class says what a change of a setting does to a plugin that runs.
type Class string

const (
	// OfIdentity: the setting says which export this is and who we are on it. The
	// session ends in order, its jobs can be resumed, and another one begins.
	OfIdentity Class = "identity"
	// OfTuning: the new value is used from the next step on. Nothing that runs ends.
	OfTuning Class = "tuning"
	// OfStart: the value is read once, when the process starts.
	OfStart Class = "start"
)

// Setting describes one setting. docs/settings.md is held to this table.
type Setting struct {
	Name    string
	Default string
	Class   Class
	Help    string
}

// SettingTable lists every setting.
var SettingTable = []Setting{
	{"BERTH_EXPORT", "", OfIdentity, "the export: nfs://HOST/PATH, which berth mounts itself; file:///DIR for a directory that the host has mounted or a plain local one; append ?id=ID to insist on one export"},
	{"BERTH_MOUNT_OPTIONS", "vers=3,hard,proto=tcp", OfTuning, "kernel mount options of an nfs:// export, with nosuid and nodev unless suid and dev are among them; of those two also for file://"},
	{"BERTH_ONTAP", "", OfTuning, "the filer's management address"},
	{"BERTH_ONTAP_USER", "", OfTuning, "REST user on the filer"},
	{"BERTH_ONTAP_PASSWORD_FILE", "", OfTuning, "file with that user's password"},
	{"BERTH_ONTAP_CERT", "", OfTuning, "file with a client certificate, in place of user and password"},
	{"BERTH_ONTAP_KEY", "", OfTuning, "file with that certificate's key"},
	{"BERTH_ONTAP_CA", "", OfTuning, "file with the CA that signed the filer's certificate, or with that very certificate"},
	{"BERTH_ONTAP_INSECURE", "", OfTuning, "1: do not verify the filer's certificate"},
	{"BERTH_ONTAP_SVM", "", OfTuning, "the SVM that serves the export, where it is not unique"},
	{"BERTH_TZ", "UTC", OfTuning, "the filer's time zone, of the IANA database: of times in the names of snapshots, where the filer's API tells none, and of its schedules"},
	{"BERTH_LEASE_TTL", "90s", OfIdentity, "a node silent for this long no longer keeps its volumes from being removed; at least 3s"},
	{"BERTH_TRASH_TTL", "168h", OfTuning, "how long removed volumes stay in the trash"},
	{"BERTH_NODE", "", OfIdentity, "this node's name; default: the host's name"},
	{"BERTH_SOCKET", "/run/docker/plugins/berth.sock", OfStart, "where berth serve listens, and where the command line looks first"},
	{"BERTH_MOUNT_ROOT", "/var/lib/berth/mounts", OfIdentity, "where this node mounts the export; a managed plugin sets its own"},
	{"BERTH_METRICS", "", OfTuning, "IP:PORT on which Prometheus may scrape this node, for example 127.0.0.1:9624; :9624 is every address of the host; empty: nowhere"},
	{"BERTH_LOG_LEVEL", "info", OfTuning, "debug, info, warning or error"},
}

// Settings are the settings in force.
type Settings struct {
	Identity
	Tuning
	Socket string
}

// Identity are the settings that make a session what it is: another value is
// another session.
type Identity struct {
	Export    string     // as written
	Dir       string     // of a file:// export
	NFS       nfs.Target // of an nfs:// export
	ExportID  string     // from ?id=
	Node      string
	MountRoot string
	// LeaseTTL is announced in each heartbeat. Other nodes judge this one by it,
	// so a session has one from its first heartbeat to its last.
	LeaseTTL time.Duration
}

// differences names the settings in which two identities differ.
func (a Identity) differences(b Identity) (names []string) {
	for _, s := range []struct {
		name   string
		differ bool
	}{
		{"BERTH_EXPORT", a.Export != b.Export}, {"BERTH_NODE", a.Node != b.Node},
		{"BERTH_MOUNT_ROOT", a.MountRoot != b.MountRoot}, {"BERTH_LEASE_TTL", a.LeaseTTL != b.LeaseTTL},
	} {
		if s.differ {
			names = append(names, s.name)
		}
	}
	return names
}

// Tuning are the settings that change in place.
type Tuning struct {
	// MountOptions are of an nfs:// export. Other ones make another generation of
	// the node's mount; containers keep the one that they have.
	MountOptions string
	ONTAP        ONTAP
	TZ           string // the filer's time zone
	TrashTTL     time.Duration
	Metrics      string // where metrics are served, "" for nowhere
	LogLevel     logrus.Level
}

// ONTAP is how to reach the filer's REST interface; none with an empty Address.
type ONTAP struct {
	Address, User, PasswordFile, Cert, Key, CA, SVM string
	Insecure                                        bool
}

// errUnset is every verb's answer without an export.
var errUnset = errors.New("BERTH_EXPORT is not set; put it in " + SettingsFile)

// LoadSettings reads the file (a missing one is empty) under the environment:
// a variable that is set and not empty wins.
func LoadSettings(file string, getenv func(string) string) (Settings, error) {
	values, _, err := readSettings(file, getenv)
	if err != nil {
		return Settings{}, err
	}
	return interpret(values)
}

// changed lists the settings whose values differ.
func changed(a, b map[string]string) []string {
	var names []string
	for _, s := range SettingTable {
		if a[s.Name] != b[s.Name] {
			names = append(names, s.Name)
		}
	}
	return names
}

// readSettings returns the values, and those of the file alone under the
// defaults.
func readSettings(file string, getenv func(string) string) (values, filed map[string]string, err error) {
	values = map[string]string{}
	for _, s := range SettingTable {
		values[s.Name] = s.Default
	}
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return values, values, fmt.Errorf("read the settings: %w", err)
	}
	if err := parseEnv(string(data), values); err != nil {
		return values, values, fmt.Errorf("%s: %w", file, err)
	}
	filed = maps.Clone(values)
	for name := range values {
		if v := getenv(name); v != "" {
			values[name] = v
		}
	}
	return values, filed, nil
}

// SettingSources says of each setting where its value is from. None is secret:
// the password is in a file.
func SettingSources(file string, getenv func(string) string) []doctor.Setting {
	values, filed, _ := readSettings(file, getenv) // what is wrong, LoadSettings says
	var out []doctor.Setting
	for _, s := range SettingTable {
		source := "default"
		switch {
		case getenv(s.Name) != "":
			source = "environment"
		case filed[s.Name] != s.Default:
			source = file
		}
		out = append(out, doctor.Setting{Name: s.Name, Value: values[s.Name], Source: source})
	}
	return out
}

// parseEnv reads lines NAME=VALUE; '#' begins a comment line, quotes around a
// value are taken off.
func parseEnv(file string, values map[string]string) error {
	lines := bufio.NewScanner(strings.NewReader(file))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok {
			return fmt.Errorf("line %d: want NAME=VALUE", n)
		}
		if _, known := values[name]; !known {
			if strings.HasPrefix(name, "BERTH_") {
				return fmt.Errorf("line %d: unknown setting %s; see docs/settings.md", n, name)
			}
			continue
		}
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		if value != "" {
			values[name] = value
		}
	}
	return lines.Err()
}

func interpret(v map[string]string) (s Settings, err error) {
	s.Export, s.Node, s.MountRoot = v["BERTH_EXPORT"], v["BERTH_NODE"], v["BERTH_MOUNT_ROOT"]
	s.Socket, s.MountOptions = v["BERTH_SOCKET"], v["BERTH_MOUNT_OPTIONS"]
	s.ONTAP = ONTAP{Address: v["BERTH_ONTAP"], User: v["BERTH_ONTAP_USER"], PasswordFile: v["BERTH_ONTAP_PASSWORD_FILE"],
		Cert: v["BERTH_ONTAP_CERT"], Key: v["BERTH_ONTAP_KEY"], CA: v["BERTH_ONTAP_CA"], SVM: v["BERTH_ONTAP_SVM"]}
	if s.Metrics, err = metricsAddress(v["BERTH_METRICS"]); err != nil {
		return s, err
	}
	switch insecure := v["BERTH_ONTAP_INSECURE"]; insecure {
	case "", "0":
	case "1":
		s.ONTAP.Insecure = true
	default:
		return s, fmt.Errorf("BERTH_ONTAP_INSECURE=%s: write 1, or leave it out", insecure)
	}
	s.TZ = v["BERTH_TZ"]
	if _, err := namedZone(s.TZ); err != nil {
		return s, fmt.Errorf("BERTH_TZ=%s: write a time zone of the IANA database, such as Europe/Berlin or UTC", s.TZ)
	}
	if s.LeaseTTL, err = duration(v, "BERTH_LEASE_TTL", 3*time.Second); err != nil {
		return s, err
	}
	if s.TrashTTL, err = duration(v, "BERTH_TRASH_TTL", time.Second); err != nil {
		return s, err
	}
	if s.LogLevel, err = logrus.ParseLevel(v["BERTH_LOG_LEVEL"]); err != nil {
		return s, fmt.Errorf("BERTH_LOG_LEVEL=%s: write debug, info, warning or error", v["BERTH_LOG_LEVEL"])
	}
	if s.Node == "" {
		if s.Node, err = os.Hostname(); err != nil {
			return s, fmt.Errorf("this host's name is unknown (%v); set BERTH_NODE", err)
		}
	}
	if volume.CheckName(s.Node) != nil {
		return s, fmt.Errorf("BERTH_NODE=%q: a node's name is letters, digits, '_', '.' or '-'", s.Node)
	}
	if !filepath.IsAbs(s.MountRoot) || filepath.Clean(s.MountRoot) == "/" {
		return s, mounts.BadRoot(s.MountRoot)
	}
	if s.Export == "" {
		return s, errUnset
	}
	return s, s.parseExport()
}

// parseExport reads BERTH_EXPORT.
func (s *Settings) parseExport() error {
	form := "write nfs://HOST/PATH or file:///DIR"
	u, err := url.Parse(s.Export)
	if err != nil {
		return fmt.Errorf("BERTH_EXPORT=%s is not a URL; %s", s.Export, form)
	}
	query := u.Query()
	s.ExportID = query.Get("id")
	query.Del("id")
	u.RawQuery = query.Encode()
	switch {
	case u.Scheme == "nfs":
		if s.NFS, err = nfs.ParseTarget(u.String()); err != nil {
			return fmt.Errorf("BERTH_EXPORT: %w", err)
		}
		if err := nfs.CheckMountOptions(s.MountOptions); err != nil {
			return fmt.Errorf("BERTH_MOUNT_OPTIONS: %w", err)
		}
		return nil
	case u.Scheme != "file" || u.Host != "" || !path.IsAbs(u.Path):
		return fmt.Errorf("BERTH_EXPORT=%s is not an export; %s", s.Export, form)
	case len(query) > 0:
		return fmt.Errorf("BERTH_EXPORT=%s: unknown parameter %q; only id is known", s.Export, u.RawQuery)
	}
	s.Dir = path.Clean(u.Path)
	if s.Dir == "/" {
		return fmt.Errorf("BERTH_EXPORT=%s is the whole host; name the export's directory", s.Export)
	}
	return nil
}

// metricsAddress reads BERTH_METRICS. Names are refused: looking one up may take
// longer than anything here waits.
func metricsAddress(address string) (string, error) {
	if address == "" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(address)
	if host == "localhost" {
		host = "127.0.0.1"
	}
	_, notIP := netip.ParseAddr(host)
	_, notPort := strconv.ParseUint(port, 10, 16)
	if err != nil || notPort != nil || host != "" && notIP != nil {
		return "", fmt.Errorf("BERTH_METRICS=%s: write IP:PORT, such as 127.0.0.1:9624 for this host alone, or :9624 for every address of it", address)
	}
	return net.JoinHostPort(host, port), nil
}

func duration(v map[string]string, name string, least time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(v[name])
	if err != nil || d < least {
		return 0, fmt.Errorf("%s=%s: write a duration of at least %s, such as 90s or 168h", name, v[name], least)
	}
	return d, nil
}

// SettingNames lists the names of all settings.
func SettingNames() []string {
	names := make([]string, len(SettingTable))
	for i, s := range SettingTable {
		names[i] = s.Name
	}
	slices.Sort(names)
	return names
}
