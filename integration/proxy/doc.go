// Package proxy tests deploy/proxy with the real NGINX: two proxies, three
// nodes and a client, each in namespaces of its own. The nodes' service is this
// test's own program, which says what reached it.
package proxy
