package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/casit/berth/guard"
	"github.com/casit/berth/job"
	"github.com/casit/berth/ontap"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/df"
	"github.com/casit/berth/snapshot/netapp"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/volume"
)

// RefRequest names one version.
type RefRequest = snapshot.RefRequest

// Listings is the answer to Berth.SnapshotList.
type Listings struct {
	Volumes []snapshot.Listing `json:"volumes"`
}

// Removals is the answer to Berth.SnapshotRemove.
type Removals struct {
	Removed []snapshot.Removal `json:"removed"`
}

// FileVersions is the answer to Berth.SnapshotFiles.
type FileVersions struct {
	Versions []snapshot.FileVersion `json:"versions"`
}

// Newest is the answer to Berth.SnapshotNewest.
type Newest struct {
	Snapshot *reference.Snapshot `json:"snapshot"`
	Now      time.Time           `json:"now"` // the export's time
}

// PrepareRequest asks to prepare a restore that was planned.
type PrepareRequest struct {
	Plan    *snapshot.Plan          `json:"plan,omitempty"`
	Request snapshot.RestoreRequest `json:"request"` // of an earlier command line, which sends no plan
	Stopped snapshot.Stopped        `json:"stopped"`
}

// CloneRequest asks for a new volume with the content of a version of another.
type CloneRequest = snapshot.CloneRequest

// Cloned is the answer: the exact version.
type Cloned = snapshot.Cloned

// UsageRequest asks what uses the space of the export. With Trash it asks for the
// trash alone, without a walk through the volumes.
type UsageRequest struct {
	Trash bool `json:"trash,omitempty"`
}

// JobRequest names a job by its id, or by a volume of it.
type JobRequest struct {
	ID     string `json:"id,omitempty"`
	Volume string `json:"volume,omitempty"`
	Abort  bool   `json:"abort,omitempty"` // of JobEnd: also a job that could be resumed
}

// JobProgress is the answer to Berth.JobWait: of a job that is over and not done
// also a Failure.
type JobProgress struct {
	job.Progress
	*Failure
}

// Jobs is the answer to Berth.JobList.
type Jobs struct {
	Jobs []*job.Job `json:"jobs"`
}

// snapshotRoutes adds what the command line asks about versions.
func (s *Server) snapshotRoutes(mux *http.ServeMux) {
	mux.HandleFunc("/Berth.SnapshotList", ask(s, "SnapshotList", noLimit, true, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r snapshot.ListRequest) (Listings, error) {
		l, err := v.List(ctx, r)
		return Listings{l}, err
	})))
	mux.HandleFunc("/Berth.SnapshotCreate", ask(s, "SnapshotCreate", noLimit, false, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r snapshot.CreateRequest) (*snapshot.Created, error) {
		return v.Create(ctx, r)
	})))
	mux.HandleFunc("/Berth.SnapshotRemove", ask(s, "SnapshotRemove", longLimit, false, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r snapshot.RemoveRequest) (Removals, error) {
		gone, err := v.Remove(ctx, r)
		return Removals{gone}, err
	})))
	mux.HandleFunc("/Berth.SnapshotFiles", ask(s, "SnapshotFiles", longLimit, true, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r snapshot.FileRequest) (FileVersions, error) {
		f, err := v.Files(ctx, r)
		return FileVersions{f}, err
	})))
	mux.HandleFunc("/Berth.SnapshotNewest", ask(s, "SnapshotNewest", shortLimit, true, onVersions(s, func(ctx context.Context, v *snapshot.Versions, _ Empty) (Newest, error) {
		newest, err := v.Newest(ctx)
		return Newest{newest, time.Now()}, err
	})))
	mux.HandleFunc("/Berth.SnapshotDiff", stream(s, "SnapshotDiff", func(ctx context.Context, v *snapshot.Versions, r snapshot.DiffRequest, w io.Writer) error {
		lines := json.NewEncoder(w)
		return v.Diff(ctx, r, func(d snapshot.Diff) error { return lines.Encode(d) })
	}))
	mux.HandleFunc("/Berth.SnapshotCat", stream(s, "SnapshotCat", func(ctx context.Context, v *snapshot.Versions, r RefRequest, w io.Writer) error {
		return v.Read(ctx, r, w)
	}))
	mux.HandleFunc("/Berth.SnapshotBrowse", ask(s, "SnapshotBrowse", longLimit, true, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r snapshot.BrowseRequest) (*snapshot.Browsed, error) {
		return v.Browse(ctx, r)
	})))
	mux.HandleFunc("/Berth.SnapshotClone", ask(s, "SnapshotClone", longLimit, false, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r CloneRequest) (Cloned, error) {
		return v.MakeClone(ctx, r)
	})))
	mux.HandleFunc("/Berth.Usage", ask(s, "Usage", noLimit, true, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r UsageRequest) (*df.Usage, error) {
		if r.Trash {
			return v.Usage(ctx, false)
		}
		return v.Usage(ctx, true)
	})))
	s.jobRoutes(mux)
}

