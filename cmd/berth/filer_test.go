package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
	"github.com/casit/berth/ontap/simulator/simulatortest"
)

// cmdFiler starts a simulated filer and sets BERTH_ONTAP and BERTH_EXPORT.
//
//	filer [ROLE-FILE] [lacks=PATH]   the user's role, without one of its lines
//
// Without a role, client.pem and client.key log the user client in.
func cmdFiler(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs("flexvol")
	ts.Check(os.MkdirAll(dir, 0o755))
	password, ca := ts.MkAbs("password"), ts.MkAbs("ca.pem")
	ts.Check(os.WriteFile(password, []byte("s3cret-Horse\n"), 0o600))
	cfg := simulator.Config{Root: dir, SVM: "svm1", Volume: "docker_vols", Junction: "/docker_vols", User: "berth", PasswordFile: password, Version: simulatortest.Release(ts)}
	cfg.ClientCAFile, _ = simulatortest.KeyPair(ts, ts.MkAbs("."), "client")
	for _, a := range args {
		if path, ok := strings.CutPrefix(a, "lacks="); ok {
			kept := []ontap.Privilege{}
			for _, p := range cfg.Role {
				if p.Path != path {
					kept = append(kept, p)
				}
			}
			cfg.Role = kept
			continue
		}
		f, err := os.Open(filepath.Join(ts.Getenv("PROJECT"), a))
		ts.Check(err)
		cfg.Role, err = simulator.ParseRole(f)
		ts.Check(err)
		f.Close()
	}
	sim, err := simulator.New(cfg)
	ts.Check(err)
	ts.Defer(func() { sim.Close() })
	ts.Check(sim.Listen("127.0.0.1:0", ca))
	if cfg.Role == nil {
		simulatortest.AddCertificateUser(ts, sim, "berth", "s3cret-Horse", "client", "admin")
	}
	for k, v := range map[string]string{"BERTH_EXPORT": "nfs://127.0.0.1/docker_vols?port=1&mountport=1", "BERTH_ONTAP": sim.Address(),
		"BERTH_ONTAP_USER": "berth", "BERTH_ONTAP_PASSWORD_FILE": password, "BERTH_ONTAP_CA": ca} {
		ts.Setenv(k, v)
	}
}
