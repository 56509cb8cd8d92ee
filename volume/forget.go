package volume

import (
	"context"
	"fmt"
	"time"

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
	release, err := s.names.hold(ctx, name)
	if err != nil {
		return 0, 0, s.conn.Explain(what, err)
	}
	defer release()
	l, ok := s.leases.copy(name)
	if !ok {
		return 0, 0, nil
	}
	var old []string
	for id, c := range l.Mounts {
		if s.cfg.Now().Sub(c.Since) >= older {
			old = append(old, id)
		}
	}
	gone, young = len(old), len(l.Mounts)-len(old)
	if gone == 0 || dryRun {
		return gone, young, nil
	}
	s.change(name, func(m map[string]Claim) {
		for _, id := range old {
			delete(m, id)
		}
	})
	return gone, young, s.with(ctx, what, func(e *export.Export) error {
		s.audit(ctx, e, AuditRecord{Op: "release", Volume: name, Detail: fmt.Sprintf("%d uses that no container had", gone)})
		return s.saveLease(ctx, e, name)
	})
}
