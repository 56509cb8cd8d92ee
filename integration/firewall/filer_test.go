package firewall

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/integration/netns"
	"github.com/casit/berth/nfs"
)

// RPC programs: rpcbind, locks (nlockmgr), and whose locks are void (status).
const rpcbind, nlm, nsm = 100000, 100021, 100024

// startFiler makes a host a filer with the ports of an ONTAP one.
func (s *site) startFiler(t *testing.T) *netns.Host {
	t.Helper()
	netns.Need(t, "ganesha.nfsd", "rpcbind", "rpc.statd", "rpcinfo")
	filer := s.Host("filer")
	filer.Run(t, "sh", "-c", "mount -t tmpfs tmpfs /var/lib/nfs && mkdir -p /var/lib/nfs/sm /var/lib/nfs/ganesha /run/ganesha /run/rpcbind /run/export")
	filer.Start(t, "rpcbind", "-f")
	s.waitForProgram(t, "filer", "filer", "tcp", rpcbind)
	filer.Start(t, "rpc.statd", "--foreground", "--no-notify", "--port", "4046")
	filer.Run(t, "sh", "-c", `printf %s "$0" >/run/ganesha.conf`, `
		NFS_CORE_PARAM {
			Protocols = 3; NFS_Port = 2049; MNT_Port = 635; NLM_Port = 4045; Rquota_Port = 4049;
			Enable_NLM = true; Enable_UDP = false; mount_path_pseudo = false;
		}
		NFSv4 { Graceless = true; }
		EXPORT {
			Export_Id = 1; Path = /run/export; Pseudo = /export; Protocols = 3; Transports = TCP; SecType = sys;
			Access_Type = RW; Squash = No_Root_Squash; FSAL { Name = VFS; }
		}`)
	filer.Start(t, "ganesha.nfsd", "-F", "-N", "NIV_EVENT", "-L", "/run/ganesha.log", "-f", "/run/ganesha.conf", "-p", "/run/ganesha.pid")
	return filer
}

// waitForProgram waits until an RPC program is registered on a host and
// answers another one.
func (s *site) waitForProgram(t *testing.T, from, to, protocol string, program int) {
	t.Helper()
	lab.Eventually(t, fmt.Sprintf("RPC program %d of %s", program, to), func() error {
		_, err := s.Host(from).Try("rpcinfo", "-T", protocol, s.Host(to).Address, fmt.Sprint(program))
		return err
	})
}

// filerRules lets in what the table lists for the filer.
func filerRules(lines []line) string {
	var rules strings.Builder
	for _, l := range lines {
		if l.to == "filer" {
			fmt.Fprintf(&rules, "%s dport %d accept comment \"%s\"\n", l.protocol, l.port, l.packet)
		}
	}
	return `table inet berth
delete table inet berth
table inet berth {
	chain input {
		type filter hook input priority filter; policy drop;
		iif lo accept
		ct state established accept
` + rules.String() + `
	}
}
`
}

func TestWithoutAPortOfTheFiler(t *testing.T) {
	s := newSite(t)
	lines := matrix(t)
	filer, node := s.startFiler(t), s.Host("node1")
	rules := filerRules(lines)
	load(t, filer, rules)
	load(t, node, ruleset(t, "swarm-node.nft", s.defines))
	lab.Eventually(t, "the export", func() error { return s.mount("node1", 10*time.Second) })
	s.waitForProgram(t, "node1", "filer", "tcp", nlm)
	s.waitForProgram(t, "node1", "filer", "udp", nsm)

	for _, l := range lines {
		if l.to != "filer" || l.protocol == "udp" {
			continue
		}
		load(t, filer, rules)
		if err := s.connect("node1", l.port); err != nil {
			require.ErrorIs(t, err, syscall.ECONNREFUSED, "%s: let in, but nobody is there", l.packet)
		}
		load(t, filer, lacking(t, rules, l.packet.String()))
		words, told := strings.CutPrefix(l.without, "mount ... ")
		if !told { // the kernel's and ONTAP's business
			require.ErrorContains(t, s.connect("node1", l.port), "i/o timeout", "without %s", l.packet)
			continue
		}
		words, _, _ = strings.Cut(words, "`")
		err := s.mount("node1", time.Second)
		require.Error(t, err, "without %s", l.packet)
		require.Contains(t, strings.ReplaceAll(err.Error(), filer.Address, "192.0.2.5"), words, "without %s", l.packet)
	}
}

// connect connects to a port of the filer.
func (s *site) connect(from string, port int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := s.Host(from).Dial(ctx, "tcp", fmt.Sprintf("%s:%d", s.Host("filer").Address, port))
	if err == nil {
		err = c.Close()
	}
	return err
}

// TestTheFilerCallsBack asks a node's rpc.statd, which has its port from the
// project's file, by way of its rpcbind, as the filer does after a restart.
func TestTheFilerCallsBack(t *testing.T) {
	netns.Need(t, "rpcbind", "rpc.statd", "rpcinfo")
	s := newSite(t)
	node := s.Host("node1")
	startStatd(t, node)
	s.waitForProgram(t, "node1", "node1", "tcp", nsm)
	require.Regexp(t, `100024 +1 +tcp +4046 `, node.Run(t, "rpcinfo", "-p"))

	load(t, node, ruleset(t, "swarm-node.nft", s.defines))
	for _, protocol := range []string{"tcp", "udp"} {
		s.waitForProgram(t, "filer", "node1", protocol, nsm)
	}
}

// startStatd starts rpcbind and rpc.statd as they are on a node.
func startStatd(t *testing.T, h *netns.Host) {
	t.Helper()
	h.Run(t, "sh", "-c", `mkdir -p /run/rpcbind && mount -t tmpfs tmpfs /var/lib/nfs && mkdir /var/lib/nfs/sm &&
		mount -t tmpfs tmpfs /etc/nfs.conf.d && printf %s "$0" >/etc/nfs.conf.d/berth-statd.conf`, file(t, "deploy/firewall/statd.conf"))
	h.Start(t, "rpcbind", "-f")
	lab.Eventually(t, "rpcbind", func() error {
		_, err := h.Try("rpcinfo", "-p")
		return err
	})
	h.Start(t, "rpc.statd", "--foreground", "--no-notify")
}

// mount uses the export as berth does.
func (s *site) mount(from string, patience time.Duration) error {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return s.Host(from).Dial(ctx, network, address)
	}
	client, err := nfs.Dial(context.Background(), nfs.Target{Host: s.Host("filer").Address, Path: "/run/export"}, &nfs.Config{Dial: dial})
	if err == nil {
		err = client.Close()
	}
	return err
}
