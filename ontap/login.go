package ontap

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// checkLogin says what is wrong with the Config's user, password and certificate.
func (cfg Config) checkLogin() error {
	byCertificate := cfg.CertFile != "" || cfg.KeyFile != ""
	switch {
	case byCertificate && (cfg.User != "" || cfg.PasswordFile != ""):
		return errors.New("ontap client certificate and password exclude each other")
	case byCertificate && (cfg.CertFile == "" || cfg.KeyFile == ""):
		return errors.New("ontap client certificate and key belong together")
	case byCertificate:
		return nil
	case cfg.User == "" || strings.Contains(cfg.User, ":"):
		return errors.New("ontap user must be set and have no colon")
	case cfg.PasswordFile == "":
		return errors.New("ontap password file is not set")
	}
	return nil
}

// keyPair is a client certificate and its key, in files that an administrator or
// a machine may replace at any time. It reads both files before each call.
type keyPair struct {
	certFile, keyFile string
	replaced          func() // called when the files have another pair

	mu        sync.Mutex // guards all below; held across reading the files, never across the network
	cert, key []byte     // as read last
	pair      *tls.Certificate
	stale     bool // a connection may have the pair before
}

// refresh reads the files. Files that do not fit together, as in the middle of
// being replaced, leave the pair that did.
func (k *keyPair) refresh() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.read(); k.pair == nil {
		return err
	}
	return nil
}

func (k *keyPair) read() error {
	cert, err := os.ReadFile(k.certFile)
	if err != nil {
		return fmt.Errorf("ontap client certificate: %w", err)
	}
	key, err := os.ReadFile(k.keyFile)
	if err != nil {
		return fmt.Errorf("ontap client key: %w", err)
	}
	if k.pair != nil && bytes.Equal(cert, k.cert) && bytes.Equal(key, k.key) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("ontap client certificate %s and key %s: %w", k.certFile, k.keyFile, err)
	}
	k.stale = k.pair != nil
	k.cert, k.key, k.pair = cert, key, &pair
	if k.stale {
		k.replaced()
	}
	return nil
}

// present answers the cluster's question for a certificate. A call has read the
// pair before.
func (k *keyPair) present(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pair, nil
}

// outdated says, once after the pair was replaced, that a refusal may be of the
// pair before: a connection in use then has outlived it.
func (k *keyPair) outdated() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.stale
	k.stale = false
	if was {
		k.replaced()
	}
	return was
}

// GoString keeps %#v from printing the key.
func (k *keyPair) GoString() string { return "certificate " + k.certFile }

// String keeps %v from printing the key.
func (k *keyPair) String() string { return k.GoString() }
