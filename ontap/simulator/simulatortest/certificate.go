package simulatortest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/casit/berth/ontap/simulator"
)

// KeyPair writes a self-signed certificate with a user as its common name, and its
// key, to dir. As simulator.Config.ClientCAFile, cert is its own authority, as
// after `security certificate install -type client-ca`.
func KeyPair(t fataler, dir, user string) (cert, key string) {
	cert, key = filepath.Join(dir, user+".pem"), filepath.Join(dir, user+".key")
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: user}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	check(t, err)
	check(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	der, err = x509.MarshalPKCS8PrivateKey(secret)
	check(t, err)
	check(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	return cert, key
}

// AddCertificateUser makes an account of the cluster that logs in by certificate,
// as `security login create -authentication-method cert` does. admin may do so.
func AddCertificateUser(t fataler, sim *simulator.Simulator, admin, password, user, role string) {
	body := fmt.Sprintf(`{"name":%q,"role":{"name":%q},"applications":[{"application":"http","authentication_methods":["certificate"]}]}`, user, role)
	r := httptest.NewRequest(http.MethodPost, "/api/security/accounts", strings.NewReader(body))
	r.SetBasicAuth(admin, password)
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		t.Fatalf("make account %s: %d %s", user, w.Code, w.Body)
	}
}

func check(t fataler, err error) {
	if err != nil {
		t.Fatalf("%v", err)
	}
}
