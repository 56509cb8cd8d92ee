// Package vrrp tests the pair of proxies: the project's keepalived files under
// the real keepalived and nginx, on hosts of integration/netns.
//
// The tests break the proxy that has the floating address in every way they
// know while a client goes on asking, and print what that cost:
//
//	failover: nginx killed: 17 of 80 requests lost, 1.7 s
//
// The numbers are this machine's; what is asserted is that the address moves,
// that requests are answered again, and that one host has the address.
package vrrp
