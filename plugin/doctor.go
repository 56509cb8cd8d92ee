package plugin

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/doctor"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/ontap"
	"github.com/casit/berth/repair"
	"github.com/casit/berth/snapshot/netapp"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// DoctorRequest has the greatest age that the newest snapshot may have.
type DoctorRequest struct {
	MaxAge time.Duration `json:"max_age_ns"`
}

const (
	// checkLimit bounds each check. A check that needs the export waits for the
	// export first, for openLimit at most.
	checkLimit = 12 * time.Second
	openLimit  = 7 * time.Second
)

// examine runs all checks of this node and its export. Wrong settings or an absent
// export are findings of the report and no error.
func (s *Server) examine(ctx context.Context, r DoctorRequest) (doctor.Report, error) {
	ss, err := s.current()
	set := ss.settings()
	report := doctor.Report{Node: set.Node, Version: s.cfg.Version, Settings: SettingSources(s.cfg.SettingsFile, s.cfg.Getenv)}
	wrong := err
	if w := ss.wrong.Load(); w != nil {
		wrong = *w
	}
	report.Add("node", doctor.Settings(report.Settings, wrong))
	if err != nil {
		report.Unasked = []string{"export"}
		return report, nil
	}
	e := newExaminer(ss, r.MaxAge)
	e.ontap = func() (*ontap.Client, error) { return s.newONTAP(set.ONTAP) }
	defer e.close()
	found, unasked := doctor.Run(ctx, checkLimit, e.checks())
	report.Findings, report.Unasked = append(report.Findings, found...), unasked
	return report, nil
}

// examiner has the checks of a session's export.
type examiner struct {
	*session
	settings Settings // at the beginning
	maxAge   time.Duration
	ontap    func() (*ontap.Client, error)
	server   *doctor.Server                 // of an nfs:// export, else nil
	open     func() (tree.FS, error)        // once: the export, if it answers
	survey   func() (*volume.Survey, error) // once
}

func newExaminer(ss *session, maxAge time.Duration) *examiner {
	e := &examiner{session: ss, settings: ss.settings(), maxAge: maxAge}
	if e.settings.Dir == "" {
		e.server = doctor.NewServer(e.settings.NFS)
	}
	e.open = sync.OnceValues(func() (tree.FS, error) {
		ctx, cancel := context.WithTimeout(context.Background(), openLimit)
		defer cancel()
		var fsys tree.FS
		err := ss.store.With(ctx, "open the export", func(f tree.FS) error {
			fsys = f
			return f.(interface{ Check(context.Context) error }).Check(ctx) // both filesystems have it
		})
		return fsys, err
	})
	e.survey = sync.OnceValues(func() (*volume.Survey, error) {
		ctx, cancel := context.WithTimeout(context.Background(), checkLimit)
		defer cancel()
		return ss.store.Survey(ctx)
	})
	return e
}

func (e *examiner) close() {
	if e.server != nil {
		e.server.Close()
	}
}

// onExport is a check of an export that answers. It finds nothing if the export
// does not answer: the check "export" says that.
func (e *examiner) onExport(group, name string, look func(ctx context.Context, fsys tree.FS) []doctor.Finding) doctor.Check {
	return doctor.Check{Group: group, Name: name, Next: "berth doctor again; then look at the filer", Look: func(ctx context.Context) []doctor.Finding {
		fsys, err := e.open()
		if err != nil {
			return nil
		}
		return look(ctx, fsys)
	}}
}

func (e *examiner) checks() []doctor.Check {
	var all []doctor.Check
	if e.settings.ONTAP.PasswordFile != "" {
		all = append(all, doctor.Check{Group: "node", Name: "password", Look: func(context.Context) []doctor.Finding {
			return []doctor.Finding{doctor.Password(e.settings.ONTAP.PasswordFile)}
		}})
	}
	if o := e.settings.ONTAP; o.Cert != "" || o.Key != "" {
		all = append(all, doctor.Check{Group: "node", Name: "client-certificate", Look: func(context.Context) []doctor.Finding {
			return []doctor.Finding{doctor.KeyPair(o.Cert, o.Key, time.Now())}
		}})
	}
	all = append(all, doctor.Check{Group: "node", Name: "kernel-mount", Look: e.kernelMount},
		doctor.Check{Group: "node", Name: "private", Look: e.private}, doctor.Check{Group: "node", Name: "nosuid", Look: e.harmless})
	if e.server != nil {
		all = append(all, e.server.Checks()...)
	}
	all = append(all, doctor.Check{Group: "export", Name: "export", Look: e.identity},
		e.onExport("export", "probe", func(ctx context.Context, fsys tree.FS) []doctor.Finding {
			return doctor.Probe(ctx, fsys, e.store.ProbeName())
		}),
		e.onExport("export", "space", func(ctx context.Context, fsys tree.FS) []doctor.Finding {
			return doctor.Space(fsys.Statfs(ctx))
		}))
	all = append(all, e.lockChecks()...)
	all = append(all, e.snapshotChecks()...)
	if e.settings.ONTAP.Address != "" && e.server != nil {
		all = append(all, doctor.Check{Group: "filer", Name: "ontap", Look: e.filer, Next: "curl -k https://" + e.settings.ONTAP.Address + "/api/cluster"})
	}
	return append(all, e.volumeChecks()...)
}

