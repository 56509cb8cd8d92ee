package ontap

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// permanent says that a certificate is wrong: another try cannot help.
func permanent(err error) bool {
	var (
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	return errors.As(err, &verify) || errors.As(err, &authority) || errors.As(err, &host) ||
		errors.As(err, &invalid) || errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch) || certificateRefused(err)
}

// certificateRefused says that the cluster ended the handshake because of our
// certificate. In TLS 1.3 (RFC 8446 §4.4.2.4) the alert comes after we have sent the
// request, which the cluster has not read then.
func certificateRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" &&
		(strings.Contains(op.Err.Error(), "certificate") || strings.Contains(op.Err.Error(), "access denied"))
}

// neverSent says that the request cannot have reached ONTAP: the connection
// or its TLS was never established.
func neverSent(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return permanent(err) || errors.As(err, &dns) || (errors.As(err, &op) && op.Op == "dial")
}

// describe explains an error of encoding/json with the field's name, without the
// value.
func describe(err error) string {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	var odd *misfit
	switch {
	case errors.As(err, &odd):
		return fmt.Sprintf("field %s is a JSON %s that does not fit", odd.field, odd.kind())
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Sprintf("a JSON %s where an object belongs", kind.Value)
	case errors.As(err, &kind):
		return fmt.Sprintf("field %s is a JSON %s", kind.Field, kind.Value)
	case errors.As(err, &syntax):
		return fmt.Sprintf("not JSON at byte %d", syntax.Offset)
	}
	return err.Error()
}
