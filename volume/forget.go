package volume

import (
	"context"
	"fmt"
	"time"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/export"
)

// Forget takes back this node's uses of a volume or view that are at least
// older old: dockerd never undid them, as when it or berth was killed at the
// wrong moment. The caller has seen that no container of this node has the
// volume, and older is longer than a Mount takes, so none is about to. It
// returns how many uses are forgotten, and how many are younger and stay. With
// dryRun it only counts. It may be repeated.
func (s *Store) Forget(ctx context.Context, volume string, older time.Duration, dryRun bool) (gone, young int, err error) {
	ref, err := ParseRef(volume)
	if err != nil {
		return 0, 0, err
	}
	name, what := ref.String(), "forget the uses of "+ref.String()
	release, err := s.Cluster.Turn(ctx, name)
	if err != nil {
		return 0, 0, s.conn.Explain(what, err)
	}
	defer release()
	if gone, young = s.Cluster.UnclaimOld(name, older, dryRun); gone == 0 || dryRun {
		return gone, young, nil
	}
	return gone, young, s.with(ctx, what, func(e *export.Export) error {
		s.Audit.Write(ctx, e, audit.Record{Op: "release", Volume: name, Detail: fmt.Sprintf("%d uses that no container had", gone)})
		return s.Cluster.SaveLease(ctx, e, name)
	})
}
