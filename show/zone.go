package show

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"time"
	_ "time/tzdata" // a plugin's rootfs has this binary alone

	"github.com/casit/berth/plugin"
)

// ZoneHere is the time zone of the person who types, and how the plugin is told:
// $TZ, else what /etc/localtime is. Where a zone has no name, its rules are sent.
func ZoneHere(lookup func(string) (string, bool), localtime string) (zone *time.Location, told string) {
	if tz, set := lookup("TZ"); set {
		return zoneOf(tz)
	}
	if file, err := filepath.EvalSymlinks(localtime); err == nil {
		return zoneIn(file)
	}
	return time.UTC, "UTC"
}

// zoneOf reads $TZ: a name, a file, or rules such as CET-1CEST,M3.5.0,M10.5.0/3.
func zoneOf(tz string) (*time.Location, string) {
	tz = strings.TrimPrefix(tz, ":")
	if filepath.IsAbs(tz) {
		return zoneIn(tz)
	}
	if zone, err := time.LoadLocation(tz); err == nil && tz != "" && tz != "Local" {
		return zone, tz
	}
	if strings.ContainsAny(tz, "0123456789") {
		return zoneBy(rulesFile(tz))
	}
	return time.UTC, "UTC"
}

// zoneIn reads a zone's file, by its name where it is one of the database.
func zoneIn(file string) (*time.Location, string) {
	data, err := os.ReadFile(file)
	if err != nil {
		return time.UTC, "UTC"
	}
	if _, name, ok := strings.Cut(file, "/zoneinfo/"); ok {
		name = strings.TrimPrefix(name, "posix/")
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, name
		}
	}
	return zoneBy(data)
}

func zoneBy(tzif []byte) (*time.Location, string) {
	told := plugin.ZoneRules(tzif)
	zone, err := plugin.LoadZone(told)
	if err != nil {
		return time.UTC, "UTC"
	}
	return zone, told
}

// rulesFile is a TZif file (RFC 8536) that has nothing but rules: the name of a
// zone and its offset are in its footer.
func rulesFile(rules string) []byte {
	header := func(version byte) []byte {
		h := append([]byte("TZif"), version)
		h = append(h, make([]byte, 15)...)
		for _, count := range []uint32{0, 0, 0, 0, 1, 4} { // one type, "UTC\x00"
			h = binary.BigEndian.AppendUint32(h, count)
		}
		return append(h, 0, 0, 0, 0, 0, 0, 'U', 'T', 'C', 0)
	}
	return append(append(header('2'), header('2')...), "\n"+rules+"\n"...)
}
