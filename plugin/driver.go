package plugin

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	docker "github.com/docker/go-plugins-helpers/volume"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// dockerd waits two minutes for Create and Mount, and one minute for the other
// verbs. Our limits are shorter, so that users read our words and no timeout.
const (
	longLimit  = 100 * time.Second
	noLimit    = 0 // the caller's patience
	shortLimit = 45 * time.Second
	// noAnswerLimit is longer than dockerd's limit.
	noAnswerLimit = 3 * time.Minute
)

// errNoAnswer ends a request without an answer. dockerd reads an error from Get as
// "does not exist", which only the export can say.
var errNoAnswer = errors.New("the export cannot be asked; no answer is better than a wrong one")

// Requests as dockerd sends them, with the names for the log.
type (
	createRequest  docker.CreateRequest
	removeRequest  docker.RemoveRequest
	getRequest     docker.GetRequest
	pathRequest    docker.PathRequest
	mountRequest   docker.MountRequest
	unmountRequest docker.UnmountRequest
)

func (r createRequest) logName() (string, string)  { return r.Name, "" }
func (r removeRequest) logName() (string, string)  { return r.Name, "" }
func (r getRequest) logName() (string, string)     { return r.Name, "" }
func (r pathRequest) logName() (string, string)    { return r.Name, "" }
func (r mountRequest) logName() (string, string)   { return r.Name, r.ID }
func (r unmountRequest) logName() (string, string) { return r.Name, r.ID }

// handler has all routes of the socket.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/Plugin.Activate", route(s, "Activate", shortLimit, true, s.activate))
	mux.HandleFunc("/VolumeDriver.Capabilities", route(s, "Capabilities", shortLimit, true, s.capabilities))
	mux.HandleFunc("/VolumeDriver.Create", route(s, "Create", longLimit, false, inSession(s, s.create)))
	mux.HandleFunc("/VolumeDriver.Remove", route(s, "Remove", shortLimit, false, inSession(s, s.remove)))
	mux.HandleFunc("/VolumeDriver.Get", route(s, "Get", noAnswerLimit, true, inSession(s, s.get)))
	mux.HandleFunc("/VolumeDriver.List", route(s, "List", shortLimit, true, inSession(s, s.list)))
	mux.HandleFunc("/VolumeDriver.Path", route(s, "Path", shortLimit, true, inSession(s, s.path)))
	mux.HandleFunc("/VolumeDriver.Mount", route(s, "Mount", longLimit, false, inSession(s, s.mount)))
	mux.HandleFunc("/VolumeDriver.Unmount", route(s, "Unmount", shortLimit, false, inSession(s, s.unmount)))
	s.operatorRoutes(mux)
	return mux
}

type manifest struct{ Implements []string }

func (s *Server) activate(context.Context, Empty) (manifest, error) {
	return manifest{[]string{"VolumeDriver"}}, nil
}

func (s *Server) capabilities(context.Context, Empty) (docker.CapabilitiesResponse, error) {
	return docker.CapabilitiesResponse{Capabilities: docker.Capability{Scope: "global"}}, nil
}

func (s *Server) create(ctx context.Context, ss *session, r createRequest) (Empty, error) {
	return Empty{}, ss.store.Create(ctx, r.Name, r.Options)
}

func (s *Server) remove(ctx context.Context, ss *session, r removeRequest) (Empty, error) {
	return Empty{}, ss.store.Remove(ctx, r.Name)
}

func (s *Server) get(ctx context.Context, ss *session, r getRequest) (docker.GetResponse, error) {
	i, err := ss.lookup(ctx, r.Name)
	if err != nil {
		return docker.GetResponse{}, err
	}
	v := &docker.Volume{Name: i.Name, Mountpoint: ss.mountpoint(i.Path), Status: status(i)}
	if !i.Created.IsZero() {
		v.CreatedAt = i.Created.Format(time.RFC3339)
	}
	return docker.GetResponse{Volume: v}, nil
}

// lookup asks for a volume until the export has answered. An unknown name gets
// no answer before that.
func (ss *session) lookup(ctx context.Context, name string) (*volume.Info, error) {
	for {
		var i *volume.Info
		err := guard.Run(func() (err error) {
			i, err = ss.store.Get(ctx, name)
			return err
		})
		if err == nil || problem.KindOf(err) == problem.NotFound || problem.KindOf(err) == problem.Invalid {
			return i, err
		}
		if !pause(ctx, time.Second) {
			return nil, errors.Join(errNoAnswer, err)
		}
	}
}

