// Package proxy turns the labels of swarm services into the include files of
// an NGINX in front of the swarm, one file per site. It knows neither Docker
// nor NGINX's processes: services in, files out.
//
//	changes, wrong, err := proxy.Plan("puppet/files/proxy", services, nodes)
//	err = changes.Write()
//
// The same services and nodes give the same bytes, but for sites with wrong labels,
// whose files stay. Labels are foreign input:
// Sites accepts only host names, port numbers and words of short lists, so that
// a label cannot write directives of its own into a file.
//
// It does not check whether a service answers, whether a name resolves to the
// proxy, or whether a certificate exists; deploy/proxy/apply.sh checks
// certificates.
package proxy
