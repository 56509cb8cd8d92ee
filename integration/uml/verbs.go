package uml

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"
)

// Verbs are requests to the host's volume plugin, sent all at once.
type Verbs struct {
	Verb   string // such as VolumeDriver.Mount
	Bodies []string
}

// Verbs sends requests from the host itself, as its engine does; over the
// engine, every one of them would need a container.
func (a *Agent) Verbs(v Verbs, answers *[]string) error {
	sockets, err := filepath.Glob("/run/docker/plugins/*/berth.sock")
	if err != nil || len(sockets) != 1 {
		return fmt.Errorf("not one plugin's socket: %v %w", sockets, err)
	}
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", sockets[0])
		},
	}}
	defer client.CloseIdleConnections()
	*answers = make([]string, len(v.Bodies))
	var all errgroup.Group
	for i, body := range v.Bodies {
		all.Go(func() error {
			r, err := client.Post("http://plugin/"+v.Verb, "application/json", bytes.NewBufferString(body))
			if err != nil {
				return err
			}
			defer r.Body.Close()
			text, err := io.ReadAll(r.Body)
			(*answers)[i] = string(text)
			return err
		})
	}
	return all.Wait()
}

// Verbs sends requests to the host's plugin, all at once, and returns the
// decoded answers.
func (h *Host) Verbs(t testing.TB, verb string, bodies []string) []map[string]any {
	t.Helper()
	var texts []string
	if err := h.agent.Call("Agent.Verbs", Verbs{verb, bodies}, &texts); err != nil {
		t.Fatalf("%s: %s: %v", h.Name, verb, err)
	}
	answers := make([]map[string]any, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal([]byte(text), &answers[i]); err != nil {
			t.Fatalf("%s: %s answered %q", h.Name, verb, text)
		}
	}
	return answers
}
