package plugin

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/casit/berth/convoy"
	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/repair"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/text"
	"github.com/casit/berth/volume"
)

// operatorRoutes adds the routes of the command line.
func (s *Server) operatorRoutes(mux *http.ServeMux) {
	mux.HandleFunc("/Berth.Version", ask(s, "Version", shortLimit, true, s.about))
	mux.HandleFunc("/Berth.VolumeNames", ask(s, "VolumeNames", shortLimit, true, onStore(s, func(ctx context.Context, st *volume.Store, _ Empty) (Names, error) {
		names, err := st.List(ctx)
		return Names{names}, err
	})))
	mux.HandleFunc("/Berth.VolumeInspect", ask(s, "VolumeInspect", longLimit, true, inSession(s, func(ctx context.Context, ss *session, r InspectRequest) (Volumes, error) {
		v, err := ss.store.Inspect(ctx, r.Names)
		if err == nil && (r.Size || r.Walk) {
			err = ss.versions.Measure(ctx, v, r.Walk)
		}
		return Volumes{v}, err
	})))
	mux.HandleFunc("/Berth.VolumeUsers", ask(s, "VolumeUsers", shortLimit, true, onStore(s, users)))
	mux.HandleFunc("/Berth.Readings", ask(s, "Readings", shortLimit, true, onVersions(s, func(_ context.Context, v *snapshot.Versions, _ Empty) (snapshot.Readings, error) {
		return v.Readings(), nil
	})))
	mux.HandleFunc("/Berth.VolumeSet", ask(s, "VolumeSet", shortLimit, false, onStore(s, func(ctx context.Context, st *volume.Store, r SetRequest) (Empty, error) {
		return Empty{}, st.Set(ctx, r.Name, r.Options)
	})))
	mux.HandleFunc("/Berth.VolumeRepair", ask(s, "VolumeRepair", shortLimit, false, onStore(s, func(ctx context.Context, st *volume.Store, r NameRequest) (repair.Repaired, error) {
		return repair.All(ctx, st, r.Name, r.DryRun)
	})))
	mux.HandleFunc("/Berth.VolumeRelease", ask(s, "VolumeRelease", shortLimit, false, onStore(s, func(ctx context.Context, st *volume.Store, r ReleaseRequest) (Released, error) {
		gone, young, err := st.Forget(ctx, r.Name, r.Older, r.DryRun)
		return Released{gone, young}, err
	})))
	mux.HandleFunc("/Berth.VolumeTakeover", ask(s, "VolumeTakeover", shortLimit, false, inSession(s, takeover)))
	mux.HandleFunc("/Berth.TrashList", ask(s, "TrashList", shortLimit, true, onStore(s, func(ctx context.Context, st *volume.Store, _ Empty) (Trash, error) {
		items, err := st.Trash.List(ctx)
		left, lookErr := st.Trash.Purging(ctx)
		return Trash{Items: items, Stuck: left.Stuck}, errors.Join(err, lookErr)
	})))
	mux.HandleFunc("/Berth.TrashRestore", ask(s, "TrashRestore", noLimit, false, onStore(s, func(ctx context.Context, st *volume.Store, r TrashRestoreRequest) (TrashRestored, error) {
		t, name, err := st.Trash.Restore(ctx, r.Which, r.As)
		return TrashRestored{Name: name, Item: t}, err
	})))
	mux.HandleFunc("/Berth.TrashPurge", ask(s, "TrashPurge", shortLimit, false, onStore(s, func(ctx context.Context, st *volume.Store, r TrashPurgeRequest) (Trash, error) {
		items, err := st.Trash.Purge(ctx, r.IDs, r.Older, r.DryRun)
		return Trash{Items: items}, err
	})))
	mux.HandleFunc("/Berth.Audit", ask(s, "Audit", shortLimit, true, onStore(s, func(ctx context.Context, st *volume.Store, r AuditRequest) (Audit, error) {
		records, err := st.Audit.Read(ctx, r.Volume, r.Since)
		return Audit{records}, err
	})))
	mux.HandleFunc("/Berth.ImportConvoy", ask(s, "ImportConvoy", longLimit, false, onStore(s, func(ctx context.Context, st *volume.Store, r ImportRequest) (*convoy.Report, error) {
		if r.Undo {
			return convoy.Undo(ctx, st, r.DryRun)
		}
		return convoy.Import(ctx, st, convoy.Options{DryRun: r.DryRun, Adopt: r.Adopt})
	})))
	s.snapshotRoutes(mux)
	mux.HandleFunc("/Berth.Doctor", ask(s, "Doctor", shortLimit, true, s.examine))
	mux.HandleFunc("/Berth.ONTAPStatus", ask(s, "ONTAPStatus", longLimit, true, inSession(s, s.ontapStatus)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		// dockerd reads 404 as "not implemented by this plugin".
		http.Error(w, "berth does not know "+text.Line(r.URL.Path), http.StatusNotFound)
	})
}

