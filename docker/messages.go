package docker

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.InUse: {
		{"… is in use on …, and nothing here can be stopped for it", "`--stop`, and the containers are on another node", "type the command there, or stop the containers there first"},
		{"container … (…) has volume …", "`volume release` while a container has the volume", "`docker stop CONTAINER`, if it may end"},
		{"whether a container has … is not known: …", "this node's Docker does not answer, so nothing is released", "`systemctl status docker`"},
	},
	catalogue.Restore: {
		{"no Docker engine answers here, so nothing can be stopped: …", "`--stop` without Docker's socket", "type it on the host, as root; or stop the containers yourself"},
		{"start …: …", "what `--stop` stopped does not start", "`docker logs NAME`; then `berth snapshot restore --resume NAME`"},
		{"look at container …: …", "Docker does not say how a container was started, so `--stop` stops nothing", "`docker inspect NAME`; `systemctl status docker`"},
		{"service … has to be stopped, and this node is no manager", "`--stop` on a worker", "type it on a manager: the hint names them"},
		{"service … is not replicated: it cannot be scaled down and up again", "a global service or a job", "`docker service rm SERVICE`, restore, deploy it again"},
		{"it is not replicated any more", "the service was changed meanwhile", "`docker service inspect SERVICE`; try again"},
		{"service … has still … tasks that did not end: …; 'docker service ps …' shows where", "a task's node does not answer, or the container does not end", "`docker service ps SERVICE`; end the task there; try again"},
		{"stop service …: …", "Docker refused it", "Docker's words behind the colon; try again"},
		{"stop container …: …", "Docker refused it", "Docker's words behind the colon; try again"},
	},
	catalogue.Proxy: {
		{"no Docker engine answers here", "no engine runs here, or its socket is not yours", "type it on a manager, as root"},
		{"no Docker engine answers here: …", "no engine runs here, or its socket is not yours", "`systemctl status docker`"},
		{"this node is in no swarm", "this node is not in a swarm", "type it on a manager"},
		{"only a manager knows the services, and this node is a worker", "you typed it on a worker", "type it on a manager: the hint names them"},
		{"node … has no address that others could reach: …", "Docker knows no such address", "`--nodes` with the addresses of all nodes"},
		{"no node of the swarm is ready", "all nodes are down or drained", "`docker node ls`; or `--nodes`"},
	},
	catalogue.Dashboard: {
		{"ask Docker: …", "Docker's socket is not reached: no tasks are shown, the rest is", "as root; in a container, mount the socket ([dashboard.md](dashboard.md))"},
	},
}
