package simulator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
)

// as asks as another account.
func as(s *Simulator, user, password, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.SetBasicAuth(user, password)
	s.ServeHTTP(w, r)
	return w
}

const node, secret = "node", "Horse-Battery-9"

func answered(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var out map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out), w.Body.String())
	return out
}

func TestRolesOverREST(t *testing.T) {
	s := release(t, "9.16.1")
	_, svm := s.UUIDs()
	refused := func(method, path, body string, status int, code string) {
		t.Helper()
		w := ask(s, method, path, body)
		got, _ := refusal(t, w.Body.Bytes())
		require.Equal(t, []any{status, code}, []any{w.Code, got}, "%s %s %s: %s", method, path, body, w.Body)
	}
	made := ask(s, "POST", "/api/security/roles", `{"name":"berth","owner":{"name":"svm1"},"privileges":[{"path":"/api/cluster","access":"readonly"}]}`)
	require.Equal(t, 201, made.Code, made.Body)
	role := "/api/security/roles/" + svm + "/berth"
	require.Equal(t, role, made.Header().Get("Location"))
	refused("POST", "/api/security/roles", `{"name":"berth","owner":{"uuid":"`+svm+`"},"privileges":[{"path":"/api/cluster","access":"all"}]}`, 409, "1")
	refused("POST", "/api/security/roles", `{"name":"x","owner":{"name":"svm9"},"privileges":[{"path":"/api","access":"all"}]}`, 400, "13434893")
	refused("POST", "/api/security/roles", `{"name":"x","owner":{"uuid":"nobody"},"privileges":[{"path":"/api","access":"all"}]}`, 400, "5636185")
	refused("POST", "/api/security/roles", `{"name":"x"}`, 400, "262177")
	refused("POST", "/api/security/roles", `{"name":"x","privileges":[{"path":"/api","access":"write"}]}`, 400, ontap.CodeInvalidValue)
	refused("POST", "/api/security/roles", `{"name":"x","privileges":[{"path":"/api","access":"all"},{"path":"/api","access":"none"}]}`, 409, "1")
	refused("POST", "/api/security/roles", `{"name":"x","kind":"y"}`, 400, ontap.CodeUnexpectedField)

	// Lines are added, changed and taken away one by one.
	require.Equal(t, 201, ask(s, "POST", role+"/privileges", `{"path":"/api/storage/volumes/*/snapshots","access":"all"}`).Code)
	refused("POST", role+"/privileges", `{"path":"/api/cluster","access":"all"}`, 409, "1")
	require.Equal(t, 200, ask(s, "PATCH", role+"/privileges/%2Fapi%2Fcluster", `{"access":"read_create"}`).Code)
	refused("PATCH", role+"/privileges/%2Fapi%2Fsvm", `{"access":"all"}`, 404, ontap.CodeNotFound)
	list := answered(t, ask(s, "GET", role+"/privileges", ""))
	require.Equal(t, 2.0, list["num_records"])
	require.Contains(t, ask(s, "GET", role+"/privileges/%2Fapi%2Fcluster", "").Body.String(), `"access": "read_create"`)
	require.Equal(t, 200, ask(s, "DELETE", role+"/privileges/%2Fapi%2Fcluster", "").Code)
	refused("DELETE", role+"/privileges/%2Fapi%2Fcluster", "", 404, ontap.CodeNotFound)
	require.Equal(t, 200, ask(s, "GET", role, "").Code)
	require.Equal(t, 200, ask(s, "DELETE", role, "").Code)
	require.Equal(t, 404, ask(s, "GET", role, "").Code)
	refused("DELETE", "/api/security/roles/"+svm+"/vsadmin", "", 409, "1263347")
	refused("POST", "/api/security/roles/"+svm+"/vsadmin/privileges", `{"path":"/api/svm","access":"all"}`, 409, "1263347")
}

