package simulator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// listener is the HTTPS side of a Simulator.
type listener struct {
	server *http.Server
	socket net.Listener
	done   chan struct{}

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

// track keeps the open connections.
func (l *listener) track(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(l.conns, conn)
	} else {
		l.conns[conn] = true
	}
}

// cut closes all connections.
func (l *listener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		conn.Close()
	}
}

// Listen serves HTTPS on address, e.g. 127.0.0.1:0, with a certificate of an
// authority made for this run, and writes that authority to caFile unless it
// is "". It returns once connections are accepted.
func (s *Simulator) Listen(address, caFile string) error {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	certificate, ca, err := certificates(socket.Addr(), time.Now())
	settings := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if err == nil {
		err = s.cfg.askCertificates(settings)
	}
	if err == nil && caFile != "" {
		err = os.WriteFile(caFile, ca, 0o644)
	}
	if err != nil {
		socket.Close()
		return fmt.Errorf("simulator: %w", err)
	}
	s.listen = &listener{socket: socket, done: make(chan struct{}), server: &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // a client that distrusts us is its own affair
	}}
	s.listen.server.ConnState, s.listen.conns = s.listen.track, map[net.Conn]bool{}
	secure := tls.NewListener(socket, settings)
	go func() {
		defer close(s.listen.done)
		_ = s.listen.server.Serve(secure) // always ends with ErrServerClosed
	}()
	return nil
}

// askCertificates makes TLS ask for a client's certificate and verify it if there
// is one.
func (c *Config) askCertificates(settings *tls.Config) error {
	if c.ClientCAFile == "" {
		return nil
	}
	raw, err := os.ReadFile(c.ClientCAFile)
	if err != nil {
		return fmt.Errorf("client authorities: %w", err)
	}
	settings.ClientCAs = x509.NewCertPool()
	if !settings.ClientCAs.AppendCertsFromPEM(raw) {
		return fmt.Errorf("client authorities: %s has no certificate in PEM", c.ClientCAFile)
	}
	settings.ClientAuth = tls.VerifyClientCertIfGiven
	return nil
}

// Address is the host:port of the listener, "" before Listen.
func (s *Simulator) Address() string {
	if s.listen == nil {
		return ""
	}
	return s.listen.socket.Addr().String()
}

func (l *listener) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := l.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = l.server.Close()
	}
	<-l.done
	return err
}

// certificates makes an authority and a server certificate for localhost and
// the address, valid for ten years, and returns the authority as PEM.
func certificates(address net.Addr, now time.Time) (tls.Certificate, []byte, error) {
	var none tls.Certificate
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return none, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return none, nil, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "ontap-simulator authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1), Subject: pkix.Name{CommonName: "ontap-simulator"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if tcp, ok := address.(*net.TCPAddr); ok && !tcp.IP.IsUnspecified() {
		leaf.IPAddresses = append(leaf.IPAddresses, tcp.IP)
	}
	if host, err := os.Hostname(); err == nil {
		leaf.DNSNames = append(leaf.DNSNames, host)
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return none, nil, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return none, nil, err
	}
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}, caPEM, nil
}
