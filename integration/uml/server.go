package uml

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// The server's address on the bridge, and what it exports.
const (
	serverAddress = "10.99.0.1"
	exportPath    = "/run/export" // in memory, on a filesystem with stable file handles
	nfsPort       = 2049
	mountPort     = 20048
)

// ExportURL is the export as a setting of berth.
var ExportURL = fmt.Sprintf("nfs://%s%s?port=%d&mountport=%d", serverAddress, exportPath, nfsPort, mountPort)

// Attributes are not kept: tests change files behind the server's back.
const serverConf = `
NFS_CORE_PARAM {
	Protocols = 3;
	NFS_Port = %d;
	MNT_Port = %d;
	NLM_Port = 32803;
	Enable_NLM = true;
	Enable_RQUOTA = false;
	Enable_UDP = false;
	mount_path_pseudo = false;
}
NFSv4 { Graceless = true; }
LOG { Default_Log_Level = EVENT; }
EXPORT_DEFAULTS { Attr_Expiration_Time = 0; }
EXPORT {
	Export_Id = 1; Path = %s; Pseudo = /export;
	Protocols = 3; Transports = TCP; SecType = sys;
	Access_Type = RW; Squash = No_Root_Squash;
	FSAL { Name = VFS; }
}
`

// A Server is the NFS server beside the hosts: nfs-ganesha with its lock
// service.
type Server struct {
	lab     *Lab
	pid     int
	address string // of the export
	api     *api   // of the filer, if there is one
}

// startServices starts what the server's locks need, and the server.
func (s *Server) startServices() error {
	if _, err := s.lab.start(Command{Args: []string{"rpcbind", "-f"}, Log: s.lab.dir + "/rpcbind.log"}); err != nil {
		return err
	}
	if err := s.reachable(111); err != nil {
		return err
	}
	if _, err := s.lab.start(Command{Args: []string{"rpc.statd", "--foreground", "--no-notify"}, Log: s.lab.dir + "/statd.log"}); err != nil {
		return err
	}
	conf := fmt.Appendf(nil, serverConf, nfsPort, mountPort, exportPath)
	if err := os.WriteFile(s.lab.dir+"/ganesha.conf", conf, 0o600); err != nil {
		return err
	}
	return s.Start()
}

// Start starts the server and waits until it answers.
func (s *Server) Start() error {
	var err error
	s.pid, err = s.lab.start(Command{Log: s.lab.dir + "/ganesha.out", Args: []string{"ganesha.nfsd", "-F", "-N", "NIV_EVENT",
		"-L", s.lab.dir + "/ganesha.log", "-f", s.lab.dir + "/ganesha.conf", "-p", "/run/ganesha.pid"}})
	if err != nil {
		return err
	}
	return s.reachable(nfsPort, mountPort)
}

func (s *Server) reachable(ports ...int) error {
	for _, port := range ports {
		err := eventually(fmt.Sprintf("port %d of the server", port), func() error {
			c, err := s.lab.dial(fmt.Sprintf("%s:%d", serverAddress, port))
			if err == nil {
				_ = c.Close()
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Stop makes the server silent: connections stay, nothing is answered.
func (s *Server) Stop() error { return s.lab.signal(s.pid, syscall.SIGSTOP, false) }

// Continue ends Stop.
func (s *Server) Continue() error { return s.lab.signal(s.pid, syscall.SIGCONT, false) }

// Kill is a crash of the server.
func (s *Server) Kill() error { return s.lab.signal(s.pid, syscall.SIGKILL, true) }

// Restart is a crash and a start.
func (s *Server) Restart() error {
	if err := s.Kill(); err != nil {
		return err
	}
	return s.Start()
}

// Recreate makes the export anew with all its files, as after a restore of the
// filer: the same names under new file handles, so that every one of before is
// stale.
func (s *Server) Recreate() error {
	if err := s.Kill(); err != nil {
		return err
	}
	if s.api != nil { // it has the old directory open
		if err := s.api.stop(); err != nil {
			return err
		}
	}
	const copied = exportPath + ".new"
	for _, args := range [][]string{
		{"cp", "-a", exportPath, copied}, {"rm", "-rf", exportPath}, {"mv", copied, exportPath},
	} {
		var r Result
		if err := s.lab.agent.Call("Agent.Run", Command{Args: args}, &r); err != nil {
			return err
		}
		if err := r.error(args); err != nil {
			return err
		}
	}
	if s.api != nil {
		if err := s.api.start(); err != nil {
			return err
		}
	}
	return s.Start()
}

// Path is where the test sees a file of the export, past the server.
func (s *Server) Path(elem ...string) string {
	return filepath.Join(append([]string{"/proc", fmt.Sprint(s.lab.room.Process.Pid), "root", exportPath}, elem...)...)
}