// kernelMount checks the mount of the containers, or for a file:// export the
// mount that has the directory.
func (e *examiner) kernelMount(context.Context) []doctor.Finding {
	at, _ := e.mounts.Current()
	if e.settings.Dir != "" {
		at = e.settings.Dir
	}
	if at == "" {
		return []doctor.Finding{doctor.KernelMount(nil)}
	}
	i, err := doctor.MountOf(at)
	if err != nil {
		return []doctor.Finding{doctor.Failed(err)}
	}
	return []doctor.Finding{doctor.KernelMount(i)}
}

func (e *examiner) private(context.Context) []doctor.Finding {
	dirs := []string{e.mounts.Root}
	if e.settings.Dir != "" {
		if _, err := e.open(); err != nil {
			return nil // the check "export" says why
		}
		dirs = append(dirs, e.settings.Dir)
	}
	return []doctor.Finding{doctor.Private(dirs...)}
}

func (e *examiner) harmless(context.Context) []doctor.Finding {
	open, err := e.mounts.Open()
	if err != nil {
		return []doctor.Finding{doctor.Failed(err)}
	}
	return []doctor.Finding{doctor.Harmless(open, e.settings.MountOptions)}
}

func (e *examiner) identity(context.Context) []doctor.Finding {
	if _, err := e.open(); err != nil {
		if e.server != nil && !e.server.Mounts() {
			return nil // the check "mount" says why
		}
		return []doctor.Finding{doctor.Failed(err)}
	}
	return []doctor.Finding{doctor.Export(e.settings.Export, e.store.ExportID())}
}

func (e *examiner) lockChecks() []doctor.Check {
	if e.server == nil {
		return []doctor.Check{e.onExport("locks", "lock", func(context.Context, tree.FS) []doctor.Finding {
			return []doctor.Finding{doctor.LockFile(filepath.Join(e.settings.Dir, e.store.ProbeName()))}
		})}
	}
	if nfs.HasOption(e.settings.MountOptions, "nolock") {
		return []doctor.Check{{Group: "locks", Name: "lock", Look: func(context.Context) []doctor.Finding {
			return []doctor.Finding{doctor.NoLocks()}
		}}}
	}
	return []doctor.Check{
		{Group: "locks", Name: "statd", Look: func(ctx context.Context) []doctor.Finding {
			return []doctor.Finding{doctor.LockServices(nfs.LocksMissing(ctx))}
		}},
		e.onExport("locks", "lock", func(ctx context.Context, _ tree.FS) []doctor.Finding {
			return e.server.Lock(ctx, e.store.ProbeName())
		}),
	}
}

func (e *examiner) snapshotChecks() []doctor.Check {
	missing := e.withoutSnapshots()
	return []doctor.Check{
		e.onExport("snapshots", "snapdir", func(ctx context.Context, fsys tree.FS) []doctor.Finding {
			return []doctor.Finding{doctor.Snapshots(ctx, fsys, missing)}
		}),
		e.onExport("snapshots", "snapdir-inside", func(ctx context.Context, fsys tree.FS) []doctor.Finding {
			v, err := e.survey()
			if err != nil {
				return []doctor.Finding{doctor.Failed(err)}
			}
			return []doctor.Finding{doctor.SnapshotsInside(ctx, fsys, v.Volumes)}
		}),
		e.onExport("snapshots", "snapshot-age", func(ctx context.Context, _ tree.FS) []doctor.Finding {
			newest, err := e.versions.Newest(ctx)
			switch {
			case err != nil:
				return []doctor.Finding{doctor.Failed(err)}
			case newest == nil:
				return []doctor.Finding{doctor.NoSnapshot(missing)}
			}
			return []doctor.Finding{doctor.Age(*newest, e.store.Now(), e.maxAge)}
		}),
	}
}

