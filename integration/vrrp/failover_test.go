package vrrp

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// A fault strikes the proxy that has the address, and is mended later.
type fault struct {
	name         string
	strike, mend func(*proxy, *testing.T)
	keepsAddress bool // until it is mended: nobody is left to take it away
}

var faults = []fault{{
	name:   "nginx killed",
	strike: func(x *proxy, t *testing.T) { x.nginx.Kill() },
	mend:   (*proxy).startNginx,
}, {
	name:   "nginx hung",
	strike: func(x *proxy, t *testing.T) { x.signalNginx(t, "STOP") },
	mend:   func(x *proxy, t *testing.T) { x.signalNginx(t, "CONT") },
}, {
	name:   "keepalived stopped",
	strike: func(x *proxy, t *testing.T) { require.NoError(t, x.keepalived.Signal(syscall.SIGTERM)) },
	mend:   (*proxy).startKeepalived,
}, {
	name:         "keepalived killed",
	strike:       (*proxy).killKeepalived,
	mend:         (*proxy).startKeepalived,
	keepsAddress: true,
}, {
	name:   "node cut off",
	strike: func(x *proxy, t *testing.T) { require.NoError(t, x.Cut()) },
	mend:   func(x *proxy, t *testing.T) { require.NoError(t, x.Heal()) },
}}

func TestTheFloatingAddressMoves(t *testing.T) {
	p := newPair(t)
	for _, f := range faults {
		if !t.Run(f.name, func(t *testing.T) { p.suffer(t, f) }) {
			break // the pair is not in order
		}
	}
}

// suffer breaks the proxy that has the address while a client asks, and mends
// it again: the address moves, and stays with the other one.
func (p *pair) suffer(t *testing.T, f fault) {
	was, other := p.holder(t)
	p.waitForAnswer(t, was.Name)
	stream := p.client.start()
	f.strike(was, t)
	if f.keepsAddress {
		p.waitFor(t, "proxy1", "proxy2")
	} else {
		p.waitFor(t, other.Name)
	}
	p.waitForAnswer(t, other.Name)
	stream.report(t, f.name)

	f.mend(was, t)
	was.waitForState(t, "BACKUP")
	p.waitFor(t, other.Name)
	p.waitForAnswer(t, other.Name)
}

// TestBothHaveTheAddress is what happens when two proxies that are well do not
// hear each other.
func TestBothHaveTheAddress(t *testing.T) {
	p := newPair(t)
	has, _ := p.holder(t)
	p.waitForAnswer(t, has.Name)
	stream := p.client.start()
	for _, x := range p.proxies {
		x.Run(t, "nft", "add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }; add rule inet deaf in ip protocol vrrp drop")
	}
	p.waitFor(t, "proxy1", "proxy2")
	stream.report(t, "the two do not hear each other")

	// The worst case: who gives way is the one that the client heard last.
	p.client.host.Run(t, "ip", "neighbour", "replace", floating, "lladdr", p.proxies[1].Run(t, "cat", "/sys/class/net/eth0/address"), "dev", "eth0", "nud", "reachable")
	p.waitForAnswer(t, "proxy2")
	stream = p.client.start()
	for _, x := range p.proxies {
		x.Run(t, "nft", "delete table inet deaf")
	}
	p.waitFor(t, "proxy1") // which has the higher priority
	p.waitForAnswer(t, "proxy1")
	stream.report(t, "the two hear each other again")
	require.Contains(t, p.proxies[1].keepalived.Log(), "Master received advert from "+p.proxies[0].Address+" with higher priority")
	require.Contains(t, p.proxies[0].keepalived.Log(), "Received advert from "+p.proxies[1].Address+" with lower priority", "and told the network again")
}

// TestASilentCut is a cut that the node cannot see, as of a virtual machine or
// behind a switch: its link is up. It keeps the address, where nobody is.
func TestASilentCut(t *testing.T) {
	p := newPair(t)
	was, other := p.holder(t)
	p.waitForAnswer(t, was.Name)
	stream := p.client.start()
	was.Run(t, "nft", `add table netdev cut
		add chain netdev cut in { type filter hook ingress device eth0 priority 0; policy drop; }
		add chain netdev cut out { type filter hook egress device eth0 priority 0; policy drop; }`)
	p.waitFor(t, "proxy1", "proxy2")
	p.waitForAnswer(t, other.Name)
	stream.report(t, "node cut off, its link is up")

	stream = p.client.start()
	was.Run(t, "nft", "delete table netdev cut")
	p.waitFor(t, "proxy1") // which has the higher priority
	p.waitForAnswer(t, "proxy1")
	stream.report(t, "the node is back")
}

// TestTheFiles holds the two files together, and types the check that they
// begin with.
func TestTheFiles(t *testing.T) {
	first, second := read(t, "proxy/keepalived/proxy1.conf"), read(t, "proxy/keepalived/proxy2.conf")
	_, body1, _ := strings.Cut(first, "global_defs")
	_, body2, _ := strings.Cut(second, "global_defs")
	require.Equal(t, body1, body2, "below the first block")

	p := newPair(t)
	for _, x := range p.proxies {
		require.Contains(t, read(t, "proxy/keepalived/"+x.Name+".conf"), "unshare --fork --pid keepalived -t ")
		x.Run(t, "unshare", "--fork", "--pid", "keepalived", "-t", "--use-file", "/run/keepalived/keepalived.conf")
		x.Run(t, "sh", "-c", "echo nonsense >>/run/keepalived/keepalived.conf")
		_, err := x.Try("unshare", "--fork", "--pid", "keepalived", "-t", "--use-file", "/run/keepalived/keepalived.conf")
		require.ErrorContains(t, err, "Unknown keyword 'nonsense'")
	}
}

// holder waits until one proxy alone has the address.
func (p *pair) holder(t *testing.T) (has, other *proxy) {
	t.Helper()
	lab.Eventually(t, "one holder", func() error {
		if names := p.holders(t); len(names) != 1 {
			return fmt.Errorf("the address is on %v", names)
		}
		return nil
	})
	if p.proxies[0].has(t) {
		return p.proxies[0], p.proxies[1]
	}
	return p.proxies[1], p.proxies[0]
}

// waitForState waits until the last state that keepalived tells is this one.
func (x *proxy) waitForState(t *testing.T, state string) {
	t.Helper()
	lab.Eventually(t, x.Name+" to be "+state, func() error {
		log := x.keepalived.Log()
		if last := log[max(0, strings.LastIndex(log, "Entering ")):]; !strings.HasPrefix(last, "Entering "+state+" STATE") {
			return fmt.Errorf("its last state is %.30q", last)
		}
		return nil
	})
}

// signalNginx sends a signal to every process of nginx.
func (x *proxy) signalNginx(t *testing.T, signal string) { x.signal(t, signal, "/run/nginx.pid") }

// killKeepalived kills keepalived's two processes at once. Neither can clean
// up, as one does when the other alone is killed.
func (x *proxy) killKeepalived(t *testing.T) { x.signal(t, "KILL", "/run/keepalived.pid") }

// signal signals the children of the process in the pid file, then itself.
func (x *proxy) signal(t *testing.T, signal, pidFile string) {
	t.Helper()
	x.Run(t, "sh", "-c", `pid=$(cat "$1") && kill -s "$0" $(pgrep -P "$pid") "$pid"`, signal, pidFile)
}
