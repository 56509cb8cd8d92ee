package dashboard

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Dashboard: {
		{"--listen … is no address", "no `HOST:PORT`, and no `unix:` with an absolute path", "`--listen 127.0.0.1:8080`, or `--listen unix:/run/berth-dashboard.sock`"},
		{"--listen … is not loopback: the page would cross the network unencrypted", "another address without TLS", "`--tls-cert FILE --tls-key FILE`; or `--plain-http-behind-proxy`; or stay on loopback and use `ssh -L`"},
		{"--tls-cert and --tls-key belong together", "only one of them is given", "give both, or none"},
		{"--tls-cert and --plain-http-behind-proxy exclude each other", "both are given", "one of them"},
		{"read the certificate: …", "the certificate cannot be read, or does not fit the key", "PEM files of one pair"},
		{"--every … is too short", "a very short interval", "`--every 3s`"},
		{"this page does not answer to the name …; if it should: berth dashboard --host NAME", "a browser asked by another name (421)", "`--host NAME`"},
		{"this page is for root and for who has started it; for other users of this machine, or for a proxy on it: berth dashboard --plain-http-behind-proxy", "another local user, or a proxy on this machine, asked a page on loopback (403)", "`--plain-http-behind-proxy`, or `--listen unix:PATH`"},
		{"the dashboard reads no request's body", "a program sent a GET with a body", "nothing: the dashboard only reads"},
		{"too many requests of one client at the same time", "one address has 32 requests under way (429)", "close some pages; try again in a moment"},
		{"listen on …: another program answers there", "`--listen unix:PATH` is the socket of a program that runs", "stop it, or another path"},
		{"the dashboard changes nothing: GET and HEAD alone", "a program sent POST or the like", "nothing: the dashboard only reads"},
		{"the dashboard only reads, and does not ask …", "a defect of berth, stopped on its way", "report it"},
		{"too many viewers", "the dashboard serves no more pages at once", "close some pages"},
		{"too many downloads at the same time", "the dashboard serves only a few downloads at once", "try again in a moment; `berth snapshot cat NAME@SNAPSHOT:PATH`"},
		{"two other comparisons are under way", "the dashboard makes two comparisons at a time", "try again in a moment; `berth snapshot diff NAME@SNAPSHOT`"},
		{"the page cannot be made: …", "a defect of berth", "report it"},
		{"there is no page …", "a wrong address", "begin at the overview"},
		{"no such file", "a wrong address", "begin at the overview"},
		{"there is no volume …", "the volume was removed, or the name is wrong", "the overview; `berth trash ls`"},
		{"neither berth nor Docker knows a node …", "the name is wrong, or the node was removed", "the overview; `docker node ls`"},
		{"no snapshot is named exactly …", "the snapshot was deleted since the page was made", "the volume's page lists the snapshots"},
		{"… is a … and no file", "a download of a directory or link", "`berth snapshot cat NAME@SNAPSHOT:PATH > DIR.tar`"},
	},
}