// TestRolePathsOfReleases: a path that the release does not know is refused.
func TestRolePathsOfReleases(t *testing.T) {
	for path, span := range map[string]string{
		"/api": "", "/api/storage": "", "/api/storage/volumes": "", "/api/cluster/jobs": "", "/api/cluster/schedules": "", "/api/storage/luns": "",
		"/api/storage/volumes/*/snapshots": "", "/api/storage/volumes/*/files": "9.12.1", "/api/protocols/locks": "", "/api/support/ems": "",
		"/api/security/login/whoami": "9.19.1", "/api/storage/directory-restore": "9.15.1-9.16.1", "/api/snapmirror/relationships": "",
		"/api/storage/volumes/0ab4d7a4-1111-2222-3333-444455556666/snapshots": "",
		"/api/storage/volumes/0ab4d7a4-1111-2222-3333-444455556666/files":     "9.12.1",
		"/api/storage/qtrees/*": "9.99.1", "/api/nonsense": "9.99.1", "/storage": "9.99.1", "/api/storage/volumes/": "9.99.1", "/api/storage/nonsense": "9.99.1",
		"/api/storage/volumes/*": "9.99.1",
	} {
		for _, version := range Releases {
			f := gate{release(t, version)}.rolePath(path)
			require.Equal(t, has(version, span), f == nil, "%s on %s: %v", path, version, f)
			if f != nil {
				require.Contains(t, f.message, "Specified URI path is invalid or not supported")
			}
		}
	}
}

func TestAccountsOverREST(t *testing.T) {
	cfg := config(t)
	cfg.MaxFailedLogins = 3
	s, err := New(cfg)
	require.NoError(t, err)
	_, svm := s.UUIDs()
	account := "/api/security/accounts/" + svm + "/" + node
	body := `{"name":"node","owner":{"name":"svm1"},"role":"vsadmin","password":"` + secret + `","applications":[{"application":"http","authentication_methods":["password"]}]}`
	made := ask(s, "POST", "/api/security/accounts", body)
	require.Equal(t, 201, made.Code, made.Body)
	require.Equal(t, account, made.Header().Get("Location"))
	require.Equal(t, 409, ask(s, "POST", "/api/security/accounts", body).Code)
	for with, code := range map[string]string{
		`"role":"nobody"`: "1261215", `"password":"short"`: "7077919", `"password":""`: "262177",
		`"applications":[]`: "262177", `"applications":[{"application":"telepathy","authentication_methods":["password"]}]`: ontap.CodeInvalidValue,
		`"applications":[{"application":"http","authentication_methods":["magic"]}]`: ontap.CodeInvalidValue, `"owner":{"name":"svm9"}`: "13434893",
	} {
		member, _, _ := strings.Cut(with, ":")
		whole := map[string]json.RawMessage{}
		require.NoError(t, json.Unmarshal([]byte(strings.Replace(body, `"node"`, `"other"`, 1)), &whole))
		whole[strings.Trim(member, `"`)] = json.RawMessage(with[len(member)+1:])
		raw, err := json.Marshal(whole)
		require.NoError(t, err)
		code2, _ := refusal(t, ask(s, "POST", "/api/security/accounts", string(raw)).Body.Bytes())
		require.Equal(t, code, code2, with)
	}
	require.Equal(t, 200, as(s, node, secret, "GET", "/api/cluster", "").Code)
	shown := ask(s, "GET", account+"?fields=**", "").Body.String()
	require.Contains(t, shown, `"scope": "svm"`)
	require.NotContains(t, shown, secret)
	require.Equal(t, 409, ask(s, "DELETE", "/api/security/roles/"+svm+"/vsadmin", "").Code)

	// Too many wrong passwords lock the account; even the right one is refused then.
	for range 3 {
		require.Equal(t, 401, as(s, node, "wrong", "GET", "/api/cluster", "").Code)
	}
	require.Equal(t, 401, as(s, node, secret, "GET", "/api/cluster", "").Code)
	require.Contains(t, ask(s, "GET", account, "").Body.String(), `"locked": true`)
	require.Equal(t, 200, ask(s, "PATCH", account, `{"locked":false,"comment":"the nodes"}`).Code)
	require.Equal(t, 200, as(s, node, secret, "GET", "/api/cluster", "").Code)
	require.Equal(t, 200, ask(s, "PATCH", account, `{"password":"Another-Horse-8","role":{"name":"vsadmin-readonly"}}`).Code)
	require.Equal(t, 401, as(s, node, secret, "GET", "/api/cluster", "").Code)
	require.Equal(t, 403, as(s, node, "Another-Horse-8", "POST", "/api/security/roles", "{}").Code, "its role reads only")
	require.Equal(t, 400, ask(s, "PATCH", account, `{"name":"x"}`).Code)
	require.Equal(t, 400, ask(s, "PATCH", account, `{"role":"nobody"}`).Code)
	require.NoError(t, s.Close())
	state, err := os.ReadFile(cfg.StateFile)
	require.NoError(t, err)
	require.NotContains(t, string(state), "Horse")

	s, err = New(cfg)
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, 200, as(s, node, "Another-Horse-8", "GET", "/api/cluster", "").Code, "accounts survive a restart")
	require.Equal(t, 200, ask(s, "DELETE", account, "").Code)
	require.Equal(t, 404, ask(s, "DELETE", account, "").Code)
	require.Equal(t, 401, as(s, node, "Another-Horse-8", "GET", "/api/cluster", "").Code)
}

