package ontap

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate, signed by itself without a parent.
func issue(t *testing.T, parent *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: serial, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour)}
	change(template)
	from, signer := template, key
	if parent != nil {
		from, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, from, &key.PublicKey, signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &issued{cert, key}
}

func authority(t *testing.T, name string) *issued {
	return issue(t, nil, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.BasicConstraintsValid, c.KeyUsage = name, true, true, x509.KeyUsageCertSign
	})
}

func common(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject.CommonName = name }
}

func forLoopback(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject.CommonName, c.IPAddresses = name, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
}

func (i *issued) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
}

func (i *issued) keyPEM(t *testing.T) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// filer is an HTTPS server with a certificate; it knows every user.
func filer(t *testing.T, i *issued, change func(*tls.Config), answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key}}}
	if change != nil {
		change(server.TLS)
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func aCluster(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"name":"c1","uuid":"u","version":{"full":"x","generation":9,"major":16,"minor":1}}`)
}

func put(t *testing.T, content ...[]byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.pem")
	var all []byte
	for _, c := range content {
		all = append(all, c...)
	}
	require.NoError(t, os.WriteFile(file, all, 0o600))
	return file
}

// TestCertificateOfTheFiler is the table of certificates that a filer may have:
// which of them berth trusts, and what it says to type about the others.
func TestCertificateOfTheFiler(t *testing.T) {
	campus, other := authority(t, "Campus CA"), authority(t, "Other CA")
	plain := issue(t, nil, common("svm1")) // as ONTAP makes it for a new SVM
	renewed := issue(t, nil, common("svm1"))
	expired := issue(t, nil, func(c *x509.Certificate) { c.Subject.CommonName, c.NotAfter = "svm1", time.Now().Add(-time.Hour) })
	early := issue(t, nil, func(c *x509.Certificate) {
		c.Subject.CommonName, c.NotBefore = "svm1", time.Now().Add(24*time.Hour)
	})
	named := issue(t, nil, func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames = "svm1", []string{"filer.example.edu", "svm1.example.edu"}
	})
	signed := issue(t, campus, forLoopback("svm1"))
	signedPlain := issue(t, campus, common("svm1"))
	signedNamed := issue(t, campus, func(c *x509.Certificate) { c.DNSNames = []string{"filer.example.edu"} })
	for _, c := range []struct {
		name  string
		has   *issued
		ca    []byte
		wrong string // in the error
		cure  []string
	}{
		{name: "of the authority in the file", has: signed, ca: campus.pem()},
		{name: "one of two in the file", has: signed, ca: append(other.pem(), campus.pem()...)},
		{name: "self-signed without a name, itself in the file", has: plain, ca: plain.pem()},
		{name: "signed without a name, itself in the file", has: signedPlain, ca: append(signedPlain.pem(), campus.pem()...)},
		{name: "self-signed, no file", has: plain, wrong: "any IP SANs",
			cure: []string{"self-signed", "no subject alternative name", "openssl s_client -connect ADDRESS", "serial number", "set BERTH_ONTAP_CA=/etc/berth/filer.pem"}},
		{name: "self-signed, another in the file", has: renewed, ca: plain.pem(), wrong: "any IP SANs",
			cure: []string{"not one of those in BERTH_ONTAP_CA=FILE", "common name svm1", "openssl x509 -out FILE"}},
		{name: "self-signed with its name, no file", has: issue(t, nil, forLoopback("svm1")), wrong: "unknown authority",
			cure: []string{"self-signed", "openssl s_client -connect ADDRESS", "set BERTH_ONTAP_CA=/etc/berth/filer.pem"}},
		{name: "of an authority, no file", has: signed, wrong: "unknown authority",
			cure: []string{"the authority CN=Campus CA", "set BERTH_ONTAP_CA"}},
		{name: "of another authority", has: signed, ca: other.pem(), wrong: "unknown authority",
			cure: []string{"BERTH_ONTAP_CA=FILE does not have the authority CN=Campus CA"}},
		{name: "signed, without a name", has: signedPlain, ca: campus.pem(), wrong: "doesn't contain any IP SANs",
			cure: []string{"no subject alternative name", "common name svm1", "trust this very certificate", "generate-csr -dns-name"}},
		{name: "for other names", has: signedNamed, ca: campus.pem(), wrong: "127.0.0.1",
			cure: []string{"is for filer.example.edu", "set BERTH_ONTAP to"}},
		{name: "expired", has: expired, ca: expired.pem(), wrong: "expired",
			cure: []string{"svm1 has expired on ", "security certificate create"}},
		{name: "not valid yet", has: early, ca: early.pem(), wrong: "not yet valid",
			cure: []string{"is valid from ", "clock"}},
		{name: "for other names, itself in the file", has: named, ca: named.pem()},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{Address: filer(t, c.has, nil, aCluster), User: "u", PasswordFile: put(t, []byte("p"))}
			if c.ca != nil {
				cfg.CAFile = put(t, c.ca)
			}
			client, err := New(cfg)
			require.NoError(t, err)
			t.Cleanup(client.Close)
			_, err = client.ClusterInfo(t.Context())
			if c.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.wrong)
			cure, ok := CertificateCure(err, cfg.Address, cfg.CAFile)
			require.True(t, ok)
			for _, text := range c.cure {
				require.Contains(t, cure, strings.NewReplacer("ADDRESS", cfg.Address, "FILE", cfg.CAFile).Replace(text))
			}
		})
	}
	_, ok := CertificateCure(&Error{HTTP: 500}, "filer", "")
	require.False(t, ok)
}

// TestCAFileIsReadAgain: a filer that makes itself a new certificate needs a new
// file, and no restart.
func TestCAFileIsReadAgain(t *testing.T) {
	first, second := issue(t, nil, common("svm1")), issue(t, nil, common("svm1"))
	has := first
	address := filer(t, first, func(c *tls.Config) {
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{has.cert.Raw}, PrivateKey: has.key}}}, nil
		}
	}, aCluster)
	ca := put(t, first.pem())
	client, err := New(Config{Address: address, User: "u", PasswordFile: put(t, []byte("p")), CAFile: ca})
	require.NoError(t, err)
	_, err = client.ClusterInfo(t.Context())
	require.NoError(t, err)
	has = second
	client.Close()
	_, err = client.ClusterInfo(t.Context())
	require.ErrorContains(t, err, "failed to verify certificate")
	require.NoError(t, os.WriteFile(ca, []byte("half a "), 0o600))
	_, err = client.ClusterInfo(t.Context())
	require.ErrorContains(t, err, "failed to verify certificate", "a file that is being written is not nothing")
	require.NoError(t, os.WriteFile(ca, second.pem(), 0o600))
	_, err = client.ClusterInfo(t.Context())
	require.NoError(t, err)
}

func TestNoTLS(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(aCluster))
	defer server.Close()
	address := server.Listener.Addr().String()
	client, err := New(Config{Address: address, User: "u", PasswordFile: put(t, []byte("p"))})
	require.NoError(t, err)
	_, err = client.SnapshotCreate(t.Context(), "v", Snapshot{Name: "s"})
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	cure, ok := CertificateCure(err, address, "")
	require.True(t, ok)
	require.Contains(t, cure, "does not speak TLS")
}

// wants is a filer's rule for client certificates: those of one authority.
func wants(i *issued) func(*tls.Config) {
	return func(c *tls.Config) {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.ClientCAs.AddCert(i.cert)
	}
}

func TestLoginByCertificate(t *testing.T) {
	campus, other := authority(t, "Campus CA"), authority(t, "Other CA")
	server := issue(t, campus, forLoopback("svm1"))
	first, second, foreign := issue(t, campus, common("berth")), issue(t, campus, common("berth2")), issue(t, other, common("berth"))
	var seen []string
	address := filer(t, server, wants(campus), func(w http.ResponseWriter, r *http.Request) {
		_, _, basic := r.BasicAuth()
		seen = append(seen, fmt.Sprint(r.TLS.PeerCertificates[0].Subject.CommonName, " ", basic))
		aCluster(w, r)
	})
	cert, key := put(t, first.pem()), put(t, first.keyPEM(t))
	client, err := New(Config{Address: address, CertFile: cert, KeyFile: key, CAFile: put(t, campus.pem()),
		Now: time.Now, Wait: waitReal})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	ask := func() error { _, err := client.ClusterInfo(t.Context()); return err }
	require.NoError(t, ask())

	// A rotation, in the middle of which the files do not fit together.
	require.NoError(t, os.WriteFile(cert, second.pem(), 0o600))
	require.NoError(t, ask())
	require.NoError(t, os.WriteFile(key, nil, 0o600))
	require.NoError(t, ask())
	require.NoError(t, os.WriteFile(key, second.keyPEM(t), 0o600))
	require.NoError(t, ask())
	require.Equal(t, []string{"berth false", "berth false", "berth false", "berth2 false"}, seen, "no password is sent")

	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.Equal(t, "ontap "+address+" by certificate "+cert, fmt.Sprintf(verb, client))
	}

	// One that the filer does not trust. In TLS 1.3 it says so after our request.
	require.NoError(t, os.WriteFile(cert, foreign.pem(), 0o600))
	require.NoError(t, os.WriteFile(key, foreign.keyPEM(t), 0o600))
	_, err = client.SnapshotCreate(t.Context(), "v", Snapshot{Name: "s"})
	require.ErrorIs(t, err, ErrPassword)
	require.NotErrorIs(t, err, ErrOutcomeUnknown, "a handshake that failed did nothing")
}

func TestLoginByCertificateThatNobodyKnows(t *testing.T) {
	campus := authority(t, "Campus CA")
	one := issue(t, campus, common("nobody"))
	asked := 0
	address := filer(t, issue(t, campus, forLoopback("svm1")), wants(campus), func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusUnauthorized)
	})
	client, err := New(Config{Address: address, CertFile: put(t, one.pem()), KeyFile: put(t, one.keyPEM(t)), CAFile: put(t, campus.pem())})
	require.NoError(t, err)
	_, err = client.ClusterInfo(t.Context())
	require.ErrorIs(t, err, ErrPassword)
	require.Equal(t, 1, asked)
}

func TestLoginIsOneOfTwo(t *testing.T) {
	one := issue(t, nil, common("berth"))
	cert, key := put(t, one.pem()), put(t, one.keyPEM(t))
	for _, c := range []struct {
		cfg  Config
		says string
	}{
		{Config{CertFile: cert}, "belong together"},
		{Config{KeyFile: key}, "belong together"},
		{Config{CertFile: cert, KeyFile: key, User: "u"}, "exclude each other"},
		{Config{CertFile: cert, PasswordFile: "pw"}, "exclude each other"},
	} {
		c.cfg.Address = "filer"
		_, err := New(c.cfg)
		require.ErrorContains(t, err, c.says)
	}
	for _, c := range []struct{ cert, key, says string }{
		{cert + "x", key, "ontap client certificate: "},
		{cert, key + "x", "ontap client key: "},
		{key, cert, "ontap client certificate " + key + " and key " + cert},
	} {
		client, err := New(Config{Address: "127.0.0.1:1", CertFile: c.cert, KeyFile: c.key})
		require.NoError(t, err, "a file that is missing when the plugin starts may come")
		_, err = client.ClusterInfo(t.Context())
		require.ErrorContains(t, err, c.says)
	}
}
