package snapshot

import (
	"context"
	"time"
)

// Skew is how far the clocks of a filer and a node may differ. What was made
// later than that from now has no age: a zone or a clock is wrong.
const Skew = time.Minute

type zoneKey struct{}

// WithZone says in which zone the caller reads and writes times. Words and
// dates after @ are meant there; without it they are meant in UTC.
func WithZone(ctx context.Context, zone *time.Location) context.Context {
	return context.WithValue(ctx, zoneKey{}, zone)
}

// zoneOf is the caller's zone. The zone of this process decides nothing.
func zoneOf(ctx context.Context) *time.Location {
	if zone, ok := ctx.Value(zoneKey{}).(*time.Location); ok && zone != nil {
		return zone
	}
	return time.UTC
}
