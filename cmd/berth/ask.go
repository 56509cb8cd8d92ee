package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf16"

	"golang.org/x/term"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/text"
)

const (
	defaultSocket = "/run/docker/plugins/berth.sock"
	// managedSockets is where dockerd keeps the sockets of managed plugins,
	// each in a directory named by the plugin's id.
	managedSockets = "/run/docker/plugins/*/berth.sock"
)

// ask sends one request to the running plugin.
func ask[Resp any](ctx context.Context, a *app, route string, req any) (Resp, error) {
	var resp Resp
	socket, err := a.findSocket()
	if err != nil {
		return resp, err
	}
	err = a.client(socket).Call(ctx, route, req, &resp)
	return resp, err
}

// client is who asks the plugin on a socket, and in which zone.
func (a *app) client(socket string) *plugin.Client {
	c := plugin.NewClient(socket, callerName())
	_, c.Zone = a.zone()
	return c
}

// zone is the one in which times are typed and printed, and how the plugin is
// told.
func (a *app) zone() (*time.Location, string) {
	if a.utc {
		return time.UTC, "UTC"
	}
	return zoneHere(os.LookupEnv, "/etc/localtime")
}

var errNotRoot = &plugin.Failure{Kind: problem.Unreachable, Reason: "berth's socket is root's alone", Hint: "type it again with sudo"}

// findSocket returns the socket that is named, or the first one that answers.
func (a *app) findSocket() (string, error) {
	if a.socket != "" {
		if err := knock(a.socket); err != nil {
			return "", noPlugin(fmt.Sprintf("no berth answers on %s: %v", a.socket, err))
		}
		return a.socket, nil
	}
	settings, _ := plugin.LoadSettings(settingsFile(), os.Getenv)
	managed, _ := filepath.Glob(managedSockets)
	var denied error
	for _, s := range append([]string{settings.Socket, defaultSocket}, managed...) {
		if s == "" {
			continue
		}
		err := knock(s)
		if err == nil {
			return s, nil
		}
		if errors.Is(err, os.ErrPermission) {
			denied = err
		}
	}
	if denied != nil || os.Geteuid() != 0 && len(managed) == 0 {
		return "", errNotRoot
	}
	return "", noPlugin("no berth plugin answers on this node")
}

func noPlugin(reason string) error {
	return &plugin.Failure{Kind: problem.Unreachable, Reason: reason,
		Hint: "'docker plugin ls' shows whether it is enabled, 'docker plugin enable berth' enables it"}
}

func knock(socket string) error {
	c, err := net.DialTimeout("unix", socket, 2*time.Second)
	if err != nil {
		var sys syscall.Errno
		if errors.As(err, &sys) {
			return sys
		}
		return err
	}
	return c.Close()
}

// callerName is who types, for the audit trail: the person behind sudo.
func callerName() string {
	if who := os.Getenv("SUDO_USER"); who != "" {
		return who
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// confirm lets a person on a terminal agree to what cannot be taken back;
// elsewhere --yes has to be given.
func (a *app) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	in, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return &usageError{question + ": not without being asked to", "add --yes, or --dry-run to see what would happen"}
	}
	fmt.Fprintf(a.stderr, "%s? [y/N] ", question)
	line, _ := bufio.NewReader(in).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return &plugin.Failure{Kind: problem.Failed, Reason: "nothing was changed"}
	}
	return nil
}

// printJSON prints v as the command's data.
func (a *app) printJSON(v any) error {
	return a.encode(v, "  ")
}

// encode prints JSON. Characters that would harm a terminal are escaped, which
// to who reads JSON is the same.
func (a *app) encode(v any, indent string) error {
	var raw bytes.Buffer
	enc := json.NewEncoder(&raw)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	var out strings.Builder
	for _, r := range raw.String() {
		if r == '\n' || text.Visible(string(r)) == string(r) {
			out.WriteRune(r)
			continue
		}
		for _, half := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, half)
		}
	}
	_, err := io.WriteString(a.stdout, out.String())
	return err
}
