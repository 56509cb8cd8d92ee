package docker

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.InUse: {
		{"… is in use on …, and nothing here can be stopped for it", "`--stop`, and the containers are on another node", "type it there, or stop them there first"},
		{"container … (…) has volume …", "`volume release` while a container has it", "`docker stop CONTAINER`, if it may end"},
		{"whether a container has … is not known: …", "this node's Docker does not answer, so nothing is released", "`systemctl status docker`"},
	},
	catalogue.Restore: {
		{"no Docker engine answers here, so nothing can be stopped: …", "`--stop` without Docker's socket", "on the host, as root; or stop what uses it yourself"},
		{"service … has to be stopped, and this node is no manager", "`--stop` on a worker", "type it on a manager: the hint names them"},
		{"service … is not replicated: it cannot be scaled down and up again", "a global service or a job", "`docker service rm SERVICE`, restore, deploy it again"},
		{"it is not replicated any more", "the service was changed meanwhile", "`docker service inspect SERVICE`; again"},
		{"service … has still … tasks that did not end: …; 'docker service ps …' shows where", "a task's node does not answer, or the container does not end", "`docker service ps SERVICE`; end it there; again"},
		{"stop service …: …", "Docker refused it", "Docker's words behind the colon; again"},
		{"stop container …: …", "Docker refused it", "Docker's words behind the colon; again"},
		{"start …: …", "Docker refused it, after the restore; for instance because a port is taken", "mend it; `berth snapshot restore --resume NAME` tries again"},
		{"look at container …: …", "Docker did not say whether it removes the container when it ends", "`systemctl status docker`; again"},
		{"…: Docker is removing it", "a container of `docker run --rm` that was stopped", "start it as it was started first"},
	},
	catalogue.Proxy: {
		{"no Docker engine answers here", "none, or not your socket", "on a manager, as root"},
		{"no Docker engine answers here: …", "none, or not your socket", "`systemctl status docker`"},
		{"this node is in no swarm", "it is not", "on a manager"},
		{"only a manager knows the services, and this node is a worker", "a worker", "on a manager: the hint names them"},
		{"node … has no address that others could reach: …", "Docker knows none", "`--nodes` with the addresses of all"},
		{"no node of the swarm is ready", "all down or drained", "`docker node ls`; or `--nodes`"},
	},
	catalogue.Dashboard: {
		{"ask Docker: …", "Docker's socket is not reached: no tasks are shown, the rest is", "as root; in a container, mount the socket ([dashboard.md](dashboard.md))"},
	},
}
