package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/casit/berth/docker/dockertest"
)

// cmdEngine starts a Docker engine that answers from a JSON file, by path: the
// answers are those of the engine's API. A second file replaces the answers.
//
//	engine FILE
func cmdEngine(ts *testscript.TestScript, _ bool, args []string) {
	var answers map[string]json.RawMessage
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &answers))
	dir, err := os.MkdirTemp("", "e") // a socket's path must be short
	ts.Check(err)
	ts.Defer(func() { _ = os.RemoveAll(dir) })
	e, err := dockertest.New(filepath.Join(dir, "s"))
	ts.Check(err)
	ts.Defer(e.Close)
	for path, body := range answers {
		e.Answer(path, string(body))
	}
	ts.Setenv("DOCKER_HOST", e.Host())
}
