package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/doctor"
)

// cmdFinds runs `berth doctor` and requires that the named checks, and no other
// but those of the engine, are not ok, and that what is to be typed matches.
//
//	warns 'CHECK...' NEXT [FLAG...]
//	fails 'CHECK...' NEXT [FLAG...]
func cmdFinds(state doctor.State) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		_ = ts.Exec("berth", append([]string{"doctor", "--json"}, args[2:]...)...) // its exit code is in the findings
		var r doctor.Report
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &r))
		var bad []string
		next := regexp.MustCompile(args[1])
		typed := false
		for _, f := range r.Findings {
			if f.State == doctor.OK || f.Check == "engine" {
				continue
			}
			if bad = append(bad, f.Check); f.State != state {
				ts.Fatalf("%s: %s, want %s: %s", f.Check, f.State, state, f.Evidence)
			}
			typed = typed || next.MatchString(f.Next)
		}
		if !slices.Equal(bad, strings.Fields(args[0])) || !typed {
			ts.Fatalf("found %v: %s", bad, ts.ReadFile("stdout"))
		}
	}
}

func TestReportIsPrinted(t *testing.T) {
	r := doctor.Report{Unasked: []string{"probe", "space"}}
	r.Add("node", doctor.Finding{Check: "plugin", State: doctor.OK, Evidence: "it is enabled"})
	r.Add("export", doctor.Finding{Check: "portmap", State: doctor.Warn, Next: "systemctl start rpcbind.socket rpcbind.service rpc-statd.service and then look again",
		Evidence: "the lock manager of filer.example.edu is not registered with its rpcbind, so two servers on one file do not notice each other"},
		doctor.Finding{Check: "mount", State: doctor.Fail, Evidence: "a name \x1b[31m that plays with terminals", Next: "ping filer"})
	print := func(a *app) (string, error) {
		var out bytes.Buffer
		a.stdout = &out
		err := showReport(a, &r)
		return out.String(), err
	}
	out, err := print(&app{})
	require.Equal(t, 2, err.(*examined).code)
	require.Equal(t, `STATE CHECK    EVIDENCE
node
ok    plugin   it is enabled
export
warn  portmap  the lock manager of filer.example.edu is not registered with its rpcbind, so two
               servers on one file do not notice each other
               next: systemctl start rpcbind.socket rpcbind.service rpc-statd.service and then look again
FAIL  mount    "a name \x1b[31m that plays with terminals"
               next: ping filer
3 checks: 1 ok, 1 warn, 1 fail; not looked at, for lack of what they need: probe, space
`, out)
	out, _ = print(&app{quiet: true})
	require.Equal(t, "portmap\nmount\n", out)
	out, _ = print(&app{json: true})
	require.Contains(t, out, `"summary": {
    "fail": 1,
    "ok": 1,
    "warn": 1
  }`)
	r.Findings = r.Findings[:2]
	_, err = print(&app{})
	require.Equal(t, 1, err.(*examined).code)
	r.Findings = r.Findings[:1]
	_, err = print(&app{})
	require.NoError(t, err)
}

// An older plugin does not know the question.
func TestDoctorOfAnOlderPlugin(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("/Berth.Version", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"version":"0.0.1"}`) })
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)
	defer srv.Close()
	t.Setenv("DOCKER_HOST", "unix://"+socket+".none")
	t.Setenv("BERTH_SETTINGS", socket+".env")
	t.Setenv("BERTH_EXPORT", "file:///proc")
	var out, talk bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"doctor", "--socket", socket}, nil, &out, &talk))
	require.Regexp(t, `(?m)^warn +plugin +'berth serve', version 0\.0\.1 answers`, out.String())
	require.Regexp(t, `(?m)^ok +export +/proc is on /proc`, out.String())
	require.Contains(t, out.String(), "not looked at")
	require.Empty(t, talk.String())
}
