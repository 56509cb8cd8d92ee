package ontap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"
)

// Config says how to reach a cluster or an SVM's management interface.
type Config struct {
	_ struct{}

	// Address is a host, host:port or https:// URL. Required.
	Address string

	// User and PasswordFile are for basic authentication. Required without a
	// certificate. The file
	// holds the password; a final line break is not part of the password. The
	// client reads the file before the first call and again whenever ONTAP
	// answers 401, so a rotated password needs no restart.
	User         string
	PasswordFile string

	// CertFile and KeyFile are PEM files for the login by a client certificate, whose
	// common name is the user. They exclude User and PasswordFile. The client reads
	// them before each call, so a rotated certificate needs no restart.
	CertFile string
	KeyFile  string

	// CAFile is a PEM file with the authorities that may sign the cluster's
	// certificate, or with that very certificate, which then needs no name; "" means
	// the system's authorities. The client reads the file again for each connection.
	// Insecure accepts any certificate. CAFile and Insecure exclude each other.
	CAFile   string
	Insecure bool

	// RequestTimeout bounds one HTTP exchange; 0 means 60 s.
	RequestTimeout time.Duration

	// Patience is how long the cluster may leave questions about a job
	// unanswered, as in a fail-over, before the outcome is unknown; 0 means 3
	// minutes.
	Patience time.Duration

	// Observe hears of every HTTP exchange: the method, the status of the answer
	// (0 for no answer) and the duration. Many goroutines call Observe; it may be
	// nil.
	Observe func(method string, status int, took time.Duration)

	// Uses remembers which changes the role was let do; nil is a memory of this
	// Client alone.
	Uses *Uses

	// Now and Wait are the clock; nil means the real one. Wait returns early
	// with the context's error.
	Now  func() time.Time
	Wait func(ctx context.Context, d time.Duration) error
}

// Client talks to one cluster. Make it with New. All methods may be called
// concurrently.
type Client struct {
	base     *url.URL
	user     string
	password *passwordFile
	pair     *keyPair // in place of user and password; or nil
	refused  *refusals
	http     *http.Client
	patience time.Duration
	observe  func(method string, status int, took time.Duration)
	uses     *Uses
	now      func() time.Time
	wait     func(ctx context.Context, d time.Duration) error
}

// New checks a Config and reads its CA file. It opens no connection.
func New(cfg Config) (*Client, error) {
	base, err := parseAddress(cfg.Address)
	if err != nil {
		return nil, err
	}
	if err := cfg.checkLogin(); err != nil {
		return nil, err
	}
	tlsConfig, err := cfg.tlsConfig(base.Hostname())
	if err != nil {
		return nil, err
	}
	c := &Client{
		base:     base,
		user:     cfg.User,
		password: &passwordFile{login: login{base.Host, cfg.User, cfg.PasswordFile}, verdicts: theVerdicts},
		refused:  &refusals{fields: map[reflect.Type][]string{}},
		patience: or(cfg.Patience, 3*time.Minute),
		observe:  cfg.Observe,
		uses:     or(cfg.Uses, &Uses{}),
		now:      cfg.Now,
		wait:     cfg.Wait,
		http: &http.Client{
			Timeout: or(cfg.RequestTimeout, time.Minute),
			Transport: &http.Transport{
				DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
				TLSClientConfig:        tlsConfig,
				TLSHandshakeTimeout:    15 * time.Second,
				MaxIdleConnsPerHost:    4,
				IdleConnTimeout:        30 * time.Second,
				MaxResponseHeaderBytes: 1 << 20,
			},
			// A redirect would carry the password to wherever it points.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if cfg.CertFile != "" {
		c.pair = &keyPair{certFile: cfg.CertFile, keyFile: cfg.KeyFile, replaced: c.Close}
		tlsConfig.GetClientCertificate = c.pair.present
	}
	if c.observe == nil {
		c.observe = func(string, int, time.Duration) {}
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.wait == nil {
		c.wait = waitReal
	}
	return c, nil
}

// Close drops idle connections. The client stays usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// String names the cluster and the user, never the password.
func (c *Client) String() string {
	if c.pair != nil {
		return fmt.Sprintf("ontap %s by %s", c.base.Host, c.pair)
	}
	return fmt.Sprintf("ontap %s as %s", c.base.Host, c.user)
}

// GoString is String, so that %#v cannot print the password either.
func (c *Client) GoString() string { return c.String() }

func parseAddress(address string) (*url.URL, error) {
	if address == "" {
		return nil, errors.New("ontap address is not set")
	}
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		// url.Error repeats its input, which may hold a password by mistake.
		return nil, errors.New("ontap address is not a host, host:port or https URL")
	case u.Scheme != "https":
		return nil, fmt.Errorf("ontap address must be https, not %s", u.Scheme)
	case u.User != nil:
		return nil, errors.New("ontap address must not hold a user or password")
	case u.Host == "" || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, errors.New("ontap address is more than a host, host:port or https URL")
	}
	return &url.URL{Scheme: "https", Host: u.Host}, nil
}

func (cfg Config) tlsConfig(host string) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case cfg.Insecure && cfg.CAFile != "":
		return nil, errors.New("ontap: a CA file and insecure exclude each other")
	case cfg.Insecure:
		out.InsecureSkipVerify = true
	case cfg.CAFile != "":
		known, err := readAuthorities(cfg.CAFile)
		if err != nil {
			return nil, err
		}
		out.InsecureSkipVerify = true // VerifyConnection verifies in its place
		out.VerifyConnection = func(state tls.ConnectionState) error {
			trusted := known
			if now, err := readAuthorities(cfg.CAFile); err == nil { // the filer may have a new certificate
				trusted = now
			}
			return trusted.verify(host, state.PeerCertificates, time.Now())
		}
	}
	return out, nil
}

func waitReal(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
