package volume

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
)

// wall is a node's clock that somebody sets: time goes by as before, which the
// monotonic part of a time.Time shows, and the time of day is another one.
type wall struct{ off atomic.Int64 } // in seconds

func (w *wall) now() time.Time { return setTo(time.Now(), w.off.Load()) }

// setTo is t with its time of day moved by whole seconds. A bubble's time has no
// monotonic part, so it is made here. The layout is package time's: a flag for that
// part, 33 bits of seconds since 1885, 30 of nanoseconds; then the part itself.
func setTo(t time.Time, seconds int64) time.Time {
	const from1885To1970 = 2682288000
	at := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&t))
	nanoseconds, unix := uint64(t.Nanosecond()), t.Unix()
	at.ext = int64(t.Sub(simStart)) + 1
	at.wall = 1<<63 | uint64(unix+seconds+from1885To1970)<<30 | nanoseconds
	return t
}

func TestSettingAClockLeavesWhatGoesBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := setTo(time.Now(), 0)
		require.True(t, began.Equal(time.Now()))
		time.Sleep(1500 * time.Millisecond)
		for _, by := range []time.Duration{time.Hour, -time.Hour, 365 * 24 * time.Hour, -365 * 24 * time.Hour} {
			set := setTo(time.Now(), int64(by/time.Second))
			require.Equal(t, 1500*time.Millisecond, set.Sub(began))
			require.Equal(t, by+1500*time.Millisecond, set.Round(0).Sub(began.Round(0)))
		}
	})
}

// Clocks that are set while three nodes work: no node that lives is expired, a volume
// in use stays so, what is in the trash stays for its two hours, neither less nor
// more, nobody is busy with it, and the others are told of it once.
func TestClocksThatAreSet(t *testing.T) {
	const (
		hour = time.Hour
		year = 365 * 24 * time.Hour
	)
	type set struct{ node, server time.Duration }
	for name, c := range map[string][]set{
		"nothing":                           {},
		"a node, an hour forward":           {{node: hour}},
		"a node, an hour back":              {{node: -hour}},
		"a node, a year forward":            {{node: year}},
		"a node, a year back":               {{node: -year}},
		"the server, an hour forward":       {{server: hour}},
		"the server, an hour back":          {{server: -hour}},
		"the server, a year forward":        {{server: year}},
		"the server, a year back":           {{server: -year}},
		"the server, a year, and put right": {{server: year}, {}},
		"the server, back, and put right":   {{server: -year}, {}},
		"both":                              {{node: year, server: -year}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clocksAreSet(t, func(i int) (time.Duration, time.Duration, bool) {
					if i >= len(c) {
						return 0, 0, false
					}
					return c[i].node, c[i].server, true
				})
			})
		})
	}
}

func clocksAreSet(t *testing.T, step func(i int) (node, server time.Duration, ok bool)) {
	ctx := context.Background()
	s := newSimServer()
	clock := &wall{}
	config := func(cfg *Config, _ *simLink) { cfg.LeaseTTL, cfg.TrashTTL = 90*time.Second, 2*time.Hour }
	n1 := steady(t, s, "n1", 5*time.Millisecond, config, func(cfg *Config, _ *simLink) { cfg.Now = clock.now })
	ahead := &wall{} // two nodes that are ten minutes apart
	ahead.off.Store(600)
	n2 := steady(t, s, "n2", 5*time.Millisecond, config, func(cfg *Config, _ *simLink) { cfg.Now = ahead.now })
	n3 := steady(t, s, "n3", 5*time.Millisecond, config)
	nodes := []*steadyNode{n1, n2, n3}
	s.put(export.NodePath("n4"), cluster.Heartbeat{Version: 1, Node: "n4", Incarnation: "x", Boot: "b", TTLSeconds: 90,
		State: cluster.NodeUnattended, Locks: "numbered"}) // its containers go on, for a day
	time.Sleep(time.Minute)
	for _, v := range []string{"site", "gone"} {
		n1.must(n1.Create(ctx, v, nil))
	}
	for _, n := range nodes {
		_, err := n.Mount(ctx, "site", "a", 1)
		n.must(err)
	}
	n1.must(n1.Remove(ctx, "gone"))
	removed := time.Now()
	calls := func() (sum int64) {
		for _, n := range nodes {
			sum += n.link.calls.Load()
		}
		return sum
	}
	live := func(d time.Duration) {
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Second) {
			for _, n := range nodes {
				for _, other := range n.Cluster.Nodes() {
					require.True(t, other.State.Holds(), "%s says that %s is %s", n.cfg.Node, other.Node, other.State)
				}
			}
		}
	}
	before := calls()
	live(10 * time.Minute)
	quiet := calls() - before
	i := 0
	for node, server, ok := step(0); ok; node, server, ok = step(i) {
		clock.off.Store(int64(node / time.Second))
		s.mu.Lock()
		s.skew = server
		s.mu.Unlock()
		before := calls()
		live(10 * time.Minute)
		require.Less(t, calls()-before, 2*quiet, "nobody is busy with it")
		require.ErrorContains(t, n2.Remove(ctx, "site"), "in use on")
		i++
	}
	live(time.Until(removed.Add(2*time.Hour - 2*time.Minute)))
	items, err := n2.Trash.List(ctx)
	n2.must(err)
	require.Len(t, items, 1, "what was removed stays for its time")
	live(5 * time.Minute)
	if _, back, ok := step(0); ok && -2*time.Hour < back && back < 0 {
		live(-back) // nobody knows what came before it was put back: that stays for longer
	}
	if i < 2 { // after a clock was set twice too
		items, err = n2.Trash.List(ctx)
		n2.must(err)
		require.Empty(t, items, "and no longer")
	}
	for _, n := range nodes {
		n.mu.Lock()
		said := slices.DeleteFunc(slices.Clone(n.said), func(line string) bool { return strings.Contains(line, "the export is there") })
		n.mu.Unlock()
		require.LessOrEqual(t, len(said), i, "%q", said)
		require.True(t, n.Cluster.Named())
	}
	users, err := n3.Users(ctx, "site")
	n3.must(err)
	require.Len(t, users, 3)
	for _, u := range users {
		require.Equal(t, cluster.Live, u.State)
	}
}
