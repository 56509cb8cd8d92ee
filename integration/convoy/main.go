// Command convoy stands in for Rancher Convoy's daemon in tests: a Docker
// volume plugin of the old kind that keeps directories on a share, with
// Convoy's files and Convoy's habits.
//
//	convoy SHARE SOCKET
//
// Its process id is in SOCKET.pid.
//
// Its habits, as seen of v0.5: Create of a name that has a record succeeds and
// looks at nothing else, and adopts a directory that is there. Remove keeps the
// directory and removes the record, which is every node's. Mount and Unmount
// only write the record. A record that cannot be read makes List fail for all.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "convoy:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: convoy SHARE SOCKET")
	}
	if err := os.MkdirAll(filepath.Join(args[0], "config"), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(args[1]), 0o755); err != nil {
		return err
	}
	_ = os.Remove(args[1])
	l, err := net.Listen("unix", args[1])
	if err != nil {
		return err
	}
	pid := fmt.Sprintln(os.Getpid())
	if err := os.WriteFile(args[1]+".pid", []byte(pid), 0o644); err != nil {
		return err
	}
	return http.Serve(l, routes(share(args[0])))
}

// share is the directory that has the volumes.
type share string

// record is config/vfs_volume_NAME.json.
type record struct {
	Name         string
	Size         int64
	Path         string
	MountPoint   string
	PrepareForVM bool
	CreatedTime  string
	Snapshots    map[string]struct{}
}

// request is of any verb, answer to any.
type (
	request struct{ Name string }
	answer  struct {
		Err          string
		Implements   []string          `json:",omitempty"`
		Capabilities map[string]string `json:",omitempty"`
		Mountpoint   string            `json:",omitempty"`
		Volume       *shown            `json:",omitempty"`
		Volumes      []shown           `json:",omitempty"`
	}
	shown struct{ Name, Mountpoint string }
)

func routes(s share) http.Handler {
	mux := http.NewServeMux()
	for verb, act := range map[string]func(name string) (answer, error){
		"Plugin.Activate":           func(string) (answer, error) { return answer{Implements: []string{"VolumeDriver"}}, nil },
		"VolumeDriver.Capabilities": func(string) (answer, error) { return answer{Capabilities: map[string]string{"Scope": "local"}}, nil },
		"VolumeDriver.Create":       func(name string) (answer, error) { return answer{}, s.create(name) },
		"VolumeDriver.Remove":       func(name string) (answer, error) { return answer{}, s.remove(name) },
		"VolumeDriver.Mount":        func(name string) (answer, error) { return s.mount(name, filepath.Join(string(s), name)) },
		"VolumeDriver.Unmount":      func(name string) (answer, error) { return s.mount(name, "") },
		"VolumeDriver.Path":         s.path,
		"VolumeDriver.Get":          s.get,
		"VolumeDriver.List":         func(string) (answer, error) { return s.list() },
	} {
		mux.HandleFunc("/"+verb, func(w http.ResponseWriter, r *http.Request) {
			var req request
			_ = json.NewDecoder(r.Body).Decode(&req) // some verbs have no body
			a, err := act(req.Name)
			if err != nil {
				a = answer{Err: err.Error()}
			}
			_ = json.NewEncoder(w).Encode(a)
		})
	}
	return mux
}

func (s share) file(name string) string {
	return filepath.Join(string(s), "config", "vfs_volume_"+name+".json")
}

func (s share) read(name string) (r record, err error) {
	data, err := os.ReadFile(s.file(name))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	return r, err
}

// write is not atomic: the file is absent for a moment.
func (s share) write(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := s.file(r.Name) + ".tmp"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o644); err != nil {
		return err
	}
	_ = os.Remove(s.file(r.Name))
	return os.Rename(tmp, s.file(r.Name))
}

func (s share) create(name string) error {
	if _, err := os.Stat(s.file(name)); err == nil {
		return nil
	}
	dir := filepath.Join(string(s), name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return s.write(record{Name: name, Path: dir, CreatedTime: time.Now().Format(time.RubyDate), Snapshots: map[string]struct{}{}})
}

func (s share) remove(name string) error {
	if err := os.Remove(s.file(name)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

func (s share) mount(name, mountpoint string) (answer, error) {
	r, err := s.read(name)
	if err != nil {
		return answer{}, err
	}
	r.MountPoint = mountpoint
	return answer{Mountpoint: r.MountPoint}, s.write(r)
}

func (s share) path(name string) (answer, error) {
	r, err := s.read(name)
	return answer{Mountpoint: r.MountPoint}, err
}

func (s share) get(name string) (answer, error) {
	r, err := s.read(name)
	return answer{Volume: &shown{r.Name, r.MountPoint}}, err
}

func (s share) list() (a answer, err error) {
	files, err := filepath.Glob(s.file("*"))
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "vfs_volume_"), ".json")
		r, err := s.read(name)
		if err != nil {
			return answer{}, err
		}
		a.Volumes = append(a.Volumes, shown{r.Name, r.MountPoint})
	}
	return a, err
}
