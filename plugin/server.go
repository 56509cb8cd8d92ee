package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/casit/berth/bound"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/job"
	"github.com/casit/berth/kernel"
	"github.com/casit/berth/ontap"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/text"
)

// Config describes a Server. Only Socket is required.
type Config struct {
	_ struct{}

	Socket       string
	Version      string
	SettingsFile string              // default SettingsFile
	Getenv       func(string) string // default os.Getenv
	Reload       time.Duration       // the pause between two looks at the settings; default 5 s
	Survey       time.Duration       // the pause between two surveys for the metrics; default 1 min
	Boot         string              // this boot's id; default the kernel's
	Log          *logrus.Logger      // default a new one on stderr
}

// Server answers dockerd and the operator on one unix socket.
type Server struct {
	cfg     Config
	log     *logrus.Logger
	metrics *metrics
	scrapes scrapes
	uses    ontap.Uses // what the filer's role was seen to allow

	turns turns

	session atomic.Pointer[session] // in force
	read    read                    // reload's own
	locks   *kernel.Locks
	tasks   guard.Tasks // goroutines that no session owns, and sessions that end
}

// New returns a Server. Run starts it.
func New(cfg Config) *Server {
	if cfg.SettingsFile == "" {
		cfg.SettingsFile = SettingsFile
	}
	if cfg.Getenv == nil {
		cfg.Getenv = os.Getenv
	}
	if cfg.Reload == 0 {
		cfg.Reload = 5 * time.Second
	}
	if cfg.Boot == "" {
		cfg.Boot = bootID()
	}
	if cfg.Log == nil {
		cfg.Log = logrus.New()
	}
	if cfg.Survey == 0 {
		cfg.Survey = time.Minute
	}
	s := &Server{cfg: cfg, log: cfg.Log, metrics: newMetrics(cfg.Version), turns: newTurns()}
	s.locks = kernel.NewLocks(&s.tasks)
	s.metrics.registry.MustRegister(stateCollector{s})
	return s
}

// Run listens and answers until ctx ends. Then it waits for all that it has
// started, a few seconds at most, and writes the last heartbeat. An error means
// that it could not listen or that something did not end in time.
func (s *Server) Run(ctx context.Context) error {
	l, err := listen(s.cfg.Socket)
	if err != nil {
		return err
	}
	s.reload()
	srv := &http.Server{Handler: s.handler(), ReadTimeout: bodyLimit, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	bound.Connections(srv, mostConnections)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	s.log.WithField("socket", s.cfg.Socket).WithField("version", s.cfg.Version).Info("berth listens")

	watched, stop := context.WithCancel(ctx)
	defer stop()
	watching := guard.Tasks{}
	s.keep(watched, &watching, "the watch over the settings", s.watch)
	s.keep(watched, &watching, "the giving back of memory", func(ctx context.Context) { bound.Memory(ctx, 10*time.Second) })

	select {
	case err = <-served:
	case <-ctx.Done():
		quiet, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err = srv.Shutdown(quiet); errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		<-served
	}
	stop()
	s.scrapes.close()
	over, cancel := context.WithTimeout(context.Background(), 2*endLimit)
	defer cancel()
	err = errors.Join(err, watching.Wait(over), s.session.Load().end(
		problem.New(problem.Failed, goesOn, "interrupted: berth stops").Because(job.ErrSessionEnds)))
	return errors.Join(err, s.tasks.Wait(over)) // sessions that were ending
}

// listen makes the socket. It replaces the socket of a dead process, and refuses
// to replace a socket that answers, or a file that is no socket.
func listen(socket string) (net.Listener, error) {
	socket = filepath.Clean(socket)
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", socket, err)
	}
	if c, err := net.DialTimeout("unix", socket, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("listen on %s: another berth serve answers there; stop it, or give --socket", socket)
	}
	if is, err := os.Lstat(socket); err == nil && is.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("listen on %s: there is a file that is no socket; remove it, or give another --socket", socket)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: %w", socket, err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", socket, err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", socket, err)
	}
	return l, nil
}

