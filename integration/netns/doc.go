// Package netns makes hosts of the kind that a network test needs: each with
// network, mounts, processes and a host name of its own, all cabled to one
// bridge that nothing else is on. The programs in them are the machine's.
//
//	n := netns.New(t, "10.97.1.0/24", "client", "proxy1", "proxy2")
//	nginx := n.Host("proxy1").Start(t, "nginx", "-g", "daemon off;", "-c", conf)
//	n.Host("client").Run(t, "curl", "-sf", "http://"+n.Host("proxy1").Address)
//	n.Host("proxy1").Cut()
//
// All of it ends with the test, and with the test's process however that ends:
// a host's first process reads from a pipe that only the test holds.
//
// It needs root. Hosts share the machine's files, but for /run. For hosts with
// a Docker engine or a kernel of their own see integration/lab and
// integration/uml.
package netns
