// Package proxy turns the labels of swarm services into the include files of
// an NGINX in front of the swarm, one file per site. It knows neither Docker
// nor NGINX's processes: services in, files out.
//
//	sites, err := proxy.Sites(services)
//	files := proxy.Render(sites, nodes)
//	changes, err := proxy.Compare("puppet/files/proxy", files)
//	err = changes.Write()
//
// The same services and nodes give the same bytes. Labels are foreign input:
// what Sites accepts consists of host names, port numbers and words of short
// lists, so that nothing in a file can be more than its place allows.
//
// It does not look whether a service answers, whether a name resolves to the
// proxy, or whether a certificate is there: deploy/proxy/apply.sh looks for
// the last.
package proxy
