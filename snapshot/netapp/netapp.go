package netapp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path"
	"sync"
	"time"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/several"
	"github.com/casit/berth/snapshot/reference"
)

// Filer is the ONTAP system that serves an export. All methods may be called
// concurrently.
type Filer struct {
	client     *ontap.Client
	svm        string
	host, path string // of the export

	restoring         offer // of directories
	deleting, cloning trial // of directories, and of files

	mu         sync.Mutex // guards the fields below, held across the network
	export     *ontap.Export
	schedule   *Policy
	scheduleAt time.Time
}

// New returns the filer that serves the export host:path. svm may be "".
func New(client *ontap.Client, svm, host, exportPath string) *Filer {
	turn := func() trial { return trial{turn: make(chan struct{}, 1)} }
	return &Filer{client: client, svm: svm, host: host, path: exportPath, deleting: turn(), cloning: turn()}
}

// where finds the FlexVol of the export, once.
func (f *Filer) where(ctx context.Context) (ontap.Export, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.export != nil {
		return *f.export, nil
	}
	// A filer that the resolver does not know is found by its junction path alone.
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", f.host)
	x, err := f.client.ExportGet(ctx, f.svm, Unmapped(addrs), f.path)
	if err != nil {
		return x, filerError(err)
	}
	f.export = &x
	return x, nil
}

// Unmapped turns IPv4 addresses in IPv6 form into their own.
func Unmapped(addrs []netip.Addr) []netip.Addr {
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs
}

// failed is filerError for a call on the FlexVol. After an error that says that
// the FlexVol does not exist, the next call looks for it again.
func (f *Filer) failed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		f.mu.Lock()
		f.export = nil
		f.mu.Unlock()
	}
	return filerError(err)
}

// filerError says what to type about an error of the API.
func filerError(err error) error {
	if p := (*problem.Error)(nil); err == nil || errors.As(err, &p) {
		return err
	}
	kind, hint := problem.Unreachable, "'berth ontap status' shows what berth sees of the filer"
	e := (*ontap.Error)(nil)
	if errors.As(err, &e) && e.HTTP != 0 {
		kind = problem.Failed
		if need, ok := ontap.NeedFor(err); ok {
			hint = "the role lacks " + need.Path + "; 'berth ontap status' prints the command that grants it"
		}
		switch e.Code {
		case ontap.CodeNoSpace:
			hint = "'berth df' shows what can be freed; what snapshots hold comes free when they go"
		case ontap.CodeSnapshotBusy:
			hint = "'berth snapshot ls VOLUME' shows until when it is locked"
		case ontap.CodeSnapshotLimit:
			hint = "remove some: 'berth snapshot ls VOLUME', 'berth snapshot rm NAME'"
		}
	}
	return problem.New(kind, hint, "%v", err)
}

// List lists the snapshots of the export.
func (f *Filer) List(ctx context.Context) ([]reference.Snapshot, error) {
	x, err := f.where(ctx)
	if err != nil {
		return nil, err
	}
	all, err := f.client.SnapshotList(ctx, x.Volume.UUID)
	if err != nil {
		return nil, f.failed(err)
	}
	out := make([]reference.Snapshot, len(all))
	for i, s := range all {
		out[i] = described(s)
	}
	return out, nil
}

// described is a snapshot of the API in our words.
func described(s ontap.Snapshot) reference.Snapshot {
	origin := reference.OriginOf(s.Name)
	if origin == "manual" && s.Label != "" {
		origin = s.Label
	}
	out := reference.Snapshot{Name: s.Name, UUID: s.UUID, Time: s.CreateTime.UTC(), Origin: origin, Comment: s.Comment}
	if s.SnaplockExpiry != nil {
		out.LockedUntil = s.SnaplockExpiry.UTC()
	}
	return out
}

// Create makes a snapshot of the export. A name that is taken is in use. Unless
// lock is zero, nobody can delete the snapshot for so long: an error comes before
// it is made where the FlexVol locks none, and behind it where the filer does not
// say that it is locked.
func (f *Filer) Create(ctx context.Context, name, comment string, lock time.Duration) (reference.Snapshot, error) {
	x, err := f.where(ctx)
	if err != nil {
		return reference.Snapshot{}, err
	}
	began := time.Now()
	want := ontap.Snapshot{Name: name, Comment: comment}
	if lock > 0 {
		if err := f.locks(ctx, x); err != nil {
			return reference.Snapshot{}, err
		}
		until := began.Add(lock).UTC().Truncate(time.Second)
		want.SnaplockExpiry = &until
	}
	s, err := f.client.SnapshotCreate(ctx, x.Volume.UUID, want)
	if errors.Is(err, fs.ErrExist) {
		return reference.Snapshot{}, problem.New(problem.InUse, "choose another name", "a snapshot %q exists", name)
	}
	if errors.Is(err, ontap.ErrOutcomeUnknown) {
		s, err = f.lookCreated(ctx, x.Volume.UUID, ontap.Snapshot{Name: name, Comment: comment, CreateTime: began}, err)
	}
	if err != nil {
		return reference.Snapshot{}, f.failed(err)
	}
	if lock > 0 && (s.SnaplockExpiry == nil || s.SnaplockExpiry.Before(want.SnaplockExpiry.Add(-skew))) {
		return described(s), problem.New(problem.Failed, "'snapshot show -fields snaplock-expiry-time' on the filer tells; 'berth snapshot rm' removes one that is not locked",
			"snapshot %q was made, and the filer does not say that it is locked until %s", name, want.SnaplockExpiry.Format(time.RFC3339))
	}
	return described(s), nil
}