// onStore gives a route the volumes of the session in force.
func onStore[Req, Resp any](s *Server, act func(context.Context, *volume.Store, Req) (Resp, error)) func(context.Context, Req) (Resp, error) {
	return inSession(s, func(ctx context.Context, ss *session, r Req) (Resp, error) { return act(ctx, ss.store, r) })
}

// takeover begins the job that takes a volume over. A dry run only checks
// whether it may.
func takeover(ctx context.Context, ss *session, r TakeoverRequest) (Jobs, error) {
	if r.DryRun {
		return Jobs{}, ss.store.CheckTakeover(ctx, r.Name, r.From, true)
	}
	if r.Force {
		ctx = export.Force(ctx)
	}
	j, err := ss.versions.TakeOverNow(ctx, r.Name, r.From)
	return Jobs{[]*job.Job{j}}, err
}

func users(ctx context.Context, st *volume.Store, r UsersRequest) (Users, error) {
	u, err := st.Users(ctx, r.Name)
	if err != nil {
		return Users{}, err
	}
	locks, err := st.Operations(ctx, r.Name)
	if err != nil {
		return Users{}, err
	}
	all, err := st.Jobs.List(ctx)
	jobs := []*job.Job{}
	for _, j := range all {
		if r.Name == "" || slices.Contains(j.Volumes(), r.Name) {
			jobs = append(jobs, j)
		}
	}
	fenced := []*volume.Trashed{}
	if err == nil && r.Late {
		fenced, err = st.Trash.LateWrites(ctx, r.Name)
	}
	return Users{Users: u, Locks: locks, Jobs: jobs, Nodes: st.Cluster.Nodes(), Fenced: fenced}, err
}

// about answers also when the settings are wrong, and says so.
func (s *Server) about(ctx context.Context, _ Empty) (About, error) {
	ss, err := s.current()
	set := ss.settings()
	a := About{Version: s.cfg.Version, Node: set.Node, Export: set.Export, Health: "ok", Metrics: s.scrapes.url()}
	a.Mount, _ = ss.mounts.Current()
	if err == nil {
		if _, err = ss.store.FS(ctx); err == nil {
			a.ID, a.Nodes = ss.store.ExportID(), ss.store.Cluster.Nodes()
		}
	}
	if wrong := ss.wrong.Load(); err == nil && wrong != nil {
		a.Health = (*wrong).Error() + "; the settings before it stay in force"
	} else if err != nil {
		a.Health = err.Error()
	} else if without := s.degraded(ss); without != "" {
		a.Health = "degraded: " + without
	}
	return a, nil
}

func (r UsersRequest) logName() (string, string)        { return r.Name, "" }
func (r NameRequest) logName() (string, string)         { return r.Name, "" }
func (r SetRequest) logName() (string, string)          { return r.Name, "" }
func (r ReleaseRequest) logName() (string, string)      { return r.Name, "" }
func (r TakeoverRequest) logName() (string, string)     { return r.Name, "" }
func (r TrashRestoreRequest) logName() (string, string) { return r.Which, "" }
