package doctor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Setting is one setting and where its value is from.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"` // a file, "environment" or "default"
}

// Settings says which settings are in force; err says why they are wrong.
func Settings(set []Setting, err error) Finding {
	var given []string
	for _, s := range set {
		if s.Source != "default" {
			given = append(given, fmt.Sprintf("%s=%s (%s)", s.Name, s.Value, s.Source))
		}
	}
	text := "all are defaults"
	if len(given) > 0 {
		text = strings.Join(given, ", ") + "; the others are defaults"
	}
	if err != nil {
		return fail("correct it in /etc/berth/berth.env: it is read again within seconds, nothing is to be restarted", "%v; in force: %s", err, text).named("settings")
	}
	return ok("%s", text).named("settings")
}

// Password judges mode and owner of the password's file; it does not show the
// password.
func Password(file string) Finding {
	f, err := os.Open(file)
	if err != nil {
		what := "cannot be read"
		if errors.Is(err, fs.ErrNotExist) {
			what = "is not there"
		}
		return fail("put the password into that file, mode 0600; a managed plugin sees /etc/berth and nothing else of the host", "BERTH_ONTAP_PASSWORD_FILE=%s %s: %v", file, what, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fail("", "BERTH_ONTAP_PASSWORD_FILE: %v", err)
	}
	switch mode := info.Mode().Perm(); {
	case info.Size() == 0:
		return fail("put the password into it", "%s is empty", file)
	case mode&0o077 != 0:
		return warn("chmod 600 "+file, "%s is readable for others than its owner, mode %04o", file, mode)
	default:
		return ok("%s: set, readable, mode %04o", file, mode)
	}
}

// soon is how long before its end a certificate is worth a word.
const soon = 30 * 24 * time.Hour

// KeyPair judges the client certificate for the filer's API and its key. It does
// not show the key.
func KeyPair(certFile, keyFile string, now time.Time) Finding {
	if certFile == "" || keyFile == "" {
		return fail("set both BERTH_ONTAP_CERT and BERTH_ONTAP_KEY, or none", "BERTH_ONTAP_CERT=%s, BERTH_ONTAP_KEY=%s: one is missing", certFile, keyFile)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return fail("put a certificate and its key, PEM, without a passphrase, into these files; a managed plugin sees /etc/berth and nothing else of the host",
			"BERTH_ONTAP_CERT=%s, BERTH_ONTAP_KEY=%s: %v", certFile, keyFile, err)
	}
	info, err := os.Stat(keyFile)
	if err != nil {
		return fail("", "BERTH_ONTAP_KEY: %v", err)
	}
	const next = "put a new certificate and its key into these files: berth reads them again by itself"
	name, end := pair.Leaf.Subject.CommonName, pair.Leaf.NotAfter.UTC().Format(time.RFC3339)
	switch mode := info.Mode().Perm(); {
	case now.After(pair.Leaf.NotAfter):
		return fail(next, "%s: the certificate of %s has expired on %s", certFile, name, end)
	case now.Before(pair.Leaf.NotBefore):
		return fail("set this node's clock, or "+next, "%s: the certificate of %s is valid from %s on", certFile, name, pair.Leaf.NotBefore.UTC().Format(time.RFC3339))
	case mode&0o077 != 0:
		return warn("chmod 600 "+keyFile, "%s is readable for others than its owner, mode %04o", keyFile, mode)
	case pair.Leaf.NotAfter.Sub(now) < soon:
		return warn(next, "%s: the certificate of %s expires on %s", certFile, name, end)
	default:
		return ok("%s: the certificate of %s, until %s; its key has mode %04o", certFile, name, end, mode)
	}
}
