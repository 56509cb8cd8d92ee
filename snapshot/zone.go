package snapshot

import (
	"context"
	"time"
)

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
