package snapshot

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/job"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/ontap"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// cable connects a node with the server until it is cut.
type cable struct {
	mu   sync.Mutex // guards the fields
	cut  bool
	ends []net.Conn
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		nc.Close()
		return nil, errors.New("no route to host")
	}
	c.ends = append(c.ends, nc)
	return nc, nil
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut = cut; cut {
		for _, nc := range c.ends {
			nc.Close()
		}
		c.ends = nil
	}
}

// neighbour is another node on the same filer, with an address of its own.
func (f *filer) neighbour(name, address string, dial func(context.Context, string, string) (net.Conn, error)) *world {
	return worldOn(f.t, flexvol, name, func(cfg *volume.Config) {
		cfg.URL = "nfs://filer" + flexvol
		cfg.Address = func() string { return address }
		cfg.Open = func(ctx context.Context) (tree.FS, error) {
			return tree.OpenWire(ctx, f.server.Target(flexvol), &nfs.Config{Dial: dial})
		}
	})
}

func TestADatabaseIsTakenOverFromANodeThatIsCutOff(t *testing.T) {
	if !inFiler(t) {
		return
	}
	for _, engine := range []Engine{EngineCopy, EngineFiler} {
		t.Run(string(engine), func(t *testing.T) {
			f := newFiler(t, 64, restoring(engine))
			link := &cable{}
			old := f.neighbour("old", "10.0.0.9", link.dial)
			require.NoError(t, f.store.Create(ctx, "db", map[string]string{"access": "single", "mode": "0700"}))
			_, err := old.store.Mount(ctx, "db", "a", 1)
			require.NoError(t, err)
			f.write("db/ibdata1", "acknowledged")
			f.write("db/shop/orders.ibd", string(bytes.Repeat([]byte("order "), 100_000)))
			held, err := os.OpenFile(f.path("db/ibdata1"), os.O_WRONLY|os.O_APPEND, 0)
			require.NoError(t, err)
			defer held.Close()
			for _, l := range []ontap.Lock{
				{UUID: "lock-1", Path: flexvol + "/db/ibdata1", ClientAddress: "10.0.0.9"},
				{UUID: "lock-2", Path: flexvol + "/db/ibdata1", ClientAddress: "10.0.0.8"},
				{UUID: "lock-3", Path: flexvol + "/other/file", ClientAddress: "10.0.0.9"},
			} {
				f.sim.AddLock(l)
			}
			require.ErrorContains(t, f.TakeOver(ctx, "db", "old"), "held by old (heartbeat")

			link.set(true)
			m := volume.Mounted{}
			require.Eventually(t, func() bool {
				m, err = f.store.Mount(ctx, "db", "b", 1)
				return err == nil
			}, 20*time.Second, 100*time.Millisecond, "%v", err)
			require.Equal(t, "db", m.Path)
			require.Equal(t, "acknowledged", f.read("db/ibdata1"))
			x := f.export()
			locks, err := f.client.LockList(ctx, x.SVM.UUID, x.Volume.UUID, "")
			require.NoError(t, err)
			require.Len(t, locks, 2, "%v", locks)
			require.Equal(t, []string{"lock-2", "lock-3"}, []string{locks[0].UUID, locks[1].UUID})

			all, err := f.store.Jobs.List(ctx)
			require.NoError(t, err)
			require.Empty(t, all)
			list, err := f.tuned.Load().Filer.List(ctx)
			require.NoError(t, err)
			require.Empty(t, list, "its snapshot is gone: the trash has the old tree")

			// The old node is back: what it had still to write goes to the trash.
			time.Sleep(1100 * time.Millisecond)
			_, err = held.WriteString(", late")
			require.NoError(t, err)
			link.set(false)
			require.Equal(t, "acknowledged", f.read("db/ibdata1"))
			fenced, err := f.store.Trash.LateWrites(ctx, "db")
			require.NoError(t, err)
			require.Len(t, fenced, 1)
			require.Equal(t, &volume.Late{Files: 1, Bytes: int64(len("acknowledged, late")), Last: fenced[0].Late.Last}, fenced[0].Late)
			require.Equal(t, "acknowledged, late", f.read(fenced[0].Data()+"/ibdata1"))
			require.Eventually(t, func() bool {
				users, err := old.store.Users(ctx, "db")
				for _, u := range users {
					if u.Node == "old" {
						return err == nil && u.Fenced == fenced[0].ID
					}
				}
				return false
			}, 20*time.Second, 100*time.Millisecond, "the old node knows")
			_, err = old.store.Mount(ctx, "db", "c", 1)
			require.ErrorContains(t, err, "held by n1")
		})
	}
}

func TestWhereNobodyMakesInstantsTheAdministratorTakesOver(t *testing.T) {
	w := newWorld(t)
	dead := volume.New(volume.Config{URL: "file://" + w.dir, Node: "dead", Boot: "boot-dead", LeaseTTL: time.Second,
		Open: func(ctx context.Context) (tree.FS, error) { return tree.OpenLocal(ctx, w.dir) }})
	defer dead.Close()
	require.NoError(t, dead.Create(ctx, "db", map[string]string{"access": "single"}))
	_, err := dead.Mount(ctx, "db", "a", 1)
	require.NoError(t, err)
	w.write("db/ibdata1", "data")
	require.Eventually(t, func() bool {
		_, err = w.store.Mount(ctx, "db", "b", 1)
		return err != nil && strings.Contains(err.Error(), "berth can make no snapshot here to take it over by itself")
	}, 20*time.Second, 100*time.Millisecond, "%v", err)
	require.ErrorContains(t, w.TakeOver(ctx, "db", "dead"), "berth volume takeover db --from dead")

	j, err := w.TakeOverNow(ctx, "db", "dead")
	require.NoError(t, err)
	require.NoError(t, w.Start(ctx, j.ID), "the command line asks so")
	p, err := w.Jobs.Wait(ctx, j.ID)
	for ; err == nil && !p.Over; p, err = w.Jobs.Wait(ctx, j.ID) {
	}
	require.NoError(t, err)
	require.Equal(t, job.Swapped, p.State)
	require.Equal(t, "data", w.read("db/ibdata1"))
	require.Equal(t, "data", w.read(".berth/trash/"+j.Items[0].Trash+"/data/ibdata1"))
	_, err = w.store.Mount(ctx, "db", "b", 1)
	require.NoError(t, err)
}

// Who waits for another request to begin the takeover waits no longer than the
// own deadline lets him.
func TestABegunTakeoverHoldsUpNobodyPastHisDeadline(t *testing.T) {
	w := newWorld(t)
	end, err := w.store.Cluster.Turn(ctx, "takeover of db") // another Mount, of a filer that does not answer
	require.NoError(t, err)
	defer end()
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = w.TakeOverNow(short, "db", "old")
	require.Equal(t, problem.InUse, problem.KindOf(err))
	require.ErrorContains(t, err, "taking over from old")
}