// withoutSnapshots is the state of an export without snapshots: a fault behind
// ONTAP, a warning on another NFS server, normal on a local filesystem.
func (e *examiner) withoutSnapshots() doctor.State {
	if e.settings.ONTAP.Address != "" {
		return doctor.Fail
	}
	if i, err := doctor.MountOf(e.settings.Dir); e.server != nil || err == nil && strings.HasPrefix(i.FSType, "nfs") {
		return doctor.Warn
	}
	return doctor.OK
}

func (e *examiner) filer(ctx context.Context) []doctor.Finding {
	client, err := e.ontap()
	if err != nil {
		return []doctor.Finding{doctor.Failed(err)}
	}
	defer client.Close()
	st, err := askFiler(ctx, e.settings, client)
	if err != nil {
		return []doctor.Finding{doctor.Failed(ontapError(e.settings.ONTAP, err))}
	}
	return doctor.Filer(st, e.showsSnapshots(ctx), e.store.Now())
}

// showsSnapshots says that berth has seen .snapshot on the export.
func (e *examiner) showsSnapshots(ctx context.Context) bool {
	fsys, err := e.open()
	if err != nil {
		return false
	}
	attr, err := fsys.Stat(ctx, ".snapshot")
	return err == nil && attr.Kind == tree.Directory
}

// askFiler asks for the whole status of the cluster behind the export.
func askFiler(ctx context.Context, set Settings, client *ontap.Client) (ontap.Status, error) {
	// Without an address the junction path alone has to identify the filer.
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", set.NFS.Host)
	return client.Status(ctx, set.ONTAP.SVM, netapp.Unmapped(addrs), set.NFS.Path)
}

func (e *examiner) volumeChecks() []doctor.Check {
	return []doctor.Check{
		e.onExport("volumes", "metadata", func(context.Context, tree.FS) []doctor.Finding {
			v, err := e.survey()
			found := doctor.Volumes(v)
			if err != nil { // what could not be seen is not ok
				found = slices.DeleteFunc(found, func(f doctor.Finding) bool { return f.State == doctor.OK })
				found = append(found, doctor.Failed(err))
			}
			return found
		}),
		e.onExport("volumes", "control-files", func(ctx context.Context, _ tree.FS) []doctor.Finding {
			faults, err := repair.Faults(ctx, e.store)
			if err != nil {
				return []doctor.Finding{doctor.Failed(err)}
			}
			return doctor.ControlFiles(faults)
		}),
		e.onExport("volumes", "own-trees", func(ctx context.Context, fsys tree.FS) []doctor.Finding {
			v, err := e.survey()
			if err != nil {
				return []doctor.Finding{doctor.Failed(err)}
			}
			return []doctor.Finding{doctor.OwnTrees(ctx, fsys, v.Volumes)}
		}),
		e.onExport("volumes", "trash", func(ctx context.Context, _ tree.FS) []doctor.Finding {
			items, err := e.store.Trash.List(ctx)
			if err != nil {
				return []doctor.Finding{doctor.Failed(err)}
			}
			return []doctor.Finding{doctor.Trash(items, e.store.Now())}
		}),
		e.onExport("volumes", "jobs", func(ctx context.Context, _ tree.FS) []doctor.Finding {
			jobs, err := e.store.Jobs.List(ctx)
			if err != nil {
				return []doctor.Finding{doctor.Failed(err)}
			}
			return []doctor.Finding{doctor.Jobs(jobs)}
		}),
		e.onExport("volumes", "passed-over", func(context.Context, tree.FS) []doctor.Finding {
			return []doctor.Finding{doctor.PassedOver(e.store.PassedOver())}
		}),
		e.onExport("nodes", "nodes", func(ctx context.Context, _ tree.FS) []doctor.Finding {
			users, err := e.store.Users(ctx, "") // which polls the nodes
			if err != nil {
				return []doctor.Finding{doctor.Failed(err)}
			}
			return append(doctor.Nodes(e.store.Cluster.Nodes(), e.settings.Node), doctor.Users(users))
		}),
		e.onExport("nodes", "reverted", func(ctx context.Context, fsys tree.FS) []doctor.Finding {
			pauses, err := cluster.Pauses(ctx, fsys)
			if err != nil {
				return []doctor.Finding{doctor.Failed(err)}
			}
			return []doctor.Finding{doctor.Reverted(pauses, e.store.Now())}
		}),
	}
}