func TestAnSVMsAccountSeesItsSVM(t *testing.T) {
	s := release(t, "9.19.1", func(c *Config) { c.OtherSVMs = []string{"svm2"} })
	type typed struct{ line, says string }
	for _, x := range []typed{
		{"security login rest-role create -vserver svm2 -role r -api /api -access readonly", ""},
		{"security login create -vserver svm2 -user-or-group-name node -application http -authentication-method password -role r", ""},
	} {
		_, err := s.Shell(x.line, secret)
		require.NoError(t, err, x.line)
	}
	for path, want := range map[string]float64{"/api/svm/svms": 1, "/api/storage/volumes": 2, "/api/network/ip/interfaces": 1, "/api/security/roles": 3, "/api/security/accounts": 1} {
		require.Equal(t, want, answered(t, as(s, node, secret, "GET", path, ""))["num_records"], path)
	}
	volume, svm := s.UUIDs()
	require.Equal(t, 404, as(s, node, secret, "GET", "/api/svm/svms/"+svm, "").Code)
	require.Equal(t, 404, as(s, node, secret, "GET", "/api/storage/volumes/"+volume, "").Code)
	require.Contains(t, as(s, node, secret, "GET", "/api/security/login/whoami", "").Body.String(), `"username": "node"`)
}

func TestShell(t *testing.T) {
	s := release(t, "9.11.1", func(c *Config) { c.WebAccess = "explicit" })
	const role = "security login rest-role create -vserver svm1 -role berth "
	for _, x := range []struct{ line, refused, prints string }{
		{role + "-api /api/cluster -access readonly", "", ""},
		{role + "-api /api/cluster -access all", "duplicate entry", ""},
		{role + "-api /api/storage/volumes/*/files -access all", "Specified URI path is invalid or not supported", ""},
		{role + "-api /api/svm -access write", "invalid", ""},
		{role + "-api /api/svm", "Missing value for -access", ""},
		{role + "-api", "Missing value for -api", ""},
		{role + "-api /api/svm -api /api -access all", "-api was specified twice", ""},
		{role + "-colour red", `invalid argument "-colour"`, ""},
		{"security login rest-role modify -vserver svm1 -role berth -api /api/cluster -access all", "", ""},
		{"security login rest-role show -vserver svm1 -role berth", "", "svm1 berth /api/cluster all\n"},
		{"security login rest-role modify -vserver svm1 -role berth -api /api/svm -access all", "entry doesn't exist", ""},
		{"security login rest-role delete -vserver svm1 -role berth -api /api/svm", "entry doesn't exist", ""},
		{"security login create -vserver svm1 -user-or-group-name node -application http -authentication-method password -role berth", "", ""},
		{"security login create -vserver svm1 -user-or-group-name node -application http -authentication-method password -role berth", "duplicate entry", ""},
		{"security login create -vserver svm1 -user-or-group-name node -application http -authentication-method cert -role berth", "", ""},
		{"security login create -vserver svm1 -user-or-group-name x -application http -authentication-method cert -role nobody", "The role was not found", ""},
		{"security login show -vserver svm1", "", "svm1 node http password,certificate berth no\n"},
		{"security login delete -vserver svm1 -user-or-group-name node -application http -authentication-method cert", "", ""},
		{"security login rest-role delete -vserver svm1 -role berth -api /api/cluster", "User accounts detected", ""},
		{"vserver services web access create -vserver svm1 -name rest -role nobody", "The role was not found", ""},
		{"vserver services web access show", "", "There are no entries matching your query.\n"},
		{"volume modify -vserver svm1 -volume v -snapdir-access maybe", "invalid", ""},
		{"volume modify -vserver svm1 -volume v -snapshot-locking-enabled true", "Unexpected argument", ""},
		{"volume modify -vserver svm1 -volume w -snapdir-access true", "entry doesn't exist", ""},
		{"volume modify -vserver svm9 -volume v -snapdir-access true", `"svm9" does not exist`, ""},
		{`volume modify -vserver svm1 -volume v -comment "two words"`, "", ""},
		{`volume modify -vserver svm1 -volume v -comment "two`, "a quote is not closed", ""},
		{"network interface show -vserver svm1 -services data-nfs", "", "svm1 svm1_nfs1 127.0.0.1/up\n"},
		{"network interface show -vserver svm1 -services management-https", "", "There are no entries matching your query.\n"},
		{"rm -rf /", `"rm" is not a recognized command`, ""},
		{"", `"" is not a recognized command`, ""},
	} {
		out, err := s.Shell(x.line, secret)
		if x.refused != "" {
			require.ErrorContains(t, err, x.refused, x.line)
			require.ErrorContains(t, err, "Error: ")
			continue
		}
		require.NoError(t, err, x.line)
		require.Equal(t, x.prints, out, x.line)
	}
	volume, _ := s.UUIDs()
	require.Contains(t, ask(s, "GET", "/api/storage/volumes/"+volume+"?fields=comment", "").Body.String(), `"comment": "two words"`)

	// A custom role logs in only after its line for the web service, where the
	// cluster wants one.
	require.Equal(t, 403, as(s, node, secret, "GET", "/api/cluster", "").Code)
	_, err := s.Shell("vserver services web access create -vserver svm1 -name rest -role berth", "")
	require.NoError(t, err)
	require.Equal(t, 200, as(s, node, secret, "GET", "/api/cluster", "").Code)
	_, err = s.Shell("vserver services web access delete -vserver svm1 -name rest -role berth", "")
	require.NoError(t, err)
	require.Equal(t, 403, as(s, node, secret, "GET", "/api/cluster", "").Code)
	_, err = s.Shell("security login password -vserver svm1 -username node", "Another-Horse-8")
	require.NoError(t, err)
	require.Equal(t, 401, as(s, node, secret, "GET", "/api/cluster", "").Code)
}

