package proxy

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Proxy: {
		{"… is there already, and 'berth proxy render' did not write it", "a file of yours has a site's name", "move it away or rename it"},
		{"service …: label …=…: there is no such label", "a misspelt label", "the label in the hint"},
		{"service …: label …=…: there is no such value", "a misspelt value", "the value in the hint"},
		{"service …: label …=…: without the label berth.site the service is no site", "the label alone makes no site", "add `berth.site`, or remove this label"},
		{"service …: label …=…: no service of Docker's has such a name", "a name that NGINX's files cannot hold", "letters, digits and `. _ -`"},
		{"service …: label …=…: there is no name in it", "`berth.site` is empty", "`berth.site: www.example.edu`"},
		{"service …: label …=…: … is named twice", "the label has a name twice", "write it once"},
		{"service …: label …=…: … is no host name in lower case without a dot at the end", "capitals, or a dot at the end", "as the hint writes it"},
		{"service …: label …=…: …: a wildcard would take the names of later services", "`*.`", "write every name"},
		{"service …: label …=…: … is not in ASCII", "an umlaut", "`idn2 NAME` prints it"},
		{"service …: label …=…: … is no host name", "a scheme, port, path, or no dot", "`www.example.edu`"},
		{"service …: label …=…: service … has the name … already", "two services have one name: it stays with the one that was rendered with it, else with the older one", "remove it from one of them"},
		{"service …: label …=…: the file … has the name … already", "a file of yours below `sites/` serves that name", "remove it from the label or from the file"},
		{"service …: label …=…: … is there already, and 'berth proxy render' did not write it", "a file of yours has the site's name", "move it away or rename it"},
		{"service …: label …=…: the service publishes no TCP port", "the service has no `ports:`", "`ports: [\"8080:80\"]`"},
		{"service …: label …=…: the service publishes several ports", "berth cannot know which port serves the site", "`berth.port` with one of the ports in the hint"},
		{"service …: label …=…: the service does not publish it", "`berth.port` names the container's port, or a wrong one", "the port in the hint"},
		{"service …: label …=…: it is no name of a certificate", "a path, or a leading dot", "a directory's name below `/etc/nginx/certificates`"},
	},
}
