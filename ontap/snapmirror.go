package ontap

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Relationship is a copy of a FlexVol elsewhere that SnapMirror keeps.
type Relationship struct {
	UUID        string
	Source      string // SVM:VOLUME
	Destination string // SVM:VOLUME

	// State is snapmirrored, uninitialized, broken_off, paused, synchronizing,
	// in_sync or out_of_sync; "" where this cluster knows only that the copy exists.
	State           string
	Healthy         *bool    // nil where this cluster does not know
	Lag             string   // ISO 8601, e.g. PT8H35M42S; "" where this cluster does not know
	UnhealthyReason []string // the reasons, in ONTAP's words
}

// end is one end of a relationship.
type end struct {
	Path string `json:"path"`
}

// destination is what the cluster of the source knows of a relationship.
type destination struct {
	UUID        string `json:"uuid"`
	Source      end    `json:"source"`
	Destination end    `json:"destination"`
}

// relationship is what the cluster of the destination knows.
type relationship struct {
	destination
	State   string `json:"state"`
	Healthy *bool  `json:"healthy"`
	Lag     string `json:"lag_time"`
	Reasons []struct {
		Message string `json:"message"`
	} `json:"unhealthy_reason"`
}

// SnapmirrorList reads the copies of an SVM's volume
// (GET /snapmirror/relationships?source.path=, 9.6). The cluster of the
// destination knows all of a relationship. The cluster of the source knows, with
// list_destinations_only, that a copy exists, and no more.
func (c *Client) SnapmirrorList(ctx context.Context, svm, volume string) ([]Relationship, error) {
	const path = "/snapmirror/relationships"
	source := exactly(svm + ":" + volume)
	here, err := list[relationship](ctx, c, path, where("source.path", source))
	if err != nil {
		return nil, err
	}
	elsewhere, err := list[destination](ctx, c, path, where("source.path", source, "list_destinations_only", "true"))
	if err != nil {
		return nil, err
	}
	for _, d := range elsewhere {
		if !slices.ContainsFunc(here, func(r relationship) bool { return r.UUID == d.UUID }) {
			here = append(here, relationship{destination: d})
		}
	}
	out := make([]Relationship, len(here))
	for i, r := range here {
		out[i] = Relationship{UUID: r.UUID, Source: r.Source.Path, Destination: r.Destination.Path, State: r.State, Healthy: r.Healthy, Lag: r.Lag}
		for _, why := range r.Reasons {
			out[i].UnhealthyReason = append(out[i].UnhealthyReason, why.Message)
		}
	}
	return out, nil
}

// LagTime is how old the copy is; false where this cluster does not know.
func (r Relationship) LagTime() (time.Duration, bool) {
	return duration(r.Lag)
}

// iso8601 is a duration of days to seconds; ONTAP uses no years and months.
var iso8601 = regexp.MustCompile(`^P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})(?:\.\d+)?S)?)?$`)

func duration(text string) (time.Duration, bool) {
	parts := iso8601.FindStringSubmatch(text)
	if parts == nil || text == "P" || strings.HasSuffix(text, "T") {
		return 0, false
	}
	var d time.Duration
	for i, unit := range []time.Duration{7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n, _ := strconv.Atoi("0" + parts[i+1]) // digits
		d += time.Duration(n) * unit
	}
	return d, true
}
