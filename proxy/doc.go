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
// Sites accepts only host names, port numbers and words of short lists, so that
// a label cannot write directives of its own into a file.
//
// It does not check whether a service answers, whether a name resolves to the
// proxy, or whether a certificate exists; deploy/proxy/apply.sh checks
// certificates.
package proxy
