package export

import (
	"context"
	"path"

	"github.com/casit/berth/tree"
)

// BallastPath is the part of the reserve that gives room back when it is removed,
// unless a snapshot has it too.
var BallastPath = path.Join(ReserveDir, ballast)

// smallNeed bounds what is small, in bytes; 1/100 of a small export.
const smallNeed = 1 << 20

type forceKey struct{}

// Force returns a context in which a copy may begin wherever the server's figures say
// that there is no room for it.
func Force(ctx context.Context) context.Context { return context.WithValue(ctx, forceKey{}, true) }

// Forced tells whether ctx is of Force.
func Forced(ctx context.Context) bool {
	forced, _ := ctx.Value(forceKey{}).(bool)
	return forced
}

// Room tells whether a copy that takes need bytes may begin: whether 5 % of the export
// stay free. That is an estimate: a server may store the bytes in less, and containers
// write meanwhile. So what is small is never refused, nor anything where the server
// tells no size, and Force overrides.
func Room(ctx context.Context, space tree.Space, need int64) bool {
	return space.Total <= 0 || Forced(ctx) || Small(space, need) || space.Avail-need >= space.Total/20
}

// Small tells whether something of need bytes may be brought back with the reserve
// behind it: it is the one file that repairs a site whose export is full.
func Small(space tree.Space, need int64) bool {
	return need <= smallNeed && (space.Total <= 0 || need <= space.Total/100)
}

// MakeRoom gives the ballast up, where an export has no room for what is small. Refill
// makes it again when there is room for both.
func (e *Export) MakeRoom(ctx context.Context) error {
	space, err := e.FS.Statfs(ctx)
	if err != nil || space.Avail > 2*smallNeed && (space.Files == 0 || space.FilesFree > 16) {
		return err
	}
	return Absent(e.FS.Remove(ctx, BallastPath))
}
