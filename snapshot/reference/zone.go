package reference

import (
	"context"
	"time"
)

// Skew is how far the clocks of a filer and a node may differ. A snapshot that is
// more than that in the future has no age: a zone or a clock is wrong.
const Skew = time.Minute

type zoneKey struct{}

// WithZone sets the zone in which the caller reads and writes times. Words and
// dates after @ are read in that zone; without a zone they are read in UTC.
func WithZone(ctx context.Context, zone *time.Location) context.Context {
	return context.WithValue(ctx, zoneKey{}, zone)
}

// ZoneOf returns the caller's zone. The zone of this process decides nothing.
func ZoneOf(ctx context.Context) *time.Location {
	if zone, ok := ctx.Value(zoneKey{}).(*time.Location); ok && zone != nil {
		return zone
	}
	return time.UTC
}
