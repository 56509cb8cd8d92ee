package nfs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Config says how a Client works. The zero value and nil are good for most.
type Config struct {
	// Credentials of all calls. Nil means those of this process.
	Credentials *Credentials
	// Connections to the server; 0 means 2. One is enough for throughput, the
	// second goes on when the first stalls.
	Connections int
	// InFlight is how many calls each connection carries at a time; 0 means
	// 64. More than 128 are never sent: ONTAP executes that many.
	InFlight int
	// Transfer is the largest READ or WRITE in bytes, below the server's own
	// limits; 0 means 64 KiB, more than 1 MiB is never used. Memory grows with
	// it, speed hardly.
	Transfer int
	// Timeout bounds each call, whatever its context allows; 0 means that the
	// context alone does, however long the server is away.
	Timeout time.Duration
	// ReplyTimeout is how long a call is unanswered before it is sent again,
	// over a new connection if nothing at all came back; 0 means 15 s.
	ReplyTimeout time.Duration
	// Patience is how long a server that answers may put one call off: answer
	// "later" (StatusJukebox), or not at all while it answers other calls; 0
	// means 10 minutes. A server that answers nothing is waited for as long as the
	// context allows.
	Patience time.Duration
	// MaxEntries bounds the names of one directory, and with them a server that
	// lists names without an end; 0 means 20 million.
	MaxEntries int
	// DialTimeout bounds each attempt to connect; 0 means 10 s. Not Dial's.
	DialTimeout time.Duration
	// Unprivileged leaves the source port to the system. Otherwise one below
	// 1024 is used where the process may, as many servers want of clients.
	Unprivileged bool
	// Stats counts the calls, if set. Clients may share one.
	Stats *Stats
	// Dial connects instead of this package, if set; source ports are its
	// business then. It must be safe for concurrent use.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Bounds and defaults of Config.
const (
	defaultConnections  = 2
	maxConnections      = 16
	defaultInFlight     = 64
	maxInFlight         = 128
	defaultTransfer     = 64 << 10
	maxTransfer         = 1 << 20
	minTransfer         = 512
	defaultReplyTimeout = 15 * time.Second
	defaultDialTimeout  = 10 * time.Second
	defaultPatience     = 10 * time.Minute
	defaultMaxEntries   = 20_000_000

	// replySlack is what a reply has beside data: headers and attributes.
	replySlack = 4 << 10
	// maxDirBytes is the size asked of one READDIRPLUS answer; a server may
	// exceed it somewhat.
	maxDirBytes = 64 << 10
)

// complete returns a copy with all defaults filled in.
func (cfg *Config) complete() Config {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	def := func(p *int, def, limit int) {
		if *p <= 0 {
			*p = def
		}
		*p = min(*p, limit)
	}
	def(&c.Connections, defaultConnections, maxConnections)
	def(&c.InFlight, defaultInFlight, maxInFlight)
	def(&c.Transfer, defaultTransfer, maxTransfer)
	c.Transfer = max(c.Transfer, minTransfer)
	if c.ReplyTimeout <= 0 {
		c.ReplyTimeout = defaultReplyTimeout
	}
	def(&c.MaxEntries, defaultMaxEntries, math.MaxInt)
	if c.Patience <= 0 {
		c.Patience = defaultPatience
	}
	if c.DialTimeout <= 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.Credentials == nil {
		c.Credentials = ownCredentials()
	}
	return c
}

// ownCredentials are the credentials of this process.
func ownCredentials() *Credentials {
	cred := &Credentials{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	cred.Machine, _ = os.Hostname() // informative only
	gids, _ := os.Getgroups()
	for _, gid := range gids {
		cred.GIDs = append(cred.GIDs, uint32(gid))
	}
	return cred
}

func (cfg *Config) dialer() *dialer {
	return &dialer{privileged: !cfg.Unprivileged, timeout: cfg.DialTimeout, custom: cfg.Dial}
}

// transport returns what all transports have in common.
func (cfg *Config) transport() transportConfig {
	return transportConfig{
		vers:         version3,
		cred:         cfg.Credentials,
		links:        cfg.Connections,
		window:       cfg.InFlight,
		limit:        max(cfg.Transfer, 2*maxDirBytes) + replySlack,
		replyTimeout: cfg.ReplyTimeout,
		patience:     cfg.Patience,
	}
}

// mountTransport connects to a MOUNT service.
func (cfg *Config) mountTransport(ctx context.Context, d *dialer, address string) (transportConfig, error) {
	t := cfg.transport()
	t.prog = progMount
	t.dial = func(ctx context.Context, _ int) (net.Conn, error) { return d.dial(ctx, -1, address) }
	return t, ctx.Err()
}

// Client is an NFSv3 client of one export (RFC 1813). All its methods may be
// called concurrently; more calls than fit in flight wait their turn. Each
// method returns an *Error when it fails, and waits for the server as long as
// its context allows: across lost connections, server restarts and answers
// that say "later".
type Client struct {
	target   Target
	nfs      *transport
	timeout  time.Duration
	patience time.Duration // with StatusJukebox
	entries  int           // of one directory at most
	root     Handle
	info     FSInfo
	transfer int           // bytes of one READ or WRITE that we want at most
	storing  chan struct{} // one token for each chunk of a Store in flight
	listed   atomic.Int64  // names that listings remember
}

// Dial connects to the target's server, mounts its path and asks for the
// filesystem's limits. It reports at once when the server cannot be reached or
// refuses; ctx bounds all of it. A path below an export is looked up where the
// server does not mount it, symlinks not followed.
func Dial(ctx context.Context, target Target, cfg *Config) (*Client, error) {
	c := cfg.complete()
	var client *Client
	err := eachAddress(ctx, target.Host, func(host string) (err error) {
		client, err = dialHost(ctx, target, host, &c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", target, err)
	}
	return client, nil
}

// eachAddress calls fn for the host's addresses until one is reached.
func eachAddress(ctx context.Context, host string, fn func(address string) error) error {
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return err
	}
	var first error
	for _, address := range addresses {
		err := fn(address)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" {
			return err // this server did answer
		}
	}
	return first
}

// dialHost is Dial for one of the host's addresses.
func dialHost(ctx context.Context, target Target, host string, cfg *Config) (_ *Client, err error) {
	d := cfg.dialer()
	port, mountPort, err := target.ports(ctx, d, host, cfg.transport())
	if err != nil {
		return nil, err
	}
	mt, err := cfg.mountTransport(ctx, d, hostPort(host, mountPort))
	if err != nil {
		return nil, err
	}
	root, rest, err := mountDeep(ctx, mt, target.Path)
	if err != nil {
		return nil, err
	}

	address := hostPort(host, port)
	t := cfg.transport()
	t.prog = progNFS
	at := &location{host: target.Host, port: port, address: address}
	t.stats = cfg.Stats
	t.dial = func(ctx context.Context, link int) (net.Conn, error) {
		nc, err := at.dial(ctx, d, link)
		t.stats.dialled(err)
		return nc, err
	}
	t.seed, err = d.dial(ctx, 0, address)
	if t.stats.dialled(err); err != nil {
		return nil, err
	}
	c := &Client{target: target, nfs: newTransport(t), timeout: cfg.Timeout, patience: cfg.Patience, entries: cfg.MaxEntries,
		root: root, transfer: cfg.Transfer}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	for _, name := range rest {
		res, err := c.Lookup(ctx, c.root, name)
		if err != nil {
			return nil, err
		}
		c.root = res.Object
	}
	a, err := c.Getattr(ctx, c.root)
	if err != nil {
		return nil, err
	}
	if a.Type != TypeDir {
		return nil, &Error{Op: "mnt", Name: target.Path, Status: StatusNotDir}
	}
	if c.info, err = c.FSInfo(ctx, c.root); err != nil {
		return nil, err
	}
	c.storing = make(chan struct{}, max(1, storeBytes/c.WriteSize()))
	return c, nil
}

// Root returns the handle of the directory that the target names.
func (c *Client) Root() Handle { return c.root }

// Limits returns the server's limits as they were when the client connected
// (RFC 1813 §3.3.19).
func (c *Client) Limits() FSInfo { return c.info }

// ReadSize is the most that one Read asks for, in bytes: the smaller one of the
// server's limit and Config.Transfer.
func (c *Client) ReadSize() int { return bounded(c.info.RTMax, c.transfer) }

// WriteSize is the most that one Write sends, in bytes.
func (c *Client) WriteSize() int { return bounded(c.info.WTMax, c.transfer) }

// bounded is the smaller of a server's limit and ours. If the server's limit
// makes no sense, it is a size that every server takes.
func bounded(server uint32, ours int) int {
	return min(max(int(min(server, maxTransfer)), minTransfer), ours)
}

// Close ends all connections; calls in flight fail with ErrClosed. When it
// returns, no goroutine of the client is left. The server's list of mounts is
// not changed: other clients on this host may share the entry.
func (c *Client) Close() error {
	c.nfs.close()
	return nil
}

// Pauses before a call is repeated after StatusJukebox.
const (
	minJukebox = 100 * time.Millisecond
	maxJukebox = 5 * time.Second
)

// result is a call's answer: its status, a decoder at what follows it, and
// whether the request went out more than once.
type result struct {
	decoder
	status   Status
	replayed bool
}

// do makes a call. An answer of StatusJukebox (RFC 1813 §4.5) is not handed
// out: the call is repeated under a new xid until the context ends, or patience.
func (c *Client) do(ctx context.Context, k *call) result {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	var waited time.Duration
	for pause := minJukebox; ; pause = min(2*pause, maxJukebox) {
		err := c.nfs.roundTrip(ctx, k)
		if err != nil {
			r := result{decoder: decoder{err: err}, replayed: k.replayed}
			if waited > 0 {
				r.status = StatusJukebox // what the server said last
			}
			return r
		}
		r := result{decoder: parseReply(k.reply), replayed: k.replayed}
		if r.status = Status(r.uint32()); r.status != StatusJukebox {
			return r
		}
		c.nfs.stats.later()
		if !sleep(ctx, pause) {
			r.err, r.b = ctx.Err(), nil
			return r
		}
		if waited += pause; waited > c.patience {
			r.err, r.b = fmt.Errorf("the server puts it off for longer than %s", c.patience), nil
			return r
		}
	}
}

// ok tells whether the server did it, so that the results follow.
func (r *result) ok() bool { return r.err == nil && r.status == StatusOK }

// error is what the method returns, when all results have been read.
func (r *result) error(op, name string) error {
	if r.status == StatusOK && r.err == nil {
		return nil
	}
	e := &Error{Op: op, Name: name, Status: r.status, Err: r.err, Replayed: r.replayed}
	if r.status != StatusOK && r.status != StatusJukebox {
		e.Err = nil // a refusal is one, with or without its attributes
	}
	return e
}
