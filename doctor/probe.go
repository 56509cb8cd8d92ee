package doctor

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/casit/berth/tree"
)

// Owners that no server gives to a file by accident.
const probeUID, probeGID = 54321, 54322

// Probe makes the file name as every operation of berth makes files, and checks
// the server: whether write, link and rename work, to whom files belong, and
// the server's time. Probe removes the file before it returns.
func Probe(ctx context.Context, fsys tree.FS, name string) []Finding {
	p := probe{fsys: fsys, name: name}
	defer p.clear(ctx)
	var out []Finding
	began := time.Now()
	if err := p.make(ctx); err != nil {
		return append(out, judgeProbe("write", err))
	}
	out = append(out, p.clock(ctx, began), p.owner(ctx))
	what, err := p.names(ctx)
	return append([]Finding{judgeProbe(what, err)}, out...)
}

type probe struct {
	fsys tree.FS
	name string
}

var probeText = []byte("berth doctor was here\n")

func (p probe) make(ctx context.Context) error {
	mode := uint32(0o600)
	f, err := p.fsys.Create(ctx, p.name, tree.SetAttr{Mode: &mode})
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(ctx, probeText, 0); err == nil {
		err = f.Sync(ctx)
	}
	return errors.Join(err, f.Close())
}

// errProbe says that the server answered yes and did not do it.
var errProbe = errors.New("the server answered yes and did nothing")

// names tries the two calls that berth's control files need: LINK refuses a
// name that exists, RENAME replaces one. It returns the call that did not work.
func (p probe) names(ctx context.Context) (what string, err error) {
	data, err := tree.ReadFile(ctx, p.fsys, p.name, 1<<10)
	if err == nil && !bytes.Equal(data, probeText) {
		err = errProbe
	}
	if err != nil {
		return "read", err
	}
	if err := p.fsys.Link(ctx, p.name, p.name+".2"); err != nil {
		return "link", err
	}
	if err := p.fsys.Link(ctx, p.name, p.name+".2"); !errors.Is(err, fs.ErrExist) {
		return "link to a name that is taken", errors.Join(errProbe, err)
	}
	if err := p.fsys.Rename(ctx, p.name+".2", p.name+".3"); err != nil {
		return "rename", err
	}
	if _, err := p.fsys.Stat(ctx, p.name+".2"); !errors.Is(err, fs.ErrNotExist) {
		return "rename", errors.Join(errProbe, err)
	}
	return "", nil
}

// clear removes the files, also after the check's deadline.
func (p probe) clear(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	for _, suffix := range []string{"", ".2", ".3"} {
		_ = p.fsys.Remove(ctx, p.name+suffix)
	}
}

func judgeProbe(what string, err error) Finding {
	switch {
	case err == nil:
		return ok("write, read, link and rename in .berth do what they must").named("probe")
	case tree.IsQuota(err):
		return fail("berth trash purge ID, or raise the quota: on a filer 'volume quota report' shows it", "%s in .berth: a quota is used up: %v", what, err).named("probe")
	case tree.IsFull(err):
		return fail("berth df", "%s in .berth: %v", what, err).named("probe")
	case errors.Is(err, syscall.EROFS):
		return fail("give this node rw in the export's rule on the server", "%s in .berth: %v", what, err).named("probe")
	case errors.Is(err, fs.ErrPermission):
		return fail(rootNext, "%s in .berth: %v", what, err).named("probe")
	}
	return fail("look at the server's log; berth cannot keep its records there", "%s in .berth: %v", what, err).named("probe")
}

// clock compares the time that the server gave the file with ours, before and
// after.
func (p probe) clock(ctx context.Context, began time.Time) Finding {
	attr, err := p.fsys.Stat(ctx, p.name)
	if err != nil {
		return failed(err, "").named("clock")
	}
	return judgeClock(attr.Mtime, began, time.Now())
}

// judgeClock knows that the server's time was read between from and to.
func judgeClock(server, from, to time.Time) Finding {
	var off time.Duration
	switch {
	case server.Before(from.Truncate(time.Second)): // some keep seconds only
		off = server.Sub(from)
	case server.After(to):
		off = server.Sub(to)
	}
	off = off.Round(time.Millisecond)
	next := "timedatectl set-ntp true, here and on the filer's side 'cluster time-service ntp server show'"
	switch {
	case off.Abs() > 5*time.Minute:
		return fail(next, "the server's clock is %s this node's", ahead(off)).named("clock")
	case off.Abs() > 5*time.Second:
		return warn(next, "the server's clock is %s this node's: ages of snapshots and times in the audit trail are wrong by that", ahead(off)).named("clock")
	}
	return ok("the server's clock and this node's differ by less than 5s").named("clock")
}

func ahead(off time.Duration) string {
	if off < 0 {
		return off.Abs().String() + " behind"
	}
	return off.String() + " ahead of"
}

const rootNext = "let root stay root for this node: ONTAP 'vserver export-policy rule modify -superuser sys', elsewhere no_root_squash"

// owner gives the file away and checks its owner.
func (p probe) owner(ctx context.Context) Finding {
	made, err := p.fsys.Stat(ctx, p.name)
	if err != nil {
		return failed(err, "").named("root")
	}
	uid, gid := uint32(probeUID), uint32(probeGID)
	chown := p.fsys.SetAttr(ctx, p.name, tree.SetAttr{UID: &uid, GID: &gid})
	after, err := p.fsys.Stat(ctx, p.name)
	if err != nil {
		return failed(err, "").named("root")
	}
	return judgeOwner(uint32(os.Geteuid()), made.UID, chown, after.UID, after.GID).named("root")
}

// judgeOwner judges who we are, to whom a new file belonged, and the result of
// giving it to probeUID and probeGID.
func judgeOwner(we, made uint32, chown error, uid, gid uint32) Finding {
	switch {
	case made != we:
		return fail(rootNext, "uid %d is squashed: a file of it belongs to uid %d, so volumes cannot be given to their users", we, made)
	case chown != nil && we != 0:
		return warn("run berth serve as root", "berth runs as uid %d and cannot give volumes to their users: %v", we, chown)
	case chown != nil:
		return fail(rootNext, "root may not give files away: %v", chown)
	case uid != probeUID || gid != probeGID:
		return fail("take the mapping off: security style unix on the filer, no all_squash and no NFS id mapping in the export",
			"a file given to %d:%d belongs to %d:%d afterwards: the server maps owners", probeUID, probeGID, uid, gid)
	}
	return ok("root stays root, and owners are kept as they are given")
}
