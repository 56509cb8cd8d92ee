package uml

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/casit/berth/integration/lab"
)

// filerPort is where the simulated filer's API answers, beside the NFS server.
const filerPort = "8443"

// StartFiler starts the simulated API of a filer whose FlexVol is the export:
// what it snapshots is what the server shows in .snapshot. It returns what
// `docker plugin set` takes to use it.
func (s *Server) StartFiler() ([]string, error) {
	root, err := lab.Root()
	if err != nil {
		return nil, err
	}
	program := s.lab.dir + "/ontap-simulator"
	build := exec.Command("go", "build", "-o", program, "./cmd/ontap-simulator")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the simulator: %w\n%s", err, out)
	}
	config := s.lab.dir + "/config"
	if err := os.MkdirAll(config, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(config+"/password", []byte("s3cret-Horse\n"), 0o600); err != nil {
		return nil, err
	}
	if _, err := s.lab.start(Command{Log: s.lab.dir + "/simulator.log", Args: []string{program,
		"--root", exportPath, "--svm", "svm1", "--volume", "docker_vols", "--junction", exportPath,
		"--address", serverAddress, "--listen", net.JoinHostPort(serverAddress, filerPort),
		"--user", "berth", "--password-file", config + "/password", "--ca-out", config + "/ca.pem",
		"--role", filepath.Join(root, "deploy/ontap/berth-role.txt")}}); err != nil {
		return nil, err
	}
	if err := eventually("the simulated filer", func() error {
		c, err := s.lab.dial(net.JoinHostPort(serverAddress, filerPort))
		if err == nil {
			_ = c.Close()
		}
		return err
	}); err != nil {
		return nil, err
	}
	return []string{"config.source=" + config, "BERTH_ONTAP=" + net.JoinHostPort(serverAddress, filerPort), "BERTH_ONTAP_USER=berth",
		"BERTH_ONTAP_PASSWORD_FILE=/etc/berth/password", "BERTH_ONTAP_CA=/etc/berth/ca.pem"}, nil
}