// contentType is that of dockerd's requests and of our answers.
const contentType = "application/vnd.docker.plugins.v1.1+json"

// route answers one path: decode, act within limit, log and count once, encode.
func route[Req, Resp any](s *Server, op string, limit time.Duration, quiet bool, act func(context.Context, Req) (Resp, error)) http.HandlerFunc {
	if !quiet {
		s.metrics.expect(op)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		var req Req
		ctx, err := asker(r)
		if err == nil {
			var release func()
			release, err = s.turns.decode(w, r, &req)
			defer release()
		}
		var resp Resp
		if err == nil {
			cancel := func() {}
			if limit != noLimit {
				ctx, cancel = context.WithTimeout(ctx, limit)
			}
			err = guard.Run(func() (err error) {
				resp, err = act(ctx, req)
				return err
			})
			cancel()
		}
		s.note(op, req, time.Since(began), quiet, err)
		if errors.Is(err, errNoAnswer) {
			panic(http.ErrAbortHandler) // the client has gone, or must not be told "no"
		}
		w.Header().Set("Content-Type", contentType)
		if err != nil {
			if !readsErr(r) {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_ = json.NewEncoder(w).Encode(failure(err))
			return
		}
		_ = json.NewEncoder(w).Encode(resp)
	}
}

// readsErr tells whether a client finds a refusal in an answer of status 200, as
// dockerd does, which asks for its own type (moby, pkg/plugins/client.go). Others,
// as podman, look at the status alone and take everything else for done.
func readsErr(r *http.Request) bool {
	return slices.ContainsFunc(r.Header.Values("Accept"), func(types string) bool { return strings.Contains(types, contentType) })
}

type dockerdKey struct{}

// byDockerd tells whether a request is dockerd's: see readsErr.
func byDockerd(ctx context.Context) bool {
	is, _ := ctx.Value(dockerdKey{}).(bool)
	return is
}

// caller is the user's name for the audit trail. The socket belongs to root alone,
// so the name that the command line sends is trusted.
func caller(r *http.Request) string {
	if who := r.Header.Get(callerHeader); who != "" {
		return who
	}
	return "docker"
}

const callerHeader = "Berth-Caller"

func failure(err error) *Failure {
	f := &Failure{Err: err.Error(), Reason: err.Error(), Kind: problem.KindOf(err)}
	if e := (*problem.Error)(nil); errors.As(err, &e) {
		f.Reason, f.Hint = e.Reason, e.Hint
	}
	// The names in these texts may have any byte. JSON would replace some.
	f.Err, f.Reason, f.Hint = text.Message(f.Err), text.Message(f.Reason), text.Message(f.Hint)
	return f
}

// note counts a request and writes its line in the log, with the names of the
// volume and of the mount reference.
func (s *Server) note(op string, req any, took time.Duration, quiet bool, err error) {
	s.metrics.request(op, took, err)
	fields := logrus.Fields{"op": op, "took": took.Round(time.Microsecond).String()}
	if n, ok := req.(interface{ logName() (name, id string) }); ok {
		name, id := n.logName()
		if name != "" { // a caller may ask for a name of any length
			fields["volume"] = fmt.Sprintf("%.256s", name)
		}
		if id != "" {
			fields["id"] = fmt.Sprintf("%.256s", id)
		}
	}
	line := s.log.WithFields(fields)
	if stack := guard.Stack(err); stack != "" {
		line.WithError(err).WithField("stack", stack).Error("request panicked")
		return
	}
	switch {
	case quiet && problem.KindOf(err) == problem.NotFound && err != nil:
		line.WithError(err).Debug("request") // dockerd asks before it creates
	case err != nil:
		line.WithError(err).Warn("request failed")
	case quiet && took < time.Second:
		line.Debug("request")
	default:
		line.Info("request")
	}
}
