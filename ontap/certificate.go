package ontap

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/several"
)

// authorities are the certificates of Config.CAFile.
type authorities struct {
	pool *x509.CertPool
	all  []*x509.Certificate
}

func readAuthorities(file string) (*authorities, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read ontap CA file: %w", err)
	}
	out := &authorities{pool: x509.NewCertPool()}
	for rest := raw; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if c, err := x509.ParseCertificate(block.Bytes); block.Type == "CERTIFICATE" && err == nil {
			out.all = append(out.all, c)
			out.pool.AddCert(c)
		}
	}
	if len(out.all) == 0 {
		return nil, fmt.Errorf("ontap CA file %s has no PEM certificate", file)
	}
	return out, nil
}

// verify judges the certificates of the cluster at host as crypto/tls does, with
// one difference: a certificate that is itself in the CA file, byte for byte, needs
// no name. The certificate that ONTAP makes for a new SVM has none that counts: no
// subject alternative name, and Go ignores a common name (RFC 6125 §6.4.4). An
// administrator who copied this very certificate said which machine is meant, and
// only the owner of its key can present it. The dates count all the same.
func (a *authorities) verify(host string, chain []*x509.Certificate, now time.Time) error {
	opts := x509.VerifyOptions{Roots: a.pool, DNSName: host, CurrentTime: now, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if slices.ContainsFunc(a.all, chain[0].Equal) {
		opts.DNSName = ""
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}

// CertificateCure says what to type about err, if err is about the certificate of
// the cluster at host. caFile is that of the Config.
func CertificateCure(err error, host, caFile string) (cure string, ok bool) {
	var (
		record    tls.RecordHeaderError
		verify    *tls.CertificateVerificationError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		authority x509.UnknownAuthorityError
	)
	if errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch) {
		return "what answers at " + host + " does not speak TLS: set BERTH_ONTAP to the management interface, HTTPS, port 443", true
	}
	if !errors.As(err, &verify) || len(verify.UnverifiedCertificates) == 0 {
		return "", false
	}
	leaf := verify.UnverifiedCertificates[0]
	switch {
	case errors.As(err, &name) && selfSigned(leaf):
		return selfSignedCure(leaf, host, caFile), true
	case errors.As(err, &name):
		return nameCure(leaf, host), true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return dateCure(invalid.Cert), true
	case errors.As(err, &authority):
		return authorityCure(verify.UnverifiedCertificates, host, caFile), true
	}
	return "give the filer's web server another certificate: `security certificate install -type server`, then `security ssl modify`", true
}

func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// names are those that the certificate is valid for.
func names(c *x509.Certificate) []string {
	out := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	return out
}

// trustIt says how to trust this very certificate of the filer at host.
func trustIt(leaf *x509.Certificate, host, caFile string) string {
	if !strings.Contains(host, ":") {
		host += ":443"
	}
	return fmt.Sprintf("`openssl s_client -connect %s </dev/null | openssl x509 -out %s`, compare its serial number %X with `security certificate show -type server` on the filer, and set BERTH_ONTAP_CA=%[2]s",
		host, or(caFile, "/etc/berth/filer.pem"), leaf.SerialNumber)
}

const nameless = "has no subject alternative name, only the common name %s, which does not count"

func selfSignedCure(leaf *x509.Certificate, host, caFile string) string {
	text := "the filer's certificate is self-signed"
	if caFile != "" {
		text += " and is not one of those in BERTH_ONTAP_CA=" + caFile
	}
	if len(names(leaf)) == 0 {
		text += "; it " + fmt.Sprintf(nameless, leaf.Subject.CommonName)
	}
	return text + ". To trust this very certificate: " + trustIt(leaf, host, caFile)
}

func nameCure(leaf *x509.Certificate, host string) string {
	if all := names(leaf); len(all) > 0 {
		return "the filer's certificate is for " + several.Join(all, ", ") + ": set BERTH_ONTAP to a name of these, or give the filer a certificate that has " +
			hostOnly(host) + " as a subject alternative name"
	}
	return "the filer's certificate " + fmt.Sprintf(nameless, leaf.Subject.CommonName) + ". Give the filer one that has " + hostOnly(host) +
		" as such a name: `security certificate generate-csr -dns-name`, `security certificate install -type server`; or trust this very certificate: " +
		trustIt(leaf, host, "")
}

func dateCure(c *x509.Certificate) string {
	who := "the certificate " + c.Subject.CommonName
	if time.Now().Before(c.NotBefore) {
		return who + " is valid from " + c.NotBefore.UTC().Format(time.RFC3339) + " on: set the clock of this node or of the filer"
	}
	return who + " has expired on " + c.NotAfter.UTC().Format(time.RFC3339) +
		": make a new one on the filer (`security certificate create` or `install -type server`, then `security ssl modify`); a new self-signed one has to be copied to BERTH_ONTAP_CA too"
}

func authorityCure(chain []*x509.Certificate, host, caFile string) string {
	issuer := chain[len(chain)-1].Issuer.String()
	switch {
	case selfSigned(chain[0]):
		return selfSignedCure(chain[0], host, caFile)
	case caFile == "":
		return "put the certificate of the authority " + issuer + " into a file below /etc/berth and set BERTH_ONTAP_CA to that file"
	}
	return fmt.Sprintf("BERTH_ONTAP_CA=%s does not have the authority %s, which signed the filer's certificate: add the authority's certificate to that file", caFile, issuer)
}

func hostOnly(host string) string {
	if base, err := parseAddress(host); err == nil {
		return base.Hostname()
	}
	return host
}
