package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdEngine starts a Docker engine that answers from a JSON file, by path: the
// answers are those of the engine's API.
//
//	engine FILE
func cmdEngine(ts *testscript.TestScript, _ bool, args []string) {
	socket := ts.MkAbs("docker.sock")
	if ts.Getenv("DOCKER_HOST") == "" {
		listener, err := net.Listen("unix", socket)
		ts.Check(err)
		ts.Defer(func() { listener.Close() })
		ts.Setenv("DOCKER_HOST", "unix://"+socket)
		go func() { _ = http.Serve(listener, engine(ts.MkAbs("engine.json"))) }()
	}
	ts.Check(os.WriteFile(ts.MkAbs("engine.json"), []byte(ts.ReadFile(args[0])), 0o600))
}

// engine answers from a file that may change.
type engine string

func (file engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.44")
	w.Header().Set("Content-Type", "application/json")
	path := r.URL.Path[strings.LastIndex(r.URL.Path, "/"):]
	if path == "/_ping" {
		return
	}
	text, err := os.ReadFile(string(file))
	var answers map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(text, &answers)
	}
	if err != nil || answers[path] == nil {
		http.Error(w, `{"message":"page not found"}`, http.StatusNotFound)
		return
	}
	_, _ = w.Write(answers[path])
}
