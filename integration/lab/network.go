package lab

import (
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// The lab's network is one bridge in a namespace that nothing else is in. The
// addresses mean nothing outside of it, so every lab uses the same ones.
func address(node int) string { return fmt.Sprintf("10.98.0.%d", 10+node) }

// startNetwork makes the namespace and its bridge.
func (l *Lab) startNetwork() error {
	var err error
	l.network, err = l.spawn(initSpec{Stage: "switch", Dir: l.dir, Hostname: "switch"}, unix.CLONE_NEWNET)
	if err != nil {
		return err
	}
	return l.network.ip("link add br0 type bridge", "link set br0 up", "link set lo up")
}

// connect gives the node one interface, cabled to the bridge.
func (l *Lab) connect(n *Node) error {
	err := l.network.ip(
		fmt.Sprintf("link add %s type veth peer name eth0 netns %d", n.Name, n.init.pid()),
		fmt.Sprintf("link set %s master br0 up", n.Name),
	)
	if err != nil {
		return err
	}
	return n.init.ip(
		"link set lo up",
		fmt.Sprintf("addr add %s/24 dev eth0", n.Address),
		"link set eth0 up",
	)
}

// disconnect takes a dead node's cable away. The kernel does so when it ends the
// node's network namespace, but keeps that for as long as a connection of it
// waits for a peer that is away: it would answer for the address that the node
// has again.
func (l *Lab) disconnect(n *Node) error {
	_ = l.network.ip("link del " + n.Name) // the kernel may have been first
	if l.network.ip("link show "+n.Name) == nil {
		return fmt.Errorf("the cable of %s is still there", n.Name)
	}
	return nil
}

// Cut pulls the node's network cable; its engine and containers go on.
func (n *Node) Cut() error { return n.lab.network.ip("link set " + n.Name + " down") }

// Heal plugs it in again.
func (n *Node) Heal() error { return n.lab.network.ip("link set " + n.Name + " up") }

// ip runs ip(8) in the network namespace of the process, one line per command.
func (c *child) ip(lines ...string) error {
	cmd := exec.Command("nsenter", "-t", fmt.Sprint(c.pid()), "-n", "ip", "-batch", "-")
	cmd.Env = nodeEnv()
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %q: %w: %s", lines, err, strings.TrimSpace(string(out)))
	}
	return nil
}