// locks refuses a FlexVol whose snapshots cannot be locked. It is asked anew: the
// administrator has just been told to change that.
func (f *Filer) locks(ctx context.Context, x ontap.Export) error {
	vol, err := f.client.VolumeGet(ctx, x.Volume.UUID)
	switch {
	case err != nil:
		return f.failed(err)
	case vol.SnapshotLocking == nil:
		return problem.New(problem.Failed, "leave --lock out; ONTAP 9.12.1 and newer lock snapshots", "the filer's release does not say that it locks snapshots")
	case !*vol.SnapshotLocking:
		return problem.New(problem.Failed, fmt.Sprintf("on the filer: 'volume modify -vserver %s -volume %s -snapshot-locking-enabled true'; it cannot be turned off again", x.SVM.Name, x.Volume.Name),
			"the FlexVol %s does not allow snapshots to be locked", x.Volume.Name)
	}
	return nil
}

// Remove removes a snapshot of the export.
func (f *Filer) Remove(ctx context.Context, s reference.Snapshot) error {
	x, err := f.where(ctx)
	if err != nil {
		return err
	}
	err = f.client.SnapshotDelete(ctx, x.Volume.UUID, s.UUID)
	if errors.Is(err, ontap.ErrOutcomeUnknown) {
		err = f.lookDeleted(ctx, x.Volume.UUID, s, err)
	}
	return f.failed(err)
}

// Restores tells whether the filer can restore a directory. The filer is asked,
// because only two releases of ONTAP have the call. An error says why it is not
// known, or why the filer is not asked again for a while: it has refused what it
// offered.
func (f *Filer) Restores(ctx context.Context) (bool, error) {
	return f.restoring.holds(func() (bool, error) {
		ok, err := f.client.DirectoryRestoreSupported(ctx)
		return ok, filerError(err)
	})
}

// Restore restores the directory from of a snapshot as to. No file may have the
// name to. After an error something may be at to, and with an outcome that is
// not known it may still grow there.
func (f *Filer) Restore(ctx context.Context, snap, from, to string) error {
	x, err := f.where(ctx)
	if err != nil {
		return err
	}
	err = f.client.DirectoryRestore(ctx, ontap.Restore{SVM: x.SVM.Name, Volume: x.Volume.Name, Snapshot: snap,
		Path: path.Join(x.Sub, from), To: path.Join(x.Sub, to)})
	if refusal(err) {
		f.restoring.refused(filerError(err))
	}
	return f.failed(err)
}

// BreakLocks breaks the NLM locks of a client on the files of a directory of the
// export. It returns how many locks it broke.
func (f *Filer) BreakLocks(ctx context.Context, dir, client string) (n int, err error) {
	x, err := f.where(ctx)
	if err != nil {
		return 0, err
	}
	locks, err := f.client.LockList(ctx, x.SVM.UUID, x.Volume.UUID, path.Join(f.path, dir))
	if err != nil {
		return 0, f.failed(err)
	}
	var failed several.Errors
	for _, l := range locks {
		if l.Protocol != "nlm" || l.ClientAddress != client {
			continue
		}
		if err := f.client.LockBreak(ctx, l); err != nil {
			failed.Add(err)
			continue
		}
		n++
	}
	return n, f.failed(failed.Err())
}

// SnapshotBytes are the bytes that all snapshots of the FlexVol keep. A filer that
// does not tell them is an error.
func (f *Filer) SnapshotBytes(ctx context.Context) (int64, error) {
	x, err := f.where(ctx)
	if err != nil {
		return 0, err
	}
	vol, err := f.client.VolumeGet(ctx, x.Volume.UUID)
	if err != nil {
		return 0, f.failed(err)
	}
	if vol.Space.Snapshot.Used == nil {
		return 0, problem.New(problem.Failed, "'berth ontap status' shows what berth sees of the filer", "the filer does not tell what snapshots keep")
	}
	return *vol.Space.Snapshot.Used, nil
}

// Unhide is what to type on the filer so that NFSv3 clients see .snapshot.
func (f *Filer) Unhide(ctx context.Context) string {
	svm, volume := "SVM", "VOLUME"
	if x, err := f.where(ctx); err == nil {
		svm, volume = x.SVM.Name, x.Volume.Name
	}
	return fmt.Sprintf("'volume modify -vserver %s -volume %s -snapdir-access true' and 'vserver nfs modify -vserver %[1]s -v3-hide-snapshot disabled'", svm, volume)
}
