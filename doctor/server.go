package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/casit/berth/nfs"
)

// Server asks the NFS server of an export over connections of its own, so that
// checks work also if nothing else of berth does. Close it.
type Server struct {
	target  nfs.Target
	rpcbind func() (nfs.Services, error) // once
	dial    func() (*nfs.Client, error)  // once
	client  atomic.Pointer[nfs.Client]   // what dial made
}

// connectWithin bounds a connect, for which other checks wait.
const connectWithin = 6 * time.Second

// NewServer connects when the first check needs it.
func NewServer(target nfs.Target) *Server {
	s := &Server{target: target}
	s.rpcbind = sync.OnceValues(func() (nfs.Services, error) {
		ctx, cancel := context.WithTimeout(context.Background(), connectWithin)
		defer cancel()
		return nfs.RPCBind(ctx, target, &nfs.Config{DialTimeout: connectWithin})
	})
	s.dial = sync.OnceValues(func() (*nfs.Client, error) {
		ctx, cancel := context.WithTimeout(context.Background(), connectWithin)
		defer cancel()
		c, err := nfs.Dial(ctx, target, &nfs.Config{DialTimeout: connectWithin})
		if err == nil {
			s.client.Store(c)
		}
		return c, err
	})
	return s
}

// Close ends the connections, if there are any.
func (s *Server) Close() {
	if c := s.client.Load(); c != nil {
		c.Close()
	}
}

// Checks are the steps of the way to the export. A check does not run if an
// earlier one failed, so the first failure is the cause.
func (s *Server) Checks() []Check {
	away := "ping " + s.target.Host + "; look at the network and the filer"
	return []Check{
		{Group: "export", Name: "portmap", Look: s.portmap, Next: away},
		{Group: "export", Name: "mount", Look: s.mount, Next: away},
		{Group: "export", Name: "nfs", Look: s.roundTrip, Next: away},
	}
}

// Mounts tells whether the server lets this node mount the export, which the
// check "mount" explains.
func (s *Server) Mounts() bool {
	_, err := s.dial()
	return err == nil
}

func (s *Server) portmap(context.Context) []Finding {
	got, err := s.rpcbind()
	return []Finding{judgePortmap(s.target, got, err)}
}

func judgePortmap(t nfs.Target, got nfs.Services, err error) Finding {
	named := t.Port != 0 && t.MountPort != 0
	switch {
	case err != nil && named:
		return warn("let this node reach port 111 of "+t.Host+", or mount with nolock", "the URL names the ports, but locks need rpcbind of %s: %v", t.Host, cause(err))
	case err != nil:
		return fail("getent hosts "+t.Host+"; let this node reach ports 111 and 2049 there, or name the ports in BERTH_EXPORT: ?port=2049&mountport=635", "rpcbind of %s: %v", t.Host, cause(err))
	case got.NFS == 0 && t.Port == 0, got.Mount == 0 && t.MountPort == 0:
		return fail("turn NFSv3 on there: ONTAP 'vserver nfs modify -v3 enabled'", "%s does not serve NFSv3: %s", t.Host, ports(got))
	case got.NLM == 0:
		return warn("turn NLM on there, or set BERTH_MOUNT_OPTIONS with nolock", "%s has no lock manager: %s", t.Host, ports(got))
	}
	return ok("%s: %s", t.Host, ports(got))
}

func ports(s nfs.Services) string {
	one := func(name string, port int) string {
		if port == 0 {
			return name + " not registered"
		}
		return fmt.Sprintf("%s at port %d", name, port)
	}
	return strings.Join([]string{one("NFSv3", s.NFS), one("MOUNT", s.Mount), one("NLM", s.NLM)}, ", ")
}

// cause is an error without the words that the finding has already.
func cause(err error) error {
	if e := (*nfs.Error)(nil); errors.As(err, &e) && e.Err != nil {
		return e.Err
	}
	return err
}

func (s *Server) mount(ctx context.Context) []Finding {
	_, err := s.dial()
	if err == nil {
		return []Finding{ok("%s is exported to this node", s.target.Path)}
	}
	if _, err := s.rpcbind(); err != nil && (s.target.Port == 0 || s.target.MountPort == 0) {
		return nil // which "portmap" says
	}
	var exports []nfs.Export
	if nfs.StatusOf(err) != nfs.StatusOK { // it has answered
		exports, _ = nfs.Exports(ctx, s.target, nil) // many servers tell nobody
	}
	return []Finding{judgeMount(s.target, exports, err)}
}

func judgeMount(t nfs.Target, exports []nfs.Export, err error) Finding {
	dns, op, e := (*net.DNSError)(nil), (*net.OpError)(nil), (*nfs.Error)(nil)
	below := func(x nfs.Export) bool {
		return t.Path == x.Path || x.Path == "/" || strings.HasPrefix(t.Path, x.Path+"/")
	}
	switch {
	case errors.As(err, &dns):
		return fail("getent hosts "+t.Host+"; correct the name in BERTH_EXPORT, or the resolver", "the name %s is not known here: %v", t.Host, dns.Err)
	case errors.As(err, &e) && e.Op == "mnt" && len(exports) > 0 && !slices.ContainsFunc(exports, below):
		var paths []string
		for _, x := range exports {
			paths = append(paths, x.Path)
		}
		return fail("correct the path in BERTH_EXPORT", "%s exports %s, and not %s", t.Host, some(paths), t.Path)
	case errors.Is(err, fs.ErrNotExist):
		return fail("correct the path in BERTH_EXPORT: showmount -e "+t.Host, "%s has no %s: %v", t.Host, t.Path, err)
	case errors.Is(err, fs.ErrPermission):
		return fail("add this node's address to the export's rule on the server, with read and write; then 'showmount -e "+t.Host+"' here", "%s does not let this node mount %s: %v", t.Host, t.Path, err)
	case errors.As(err, &op), errors.Is(err, context.DeadlineExceeded):
		return fail("ping "+t.Host+"; let this node reach its ports 111, 2049 and MOUNT's (ONTAP: 635)", "%s is not reached: %v", t.Host, err)
	}
	return fail("look at the server's log", "%v", err)
}

// roundTrip measures GETATTR of the root.
func (s *Server) roundTrip(ctx context.Context) []Finding {
	c, err := s.dial()
	if err != nil {
		return nil
	}
	var took []time.Duration
	for range 20 {
		began := time.Now()
		if _, err := c.Getattr(ctx, c.Root()); err != nil {
			return []Finding{failed(err, "ping "+s.target.Host+"; look at the network and the filer")}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return []Finding{judgeRoundTrip(took[len(took)/2], took[len(took)-1])}
}

func judgeRoundTrip(median, worst time.Duration) Finding {
	text := fmt.Sprintf("a round trip takes %s, the slowest of 20 %s", median.Round(time.Microsecond), worst.Round(time.Microsecond))
	if median > 20*time.Millisecond {
		return warn("look at the network between this node and the filer: every file that a site opens costs some of these", "%s", text)
	}
	return ok("%s", text)
}
