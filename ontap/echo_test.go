package ontap_test

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
)

// escaped writes each byte of s by a format.
func escaped(s, format string) string {
	var out strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&out, format, s[i])
	}
	return out.String()
}

// wide is s in UTF-16, little end first.
func wide(s string) string {
	var out strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		out.WriteByte(byte(u))
		out.WriteByte(byte(u >> 8))
	}
	return out.String()
}

// echoes are the forms in which a server may quote the password.
func echoes(user, password string) map[string]string {
	basic := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return map[string]string{
		"plain": password, "a sentence": "access of " + user + " with '" + password + "' denied", "upper case": strings.ToUpper(password),
		"basic": "Authorization: Basic " + basic, "basic in a URL": base64.RawURLEncoding.EncodeToString([]byte(user + ":" + password)),
		"base64": base64.StdEncoding.EncodeToString([]byte(password)), "base64 in a word": "xy" + basic, "base64 cut": basic[:len(basic)-5],
		"base64 in lines": basic[:9] + "\r\n " + basic[9:], "base64 of UTF-16": base64.StdEncoding.EncodeToString([]byte(wide(password))),
		"base64 twice": base64.StdEncoding.EncodeToString([]byte(basic)), "base64 in percent": url.QueryEscape(basic),
		"percent": escaped(password, "%%%02x"), "percent upper": escaped(password, "%%%02X"), "a query": "user=" + user + "&password=" + url.QueryEscape(password),
		"percent twice": url.QueryEscape(escaped(password, "%%%02X")), "quoted-printable": escaped(password, "=%02X"),
		"JSON in JSON": escaped(password, `\u%04x`), "a literal": escaped(password, `\x%02x`), "octal": escaped(password, `\%03o`), "entities": escaped(password, "&#%d;"),
		"an attribute": html.EscapeString(`<a href="` + password + `">`), "hex": hex.EncodeToString([]byte(password)), "hex upper": strings.ToUpper(hex.EncodeToString([]byte(password))),
		"a dump": escaped(password, "%02x "), "colons": escaped(password, "%02x:"), "odd hex": "f" + hex.EncodeToString([]byte(password)), "bytes": escaped(password, "0x%02x, "),
		"spaced": strings.Join(strings.Split(password, ""), " "), "zero width": strings.Join(strings.Split(password, ""), "\u200b"),
		"hex of basic": hex.EncodeToString([]byte("Basic " + basic)), "quotes in quotes": fmt.Sprintf("%q", fmt.Sprintf("%q", escaped(password, `\x%02x`))),
		"cut": "Basic auth was " + password[:len(password)-2] + "…",
	}
}

func passwordFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte(password+"\n"), 0o600))
	return file
}

// requireNoEcho fails if an error has the password in the form in which the server
// quoted it, or any long part of it.
func requireNoEcho(t *testing.T, err error, password, form, quoted string) {
	t.Helper()
	require.Error(t, err, form)
	for _, verb := range []string{"%v", "%+v"} {
		for e := err; e != nil; {
			text := fmt.Sprintf(verb, e)
			require.NotContains(t, strings.ToLower(text), strings.ToLower(password), form)
			require.NotContains(t, text, quoted, form)
			unwrap, ok := e.(interface{ Unwrap() error })
			if !ok {
				break
			}
			e = unwrap.Unwrap()
		}
	}
}

// A server that refuses a request may quote it, and a proxy before it, too.
func TestThePasswordIsNotPrintedWhenTheFilerSendsItBack(t *testing.T) {
	w := newWorld(t)
	w.spoiled.Store(true)
	for form, quoted := range echoes("berth", password) {
		for _, f := range []simulator.Fault{
			{Status: 403, Code: "6", Message: quoted}, {Status: 401, Code: "6691623", Message: quoted, Times: 1}, {Status: 500, Code: "262160", Message: quoted},
			{Method: "POST", Job: "fail", Code: "525059", Message: quoted},
		} {
			w.Heal()
			w.inject(f)
			cfg := w.config()
			cfg.PasswordFile = passwordFile(t) // of its own: nobody sends a refused one again
			_, err := w.newClient(cfg).SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "x"})
			requireNoEcho(t, err, password, form, quoted)
		}
		body, err := json.Marshal(map[string]any{"records": []any{map[string]any{"name": quoted, "uuid": "u", "comment": quoted}}, "num_records": 1})
		require.NoError(t, err)
		if strings.Contains(form, "twice") || strings.Contains(form, " in ") || strings.Contains(form, " of ") {
			continue // a record of success is decoded once
		}
		w.Heal()
		w.inject(simulator.Fault{Body: string(body)})
		list, err := w.newClient(w.config()).SnapshotList(t.Context(), w.volume)
		require.NoError(t, err)
		require.Equal(t, "(left out: it has the password)", list[0].Comment, form)
		require.NotContains(t, list[0].Name, quoted)
	}
}

// What is no HTTP is quoted by net/http.
func TestThePasswordIsNotPrintedFromWhatIsNoHTTP(t *testing.T) {
	for form, quoted := range echoes("berth", password) {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, b, err := w.(http.Hijacker).Hijack()
			if err == nil {
				answer(c, b, quoted)
			}
		}))
		client, err := ontap.New(ontap.Config{Address: server.URL, User: "berth", PasswordFile: passwordFile(t), Insecure: true, Wait: (&waits{}).wait})
		require.NoError(t, err)
		_, err = client.SvmList(t.Context())
		requireNoEcho(t, err, password, form, quoted)
		server.Close()
	}
}

func answer(c net.Conn, b *bufio.ReadWriter, line string) {
	defer c.Close()
	_, _ = b.WriteString("HTTP/1.1 " + strings.NewReplacer("\r", "", "\n", "").Replace(line) + "\r\nX: " + line + "\r\n\r\n")
	_ = b.Flush()
}

// What is no echo of the password stays as the cluster said it.
func TestMessagesWithoutThePasswordStay(t *testing.T) {
	w := newWorld(t)
	for _, message := range []string{
		"not authorized for that command", "entry doesn't exist", "Snapshot \"hourly.2026-11-30_1005\" already exists", "uuid 02c9e252-41be-11e9-81d5-00a0986138f7",
		"a horse, a battery and a secret", "100% of &quot;space&quot; is used = 0x00ff 0a0b0c0d \\n %41", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=",
	} {
		w.Heal()
		w.inject(simulator.Fault{Status: 403, Code: "6", Message: message})
		_, err := w.client.SvmList(t.Context())
		require.ErrorContains(t, err, message)
	}
}
