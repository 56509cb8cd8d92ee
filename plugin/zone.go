package plugin

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
)

// zoneHeader is the header with the caller's time zone: the name of a zone, or
// rulesPrefix and the base64 of the zone's rules, a TZif file (RFC 8536). Without
// the header the zone is UTC.
const (
	zoneHeader  = "Berth-Zone"
	rulesPrefix = "tzif:"
)

// ZoneRules is the value of the header for a zone without a name.
func ZoneRules(tzif []byte) string { return rulesPrefix + base64.StdEncoding.EncodeToString(tzif) }

// LoadZone reads the value of the header.
func LoadZone(text string) (*time.Location, error) {
	rules, unnamed := strings.CutPrefix(text, rulesPrefix)
	if !unnamed {
		return namedZone(text)
	}
	data, err := base64.StdEncoding.DecodeString(rules)
	if err == nil {
		var zone *time.Location
		if zone, err = time.LoadLocationFromTZData("TZ", data); err == nil {
			return zone, nil
		}
	}
	return nil, &problem.Error{Kind: problem.Invalid, Reason: "the time zone of this host cannot be read: " + err.Error(), Hint: "name one: TZ=Europe/Berlin berth ..."}
}

// namedZone is a zone of the IANA database. Local, Go's name for this process's
// own zone, is not in the database.
func namedZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, &problem.Error{Kind: problem.Invalid, Reason: "there is no time zone \"" + text.Visible(name) + "\"", Hint: "name one of the IANA database, such as Europe/Berlin or UTC"}
	}
	return zone, nil
}

// asker is the context of a request, with the caller's name and time zone, and
// whether it is dockerd.
func asker(r *http.Request) (context.Context, error) {
	ctx := audit.WithCaller(r.Context(), caller(r))
	ctx = context.WithValue(ctx, dockerdKey{}, readsErr(r))
	zone, err := LoadZone(r.Header.Get(zoneHeader))
	return reference.WithZone(ctx, zone), err
}