// TestShellShowsAndHidesSnapshots: the two commands that berth names really do it.
func TestShellShowsAndHidesSnapshots(t *testing.T) {
	for _, version := range []string{"9.11.1", "9.19.1"} {
		s := release(t, version)
		at := filepath.Join(s.cfg.Root, ".snapshot")
		for _, line := range []string{
			"volume modify -vserver svm1 -volume v -snapdir-access %s",
			"vserver nfs modify -vserver svm1 -v3-hide-snapshot %s",
		} {
			off, on := "false", "true"
			if strings.Contains(line, "hide") {
				off, on = "enabled", "disabled"
			}
			require.DirExists(t, at)
			_, err := s.Shell(strings.Replace(line, "%s", off, 1), "")
			require.NoError(t, err)
			require.NoDirExists(t, at)
			_, err = s.Shell(strings.Replace(line, "%s", on, 1), "")
			require.NoError(t, err)
			require.DirExists(t, at)
		}
	}
}

// TestTheRoleFileIsMadeOnEveryRelease pastes the file as an administrator does, and
// says which lines each release refuses.
func TestTheRoleFileIsMadeOnEveryRelease(t *testing.T) {
	refuses := map[string][]string{}
	for _, version := range Releases {
		s := release(t, version)
		f, err := os.Open("../../deploy/ontap/berth-role.txt")
		require.NoError(t, err)
		typed, err := s.Paste(f, secret)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.NotEmpty(t, typed)
		for _, x := range typed {
			if x.Err == nil {
				continue
			}
			require.ErrorContains(t, x.Err, "Specified URI path is invalid or not supported", "%s: %s", version, x.Command)
			_, path, _ := strings.Cut(x.Command, "-api ")
			path, _, _ = strings.Cut(path, " ")
			refuses[version] = append(refuses[version], path)
		}
		require.Equal(t, 200, as(s, "berth", secret, "GET", "/api/cluster", "").Code, version)
		require.Equal(t, 403, as(s, "berth", secret, "GET", "/api/storage/aggregates", "").Code, version)
	}
	for _, version := range Releases {
		for _, path := range refuses[version] {
			require.False(t, has(version, since().Calls[strings.TrimPrefix(path, "/api")]) && has(version, since().RolePaths[path]), "%s refuses %s", version, path)
		}
	}
	require.Contains(t, refuses["9.18.1"], "/api/security/login/whoami")
	require.NotContains(t, refuses["9.19.1"], "/api/security/login/whoami")
}