func (s *Server) jobRoutes(mux *http.ServeMux) {
	mux.HandleFunc("/Berth.RestorePlan", ask(s, "RestorePlan", noLimit, true, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r snapshot.RestoreRequest) (*snapshot.Plan, error) {
		return v.Plan(ctx, r)
	})))
	mux.HandleFunc("/Berth.RestorePrepare", ask(s, "RestorePrepare", longLimit, false, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r PrepareRequest) (*job.Job, error) {
		p := r.Plan
		if p == nil {
			var err error
			if p, err = v.Resolve(ctx, r.Request); err != nil {
				return nil, err
			}
		}
		return v.Prepare(ctx, p, r.Stopped)
	})))
	mux.HandleFunc("/Berth.JobList", ask(s, "JobList", shortLimit, true, onStore(s, func(ctx context.Context, st *volume.Store, _ Empty) (Jobs, error) {
		j, err := st.Jobs.List(ctx)
		return Jobs{j}, err
	})))
	mux.HandleFunc("/Berth.JobFind", ask(s, "JobFind", shortLimit, true, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r JobRequest) (*job.Job, error) {
		return v.Jobs.Find(ctx, r.Volume)
	})))
	mux.HandleFunc("/Berth.JobStart", ask(s, "JobStart", shortLimit, false, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r JobRequest) (Empty, error) {
		return Empty{}, v.Start(ctx, r.ID)
	})))
	mux.HandleFunc("/Berth.JobWait", route(s, "JobWait", shortLimit, true, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r JobRequest) (JobProgress, error) {
		release, err := take(ctx, s.turns.waits)
		defer release()
		if err != nil {
			return JobProgress{}, err
		}
		p, err := v.Jobs.Wait(ctx, r.ID)
		if why := context.Cause(ctx); !p.Over && errors.Is(why, job.ErrSessionEnds) {
			return JobProgress{Progress: p}, why // the next session may know nothing of the job
		}
		if !p.Over || err == nil {
			return JobProgress{Progress: p}, err
		}
		return JobProgress{p, failure(err)}, nil
	})))
	mux.HandleFunc("/Berth.JobCancel", ask(s, "JobCancel", longLimit, false, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r JobRequest) (Empty, error) {
		return Empty{}, v.Jobs.Cancel(ctx, r.ID)
	})))
	mux.HandleFunc("/Berth.JobEnd", ask(s, "JobEnd", shortLimit, false, onVersions(s, func(ctx context.Context, v *snapshot.Versions, r JobRequest) (Empty, error) {
		if r.Abort {
			return Empty{}, v.Jobs.Abort(ctx, r.ID)
		}
		return Empty{}, v.Jobs.End(ctx, r.ID)
	})))
}

// onVersions gives a route the versions of the session in force.
func onVersions[Req, Resp any](s *Server, act func(context.Context, *snapshot.Versions, Req) (Resp, error)) func(context.Context, Req) (Resp, error) {
	return inSession(s, func(ctx context.Context, ss *session, r Req) (Resp, error) { return act(ctx, ss.versions, r) })
}

// stream answers with data as it comes. An error before the first byte is a
// Failure. An error after it cuts the connection, so that the client cannot
// mistake the error for the end. The only limit is the caller's patience.
func stream[Req any](s *Server, op string, act func(context.Context, *snapshot.Versions, Req, io.Writer) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		var req Req
		ctx, err := asker(r)
		if err == nil {
			var release func()
			release, err = s.turns.decode(w, r, &req)
			defer release()
		}
		if err == nil {
			var release func()
			release, err = take(ctx, s.turns.streams)
			defer release()
		}
		out := &flowing{w: w}
		if err == nil {
			err = guard.Run(func() error {
				_, err := onVersions(s, func(ctx context.Context, v *snapshot.Versions, r Req) (Empty, error) {
					return Empty{}, act(ctx, v, r, out)
				})(ctx, req)
				return err
			})
		}
		s.note(op, req, time.Since(began), true, err)
		switch {
		case err != nil && out.flows:
			panic(http.ErrAbortHandler)
		case err != nil:
			w.Header().Set("Content-Type", contentType)
			_ = json.NewEncoder(w).Encode(failure(err))
		case !out.flows:
			_, _ = out.Write(nil)
		}
	}
}

// streamType is the content type of data; a Failure has another one.
const streamType = "application/octet-stream"

// flowing notes that the answer has begun.
type flowing struct {
	w     http.ResponseWriter
	flows bool
}

func (f *flowing) Write(p []byte) (int, error) {
	if !f.flows {
		f.w.Header().Set("Content-Type", streamType)
		f.w.WriteHeader(http.StatusOK)
		f.flows = true
	}
	return f.w.Write(p)
}

// newFiler makes the client of the filer's API; nil if the settings have none. An
// error says what is wrong with the settings.
func (s *Server) newFiler(set Settings) (*netapp.Filer, error) {
	if set.ONTAP.Address == "" || set.Dir != "" {
		return nil, nil
	}
	client, err := s.newONTAP(set.ONTAP)
	if err != nil {
		return nil, err
	}
	return netapp.New(client, set.ONTAP.SVM, set.NFS.Host, set.NFS.Path), nil
}

func (s *Server) newONTAP(o ONTAP) (*ontap.Client, error) {
	client, err := ontap.New(ontap.Config{Address: o.Address, User: o.User, PasswordFile: o.PasswordFile, CertFile: o.Cert, KeyFile: o.Key,
		CAFile: o.CA, Insecure: o.Insecure, Observe: s.metrics.ontapRequest, Uses: &s.uses})
	if err != nil {
		return nil, &problem.Error{Kind: problem.Failed, Reason: err.Error(), Hint: "docs/settings.md lists the BERTH_ONTAP settings"}
	}
	return client, nil
}

// Stream sends a request to a route that answers with data, and copies the data
// to w.
func (c *Client) Stream(ctx context.Context, route string, req any, w io.Writer) error {
	answer, err := c.post(ctx, route, req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.Header.Get("Content-Type") != streamType {
		return decodeAnswer(answer, route, &struct{}{})
	}
	if _, err := io.Copy(w, answer.Body); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("berth could not read on; its log says why ('journalctl -u docker')")
		}
		return err
	}
	return nil
}
