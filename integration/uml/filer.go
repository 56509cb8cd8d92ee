package uml

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/casit/berth/integration/lab"
)

// filerPort is where the simulated filer's API answers.
const filerPort = "8443"

// An api is the simulated API of the filer.
type api struct {
	server  *Server
	program string
	root    string // of the checkout
	config  string // directory with the password and the certificate authority
	address string
	pid     int
}

// StartFiler starts the simulated API of a filer whose FlexVol is the export:
// what it snapshots is what the server shows in .snapshot. It returns what
// `docker plugin set` takes to use it.
func (s *Server) StartFiler() ([]string, error) {
	root, err := lab.Root()
	if err != nil {
		return nil, err
	}
	a := &api{server: s, program: s.lab.dir + "/ontap-simulator", root: root, config: s.lab.dir + "/config", address: s.address}
	if s.lab.filer != "" {
		a.address = apiAddress
	}
	build := exec.Command("go", "build", "-o", a.program, "./cmd/ontap-simulator")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the simulator: %w\n%s", err, out)
	}
	if err := os.MkdirAll(a.config, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(a.config+"/password", []byte("s3cret-Horse\n"), 0o600); err != nil {
		return nil, err
	}
	if err := a.start(); err != nil {
		return nil, err
	}
	s.api = a
	return []string{"config.source=" + a.config, "BERTH_ONTAP=" + a.listens(), "BERTH_ONTAP_USER=berth",
		"BERTH_ONTAP_PASSWORD_FILE=/etc/berth/password", "BERTH_ONTAP_CA=/etc/berth/ca.pem"}, nil
}

func (a *api) listens() string { return net.JoinHostPort(a.address, filerPort) }

// start starts the API and waits until it answers.
func (a *api) start() (err error) {
	l := a.server.lab
	if a.pid, err = l.start(Command{Log: l.dir + "/simulator.log", Args: []string{a.program,
		"--root", exportPath, "--svm", "svm1", "--volume", "docker_vols", "--junction", exportPath,
		"--address", a.server.address, "--listen", a.listens(),
		"--user", "berth", "--password-file", a.config + "/password", "--ca-out", a.config + "/ca.pem",
		"--role", filepath.Join(a.root, "deploy/ontap/berth-role.txt")}}); err != nil {
		return err
	}
	return eventually("the simulated filer", func() error {
		c, err := l.dial(a.listens())
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}

func (a *api) stop() error { return a.server.lab.signal(a.pid, syscall.SIGKILL, true) }