func TestEveryCommandHasItsOptions(t *testing.T) {
	s := release(t, "")
	for _, name := range Commands() {
		_, err := s.Shell(name+" -nonsense x", "")
		require.ErrorContains(t, err, `invalid argument "-nonsense"`, name)
	}
}

func TestParseRoleFollowsModifyAndDelete(t *testing.T) {
	line := func(verb, rest string) string { return "security login rest-role " + verb + " -role r " + rest + "\n" }
	role, err := ParseRole(strings.NewReader("# a comment\n\nvserver services web access create -name rest -role r\n" + line("create", "-api /api/cluster -access readonly") + line("create", "-api /api/svm -access all") +
		line("modify", "-api /api/svm -access readonly") + line("delete", "-api /api/cluster")))
	require.NoError(t, err)
	require.Equal(t, []ontap.Privilege{{Path: "/api/svm", Access: ontap.AccessReadonly}}, role)
	for _, bad := range []string{
		line("create", "-api /api/a -access all") + line("create", "-api /api/a -access none"),
		line("modify", "-api /api/a -access all"), line("delete", "-api /api/a"), line("create", "-api /storage -access all"), line("create", "-api /api -access write"),
	} {
		_, err := ParseRole(strings.NewReader(bad))
		require.ErrorContains(t, err, "role: line ", bad)
	}
}

// TestLoginByCertificate: a certificate of the clients' authority logs in as the
// account of its common name.
func TestLoginByCertificate(t *testing.T) {
	dir := t.TempDir()
	authority, authorityKey := issue(t, "clients", nil, nil)
	stranger, strangerKey := issue(t, "strangers", nil, nil)
	clientCA, ca := filepath.Join(dir, "clients.pem"), filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(clientCA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw}), 0o600))
	s := release(t, "", func(c *Config) { c.ClientCAFile = clientCA })
	require.NoError(t, s.Listen("127.0.0.1:0", ca))
	for _, line := range []string{
		"security login rest-role create -vserver svm1 -role berth -api /api/cluster -access readonly",
		"security login create -vserver svm1 -user-or-group-name node1 -application http -authentication-method cert -role berth",
		"security login create -vserver svm1 -user-or-group-name typist -application http -authentication-method password -role berth",
	} {
		_, err := s.Shell(line, secret)
		require.NoError(t, err)
	}
	roots := x509.NewCertPool()
	raw, err := os.ReadFile(ca)
	require.NoError(t, err)
	require.True(t, roots.AppendCertsFromPEM(raw))
	get := func(name string, by *x509.Certificate, key *ecdsa.PrivateKey, password string) (int, error) {
		settings := &tls.Config{RootCAs: roots}
		if by != nil {
			leaf, leafKey := issue(t, name, by, key)
			one := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey}
			// Whatever authorities the server names: Go would keep the certificate back.
			settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &one, nil }
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: settings}}
		defer client.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+s.Address()+"/api/cluster", nil)
		require.NoError(t, err)
		if password != "" {
			req.SetBasicAuth(name, password)
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	for _, c := range []struct {
		name     string
		by       *x509.Certificate
		key      *ecdsa.PrivateKey
		password string
		want     int
	}{
		{"node1", authority, authorityKey, "", 200},
		{"node2", authority, authorityKey, "", 401},
		{"typist", authority, authorityKey, "", 401}, // its method is the password
		{"typist", nil, nil, secret, 200},            // and nobody needs a certificate
		{"node1", nil, nil, "", 401},
		{"node1", nil, nil, secret, 401},
	} {
		got, err := get(c.name, c.by, c.key, c.password)
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%+v", c)
	}
	_, err = get("node1", stranger, strangerKey, "")
	require.Error(t, err, "TLS refuses a certificate of another authority")

	cfg := config(t)
	for _, bad := range []string{filepath.Join(dir, "absent"), cfg.PasswordFile} {
		cfg.ClientCAFile = bad
		s, err := New(cfg)
		require.NoError(t, err)
		require.ErrorContains(t, s.Listen("127.0.0.1:0", ""), "client authorities")
		require.NoError(t, s.Close())
	}
}

// issue makes a certificate, by itself an authority if by is nil.
func issue(t *testing.T, name string, by *x509.Certificate, byKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if by == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage, template.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
		by, byKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, byKey)
	require.NoError(t, err)
	out, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return out, key
}
