package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
)

const (
	defaultSocket = "/run/docker/plugins/berth.sock"
	// managedSockets is where dockerd keeps the sockets of managed plugins,
	// each in a directory named by the plugin's id.
	managedSockets = "/run/docker/plugins/*/berth.sock"
)

var errNotRoot = &plugin.Failure{Kind: problem.Unreachable, Reason: "berth's socket is root's alone", Hint: "type it again with sudo"}

// findSocket returns the socket that is named, or the first one that answers.
func findSocket(named string) (string, error) {
	if named != "" {
		if err := knock(named); err != nil {
			return "", noPlugin(fmt.Sprintf("no berth answers on %s: %v", named, err))
		}
		return named, nil
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
