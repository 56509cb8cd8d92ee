package df

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/guard"
	"github.com/casit/berth/snapshot/embedded"
	"github.com/casit/berth/snapshot/netapp"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// Counted asks the filer for the sizes of the directories at the top of the export,
// by name, as netapp.Filer.Sizes does.
type Counted func(context.Context) (map[string]netapp.Size, error)

// walkedAtOnce is how many volumes are walked at the same time.
const walkedAtOnce = 16

// Volumes fills in what volumes hold. sizes has the counts of the filer, which may be
// nil; walk measures a volume that the filer has not counted. walk is called
// concurrently.
func Volumes(ctx context.Context, all []*volume.Info, sizes map[string]netapp.Size, walk func(context.Context, *volume.Info) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(walkedAtOnce)
	for _, i := range all {
		if s, ok := sizes[i.Path]; ok {
			i.UsedBytes, i.Files, i.ByFiler = s.Bytes, s.Files, true
			continue
		}
		g.Go(guard.Func(func() error { return walk(ctx, i) }))
	}
	return g.Wait()
}

// counted adds the filer's counts of the live volumes. Without any, Live stays
// unknown: nobody walks all volumes over the network for it.
func (u *Usage) counted(ctx context.Context, fsys tree.FS, sizes Counted) error {
	got, err := sizes(ctx)
	if err != nil || len(got) == 0 {
		return ctx.Err()
	}
	names, err := volume.NamesIn(ctx, fsys)
	if err != nil {
		return err
	}
	u.Live, u.ByFiler = 0, true
	for _, n := range names {
		s, ok := got[n]
		if !ok {
			u.Failed = append(u.Failed, embedded.LeftOut{Volume: n, Reason: "the filer has not counted it (yet), or it is on another FlexVol"})
		}
		u.Live += s.Bytes
	}
	if len(u.Failed) == len(names) && len(names) > 0 {
		u.Live, u.ByFiler, u.Failed = -1, false, nil
	}
	return nil
}