// status is the Status of `docker volume inspect`.
func status(i *volume.Info) map[string]any {
	st := map[string]any{
		"options": i.Options,
		"path":    i.Path,
		"health":  i.Health,
		"used_by": i.Users,
	}
	if i.Adopted {
		st["adopted"] = true
	}
	if !i.Created.IsZero() {
		st["created"] = i.Created.Format(time.RFC3339)
	}
	if i.Newest != "" {
		st["newest_snapshot"] = i.Newest
	}
	return st
}

// mountpoint is the path on this node of a path below the export, "" if the
// export is not mounted here.
func (ss *session) mountpoint(below string) string {
	root, _ := ss.mounts.Current()
	if root == "" {
		return ""
	}
	return filepath.Join(root, below)
}

func (s *Server) list(ctx context.Context, ss *session, _ Empty) (docker.ListResponse, error) {
	names, err := ss.store.List(ctx)
	if err != nil {
		return docker.ListResponse{}, err
	}
	root, _ := ss.mounts.Current()
	out := docker.ListResponse{Volumes: make([]*docker.Volume, len(names))}
	for i, n := range names {
		v := &docker.Volume{Name: n}
		if root != "" {
			v.Mountpoint = filepath.Join(root, n)
		}
		out.Volumes[i] = v
	}
	return out, nil
}

func (s *Server) path(ctx context.Context, ss *session, r pathRequest) (docker.PathResponse, error) {
	i, err := ss.lookup(ctx, r.Name)
	if err != nil {
		return docker.PathResponse{}, err
	}
	return docker.PathResponse{Mountpoint: ss.mountpoint(i.Path)}, nil
}

// mount answers with the path of a volume below the node's mount of the export.
func (s *Server) mount(ctx context.Context, ss *session, r mountRequest) (docker.MountResponse, error) {
	at, err := ss.attach(ctx, r.Name)
	if err != nil {
		return docker.MountResponse{}, err
	}
	again := !byDockerd(ctx) && ss.store.Cluster.Claims(r.Name)[r.ID].Count > 0
	m, err := ss.store.Mount(ctx, r.Name, r.ID, at.generation)
	if err != nil {
		return docker.MountResponse{}, err
	}
	if again {
		// podman counts by itself and has one id for all; it asks again when it
		// has lost its count. Only dockerd has two uses under one id (docker cp).
		if err := ss.store.Unmount(ctx, r.Name, r.ID); err != nil {
			return docker.MountResponse{}, err
		}
	}
	if err := ss.mounts.DropStaleName(ctx, at.root, m.Path, m.FileID); err != nil {
		return docker.MountResponse{}, errors.Join(err, ss.store.Unmount(context.WithoutCancel(ctx), r.Name, r.ID))
	}
	return docker.MountResponse{Mountpoint: ss.pathOf(ctx, at, m)}, nil
}

// attached is the node's mount of the export that a Mount answers with.
type attached struct {
	fsys       tree.FS
	root       string
	generation int
}

// attach makes sure that the export is mounted here, read-only for a view.
func (ss *session) attach(ctx context.Context, name string) (at attached, err error) {
	ref, err := volume.ParseRef(name)
	if err != nil {
		return at, err
	}
	if at.fsys, err = ss.settledFS(ctx); err != nil {
		return at, err
	}
	src, err := ss.plane(ctx, at.fsys)
	if err == nil {
		at.root, at.generation, err = ss.mounts.Ensure(ctx, src, ref.Snapshot != "")
	}
	return at, err
}

// settledFS is the export for a Mount. While it is not known whether another process
// has this node's name, it waits as long as ctx lets it, since dockerd starts a
// container once.
func (ss *session) settledFS(ctx context.Context) (tree.FS, error) {
	for {
		fsys, err := ss.store.FS(ctx)
		end, bounded := ctx.Deadline()
		if !errors.Is(err, cluster.ErrUnsettled) || bounded && time.Until(end) < 2*time.Second || !pause(ctx, time.Second) {
			return fsys, err
		}
	}
}

// pathOf is the path that a container gets for a volume. For an empty view the
// path itself says how to mount it, since dockerd's error shows the path alone.
func (ss *session) pathOf(ctx context.Context, at attached, m volume.Mounted) string {
	if m.ReadOnly && isEmpty(ctx, at.fsys, m.Path) {
		return ss.mounts.ThroughEmpty(at.generation, m.Path)
	}
	return filepath.Join(at.root, m.Path)
}

// isEmpty says that a directory was read and is empty.
func isEmpty(ctx context.Context, fsys tree.FS, name string) bool {
	some := errors.New("not empty")
	return fsys.ReadDir(ctx, name, func(d tree.Entry) error {
		if d.Name == ".snapshot" {
			return nil
		}
		return some
	}) == nil
}

func (s *Server) unmount(ctx context.Context, ss *session, r unmountRequest) (Empty, error) {
	return Empty{}, ss.store.Unmount(ctx, r.Name, r.ID)
}
