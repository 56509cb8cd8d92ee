package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/sweep"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// judged is a finding, and what it has to be: its state, a part of its
// evidence, a part of what is to be typed.
type judged struct {
	got            Finding
	state          State
	evidence, next string
}

func requireAll(t *testing.T, all []judged) {
	t.Helper()
	for _, j := range all {
		require.Equal(t, j.state, j.got.State, "%+v", j.got)
		require.Contains(t, j.got.Evidence, j.evidence)
		require.Contains(t, j.got.Next, j.next)
		require.Equal(t, j.state != OK, j.got.Next != "", "what is not ok says what to type, and nothing else does: %+v", j.got)
	}
}

func TestRunKeepsTheOrderAndNamesWhatWasNotLookedAt(t *testing.T) {
	one := func(f ...Finding) func(context.Context) []Finding {
		return func(context.Context) []Finding { return f }
	}
	found, unasked := Run(t.Context(), time.Minute, []Check{
		{Group: "a", Name: "slow", Look: func(context.Context) []Finding { time.Sleep(10 * time.Millisecond); return one(ok("1"))(nil) }},
		{Group: "b", Name: "nothing", Look: one()},
		{Group: "c", Name: "two", Look: one(ok("2").named("x"), warn("n", "3"))},
	})
	require.Equal(t, []string{"nothing"}, unasked)
	require.Equal(t, []Finding{{"a", "slow", OK, "1", ""}, {"c", "x", OK, "2", ""}, {"c", "two", Warn, "3", "n"}}, found)
}

func TestACheckThatHangsIsAFindingAndHoldsNobodyUp(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	found, _ := Run(t.Context(), 50*time.Millisecond, []Check{
		{Name: "hung", Next: "look at the filer", Look: func(context.Context) []Finding { <-hang; return nil }},
		{Name: "polite", Look: func(ctx context.Context) []Finding { <-ctx.Done(); return []Finding{failed(ctx.Err(), "")} }},
		{Name: "quick", Look: func(context.Context) []Finding { return []Finding{ok("well")} }},
	})
	requireAll(t, []judged{
		{found[0], Fail, "no answer within 50ms", "look at the filer"},
		{found[1], Fail, "no answer in time", "berth doctor"},
		{found[2], OK, "well", ""},
	})
}

func TestSettings(t *testing.T) {
	set := []Setting{{"BERTH_NODE", "n1", "environment"}, {"BERTH_LEASE_TTL", "90s", "default"}}
	requireAll(t, []judged{
		{Settings(set, nil), OK, "BERTH_NODE=n1 (environment); the others are defaults", ""},
		{Settings(nil, nil), OK, "all are defaults", ""},
		{Settings(set, errors.New("BERTH_EXPORT is not set")), Fail, "BERTH_EXPORT is not set; in force: BERTH_NODE=n1", "berth.env"},
	})
}

func TestPasswordFileIsLookedAtAndNotShown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	missing := Password(file)
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	empty := Password(file)
	require.NoError(t, os.WriteFile(file, []byte("s3cret"), 0o600))
	good := Password(file)
	require.NoError(t, os.Chmod(file, 0o640))
	requireAll(t, []judged{
		{missing, Fail, "is not there", "0600"},
		{empty, Fail, "is empty", "put the password"},
		{good, OK, "mode 0600", ""},
		{Password(file), Warn, "mode 0640", "chmod 600"},
	})
	require.NotContains(t, good.Evidence, "s3cret")
}

func TestClientCertificateIsLookedAtAndNotShown(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "berth"}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	require.NoError(t, err)
	missing := KeyPair(cert, key, now)
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	der, err = x509.MarshalPKCS8PrivateKey(secret)
	require.NoError(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	require.NoError(t, os.WriteFile(key, text, 0o600))
	good, soon, over, early := KeyPair(cert, key, now.Add(time.Hour)), KeyPair(cert, key, now.AddDate(1, 0, -29)), KeyPair(cert, key, now.AddDate(1, 0, 1)), KeyPair(cert, key, now.AddDate(-1, 0, 0))
	require.NoError(t, os.Chmod(key, 0o644))
	requireAll(t, []judged{
		{KeyPair(cert, "", now), Fail, "one is missing", "set both"},
		{missing, Fail, "no such file", "PEM"},
		{KeyPair(key, cert, now), Fail, "BERTH_ONTAP_CERT=" + key, "PEM"},
		{good, OK, "the certificate of berth, until ", ""},
		{soon, Warn, "expires on", "put a new certificate"},
		{over, Fail, "has expired on", "put a new certificate"},
		{early, Fail, "is valid from", "clock"},
		{KeyPair(cert, key, now.Add(time.Hour)), Warn, "mode 0644", "chmod 600"},
	})
	require.NotContains(t, good.Evidence, strings.Split(string(text), "\n")[1])
}

func TestWayToTheServer(t *testing.T) {
	target := nfs.Target{Host: "filer", Path: "/vols/a"}
	named := nfs.Target{Host: "filer", Path: "/vols/a", Port: 2049, MountPort: 635}
	all := nfs.Services{NFS: 2049, Mount: 635, NLM: 4045}
	refused := &nfs.Error{Op: "rpcbind", Name: "filer", Err: syscall.ECONNREFUSED}
	mnt := func(s nfs.Status) error { return fmt.Errorf("mount: %w", &nfs.Error{Op: "mnt", Status: s}) }
	exports := []nfs.Export{{Path: "/other"}, {Path: "/vols"}}
	requireAll(t, []judged{
		{judgePortmap(target, all, nil), OK, "NFSv3 at port 2049, MOUNT at port 635, NLM at port 4045", ""},
		{judgePortmap(target, nfs.Services{}, refused), Fail, "connection refused", "?port=2049"},
		{judgePortmap(named, nfs.Services{}, refused), Warn, "locks need rpcbind", "111"},
		{judgePortmap(target, nfs.Services{Mount: 635}, nil), Fail, "NFSv3 not registered", "-v3 enabled"},
		{judgePortmap(target, nfs.Services{NFS: 2049, Mount: 635}, nil), Warn, "no lock manager", "NLM"},
		{judgeMount(target, nil, &net.DNSError{Err: "no such host", Name: "filer"}), Fail, "is not known here", "getent hosts filer"},
		{judgeMount(target, exports[:1], mnt(nfs.StatusAcces)), Fail, "filer exports /other, and not /vols/a", "correct the path"},
		{judgeMount(target, exports, mnt(nfs.StatusAcces)), Fail, "does not let this node mount", "rule"},
		{judgeMount(target, exports, mnt(nfs.StatusNoEnt)), Fail, "has no /vols/a", "showmount"},
		{judgeMount(target, nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), Fail, "is not reached", "ports"},
		{judgeMount(target, nil, fmt.Errorf("x: %w", context.DeadlineExceeded)), Fail, "is not reached", "ping filer"},
		{judgeMount(target, nil, nfs.ErrBadReply), Fail, "malformed", "log"},
		{judgeRoundTrip(time.Millisecond, time.Second), OK, "1ms, the slowest of 20 1s", ""},
		{judgeRoundTrip(21*time.Millisecond, time.Second), Warn, "21ms", "network"},
	})
}

func TestProbe(t *testing.T) {
	now := time.Now()
	is := func(err error) error { return &fs.PathError{Op: "create", Path: "x", Err: err} }
	requireAll(t, []judged{
		{judgeProbe("", nil), OK, "write, read, link and rename", ""},
		{judgeProbe("write", is(syscall.ENOSPC)), Fail, "no space", "berth df"},
		{judgeProbe("write", is(syscall.EDQUOT)), Fail, "a quota is used up", "quota report"},
		{judgeProbe("write", is(syscall.EROFS)), Fail, "read-only", "rw"},
		{judgeProbe("write", is(fs.ErrPermission)), Fail, "permission", "superuser"},
		{judgeProbe("link to a name that is taken", errProbe), Fail, "did nothing", "log"},
		{judgeClock(now, now, now), OK, "less than 5s", ""},
		{judgeClock(now.Truncate(time.Second), now, now), OK, "less than 5s", ""},
		{judgeClock(now.Add(-6*time.Second), now, now), Warn, "6s behind", "set-ntp"},
		{judgeClock(now.Add(6*time.Second), now, now), Warn, "6s ahead of", "set-ntp"},
		{judgeClock(now.Add(time.Hour), now, now), Fail, "1h0m0s ahead of", "set-ntp"},
		{judgeOwner(0, 0, nil, probeUID, probeGID), OK, "root stays root", ""},
		{judgeOwner(0, 65534, syscall.EPERM, 65534, 65534), Fail, "uid 0 is squashed", "no_root_squash"},
		{judgeOwner(0, 0, syscall.EPERM, 0, 0), Fail, "may not give files away", "superuser"},
		{judgeOwner(1000, 1000, syscall.EPERM, 1000, 1000), Warn, "runs as uid 1000", "as root"},
		{judgeOwner(0, 0, nil, 65534, 65534), Fail, "belongs to 65534:65534", "mapping"},
	})
}

func TestProbeOfADirectory(t *testing.T) {
	dir := t.TempDir()
	fsys, err := tree.OpenLocal(t.Context(), dir)
	require.NoError(t, err)
	defer fsys.Close()
	found := Probe(t.Context(), fsys, "probe")
	require.Len(t, found, 3)
	require.Equal(t, OK, found[0].State, found[0].Evidence)
	require.Equal(t, OK, found[1].State, found[1].Evidence)
	require.Equal(t, OK, LockFile(filepath.Join(dir, "probe")).State)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Equal(t, Fail, LockFile(filepath.Join(dir, "absent/probe")).State)
	require.Equal(t, Fail, Probe(t.Context(), fsys, "absent/probe")[0].State)

	requireAll(t, []judged{
		{Snapshots(t.Context(), fsys, OK), OK, "none is expected", ""},
		{Snapshots(t.Context(), fsys, Warn), Warn, "no way back", "snapdir-access"},
		{Snapshots(t.Context(), fsys, Fail), Fail, "no way back", "snapdir-access"},
	})
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".snapshot"), 0o755))
	requireAll(t, []judged{{Snapshots(t.Context(), fsys, OK), OK, "reached by name, and shown", ""}})
	require.NoError(t, os.Remove(filepath.Join(dir, ".snapshot")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".snapshot"), nil, 0o644))
	requireAll(t, []judged{{Snapshots(t.Context(), fsys, OK), Fail, "is a file", "move it away"}})
}

func TestRoomAndAge(t *testing.T) {
	now := time.Now()
	spaces := func(avail, free int64) []Finding {
		return Space(tree.Space{Total: 1 << 40, Avail: avail << 30, Files: 1000, FilesFree: free}, nil)
	}
	requireAll(t, []judged{
		{spaces(512, 500)[0], OK, "50 % of 1.0 TiB left", ""},
		{spaces(80, 500)[0], Warn, "8 % of", "berth df"},
		{spaces(10, 500)[0], Fail, "below 5 %", "berth df"},
		{spaces(0, 0)[1], Fail, "0 % of 1000 inodes", "-files"},
		{spaces(0, 90)[1], Warn, "9 % of 1000 inodes", "-files"},
		{Space(tree.Space{}, nil)[1], OK, "does not say", ""},
		{Space(tree.Space{}, syscall.EIO)[0], Fail, "input/output", "berth doctor"},
		{Age(reference.Snapshot{Name: "nightly", Time: now.Add(-time.Hour)}, now, 26*time.Hour), OK, "60m old; the limit is 26h", ""},
		{Age(reference.Snapshot{Name: "nightly", Time: now.Add(-27 * time.Hour)}, now, 26*time.Hour), Fail, "27h old", "berth snapshot create"},
		{Age(reference.Snapshot{Name: "nightly", Time: time.Time{}}, now, 26*time.Hour), Warn, "nobody says", "BERTH_ONTAP"},
		{Age(reference.Snapshot{Name: "nightly", Time: now.Add(-27 * time.Hour), Approximate: true}, now, 26*time.Hour), Warn, "nobody says", "BERTH_ONTAP"},
		{Age(reference.Snapshot{Name: "nightly", Time: now.Add(-time.Hour), Hidden: true}, now, 26*time.Hour), Warn, "and hidden", "berth ontap status"},
		{Age(reference.Snapshot{Name: "nightly", Time: now.Add(-time.Hour), Approximate: true}, now, 26*time.Hour), Warn, "nobody says", "BERTH_ONTAP"},
		{Age(reference.Snapshot{Name: "nightly", Time: now.Add(-time.Hour), WithoutAPI: "password refused"}, now, 26*time.Hour), Warn, "did not answer (password refused)", "berth ontap status"},
		{Age(reference.Snapshot{Name: "nightly", Time: now.Add(-27 * time.Hour), WithoutAPI: "password refused"}, now, 26*time.Hour), Fail, "27h old", "snapshot create"},
		{Age(reference.Snapshot{Name: "nightly", Time: now.Add(9 * time.Hour)}, now, 26*time.Hour), Warn, "9h in the future", "BERTH_TZ"},
		{Age(reference.Snapshot{Name: "nightly", Time: now.Add(2 * time.Minute), Approximate: true}, now, 26*time.Hour), Warn, "2m in the future", "BERTH_TZ"},
		{Age(reference.Snapshot{Name: "nightly", Time: now.Add(time.Minute)}, now, 26*time.Hour), OK, "0s old", ""},
		{NoSnapshot(Fail), Fail, "no snapshot", "policy"},
		{NoSnapshot(OK), OK, "none", ""},
	})
}

func TestLocks(t *testing.T) {
	requireAll(t, []judged{
		{NoLocks(), Warn, "nolock", "BERTH_MOUNT_OPTIONS"},
		{LockServices(nil), OK, "rpc.statd", ""},
		{LockServices(errors.New("rpc.statd is not registered")), Warn, "not registered", "nfs-common"},
		{judgeLock("f:1", "", nfs.LockGranted, nil), OK, "let one in", ""},
		{judgeLock("f:1", "", 0, syscall.ECONNREFUSED), Fail, "does not answer", "firewall"},
		{judgeLock("f:1", stepFirst, nfs.LockNoLocks, nil), Fail, "NLM4_DENIED_NOLOCKS", "rpc.statd"},
		{judgeLock("f:1", stepFirst, nfs.LockGracePeriod, nil), Warn, "just started", "wait"},
		{judgeLock("f:1", stepFirst, nfs.LockFailed, nil), Fail, "refused", "vserver locks show"},
		{judgeLock("f:1", stepSecond, nfs.LockGranted, nil), Fail, "let in beside", "databases"},
		{judgeLock("f:1", stepFreed, nfs.LockDenied, nil), Fail, "still held", "vserver locks show"},
		{judgeLockFile("", nil), OK, "let one in", ""},
		{judgeLockFile(stepFirst, syscall.ENOLCK), Fail, "no locks", "nfs-common"},
		{judgeLockFile(stepSecond, nil), Fail, "let in beside", "databases"},
		{judgeLockFile(stepFirst, syscall.EIO), Fail, "input/output", "dmesg"},
	})
}

func TestKernelMount(t *testing.T) {
	mount := func(fstype, options string) Finding {
		return KernelMount(&mountinfo.Info{Mountpoint: "/m/export.1", FSType: fstype, Options: "rw,relatime", VFSOptions: options})
	}
	const good = "rw,vers=3,rsize=65536,wsize=65536,namlen=255,hard,proto=tcp,local_lock=none,addr=10.0.0.5"
	requireAll(t, []judged{
		{KernelMount(nil), OK, "none yet", ""},
		{mount("ext4", "rw"), OK, "is on ext4", ""},
		{mount("nfs", good), OK, "vers=3,rsize=65536,wsize=65536,hard,proto=tcp,local_lock=none,addr=10.0.0.5", ""},
		{mount("nfs", strings.Replace(good, "hard", "soft", 1)), Warn, "is soft", "hard"},
		{mount("nfs", good+",nolock"), Warn, "no locks between nodes", "rpc-statd"},
		{mount("nfs", strings.Replace(good, "local_lock=none", "local_lock=all", 1)), Warn, "no locks between nodes", "rpc-statd"},
		{mount("nfs4", strings.Replace(good, "vers=3", "vers=4.2", 1)), Warn, "is NFS version 4.2", "vers=3"},
		{mount("nfs", strings.Replace(good, "rsize=65536", "rsize=8192", 1)), Warn, "rsize=8192: slow", "rsize"},
		{mount("nfs", "ro,"+good), Warn, "is read-only", "rw"},
		{mount("nfs", strings.Replace(good, "hard", "soft", 1)+",nolock"), Warn, "is soft: writes are lost when the filer is away for a moment, has no locks", "hard"},
	})
	root, err := MountOf("/")
	require.NoError(t, err)
	require.Equal(t, "/", root.Mountpoint)
	proc, err := MountOf("/proc/self")
	require.NoError(t, err)
	require.Equal(t, "proc", proc.FSType)
}

func TestVolumes(t *testing.T) {
	broken := &problem.Error{Kind: problem.Failed, Reason: "it is empty", Hint: "x"}
	now := time.Now()
	at := func(age time.Duration) *time.Time { t := now.Add(-age); return &t }
	requireAll(t, []judged{
		{metadata(&volume.Survey{Volumes: []string{"a", "b"}, Adopted: []string{"b"}}), OK, "2 volumes, 1 of them adopted", ""},
		{metadata(&volume.Survey{Broken: map[string]error{"a": broken}}), Fail, "it is empty", "berth volume repair a"},
		{unfinished(&volume.Survey{}), OK, "", ""},
		{unfinished(&volume.Survey{Unfinished: []string{"a"}}), Warn, "a is recorded and has no directory", "docker volume create -d berth a"},
		{forgotten(&volume.Survey{}), OK, "", ""},
		{forgotten(&volume.Survey{Forgotten: map[string][]string{"a": {"n1"}}}), Warn, "a is in use, and not on the export: by n1", "berth volume ps a"},
		{convoy(&volume.Survey{}), OK, "no records", ""},
		{convoy(&volume.Survey{Convoy: []string{"a"}, Adopted: []string{"a"}}), Warn, "1 volume", "berth import convoy"},
		{convoy(&volume.Survey{Convoy: []string{"a"}}), OK, "known to berth", ""},
		{staging(sweep.Left{Purging: 1}), OK, "1 tree being deleted", ""},
		{staging(sweep.Left{Purging: 2, Stuck: []sweep.Stuck{{Path: ".berth/staging/purge.x", Since: now.Add(-3 * time.Hour), Reason: "1 left: operation not permitted"}}}), Warn,
			"a tree cannot be deleted: purge.x, since " + now.Add(-3*time.Hour).UTC().Format("2006-01-02 15:04Z") + ": 1 left: operation not permitted", "look at .berth/staging/purge.x on the export: lsattr -R"},
		{staging(sweep.Left{Purging: 2, Stuck: []sweep.Stuck{{Path: "a/x", Since: now}, {Path: "a/y", Since: now}}}), Warn, "2 trees are still there an hour after berth began to delete: x, y; this node has found no fault", "other nodes"},
		{Jobs([]*job.Job{{ID: "job-1", State: job.Unreadable, Error: "the journal x is not readable", Items: []job.Item{{Volume: "blog"}}}}), Fail, "the journal x is not readable, and nothing can be done to blog", "look at it on the export"},
		{staging(sweep.Left{Lost: 2}), Warn, "2 private files", "journalctl"},
		{Trash(nil, now), OK, "empty", ""},
		{PassedOver(nil), OK, "nothing is left out", ""},
		{PassedOver([]problem.Fault{{Event: "the leases of a volume cannot be read", Item: "a", Reason: "input/output error"}}), Warn, "a: the leases of a volume cannot be read: input/output error", "goes on by itself"},
		{PassedOver(make([]problem.Fault, 7)), Warn, "and 6 more items", ""},
		{Trash([]*volume.Trashed{{ID: "1", Kind: "undo", Expires: at(-time.Hour)}, {ID: "2", Kind: "removed"}}, now), OK, "1 removed, 1 undo", ""},
		{Trash([]*volume.Trashed{{ID: "1", Kind: "undo", Expires: at(time.Hour)}}, now), Warn, "one item is long expired and still there: 1", "berth trash purge"},
		{Trash([]*volume.Trashed{{ID: "1", Kind: "undo", Expires: at(time.Hour)}, {ID: "2", Kind: "undo", Expires: at(time.Hour), Stays: "operation not permitted"}}, now), Warn, "2 items are long expired and still there: 1, 2; 2: operation not permitted", "lsattr -d"},
		{ControlFiles(nil)[0], OK, "", ""},
		{ControlFiles([]export.Fault{{Path: ".berth/locks/a", Volume: "a", Why: export.Unfit("belongs to volume %q", "b")}})[0], Fail, `.berth/locks/a of volume a is damaged, and nothing is done on its word: belongs to volume "b"`, "berth volume repair a"},
		{ControlFiles([]export.Fault{{Path: ".berth/pauses.json", Why: export.Unfit("is empty")}})[0], Fail, "", "berth volume repair .berth/pauses.json"},
		{ControlFiles(make([]export.Fault, 25))[20], Fail, "5 control files more", ""},
		{Jobs(nil), OK, "0 jobs", ""},
		{Jobs([]*job.Job{{State: job.Copying}}), OK, "1 job at work", ""},
		{Jobs([]*job.Job{{State: job.Failed, Op: cluster.OpRestore, Node: "n1", Error: "full", Items: []job.Item{{Volume: "a"}}}}), Fail, "the restore of a, begun on n1, failed: full", "--resume a, or --abort a"},
		{Jobs([]*job.Job{{State: job.Copying, Interrupted: true, Op: cluster.OpUndo, Items: []job.Item{{Volume: "a"}}}}), Fail, "was interrupted", "--resume a"},
	})
}

func TestNodes(t *testing.T) {
	n := func(name string, l cluster.Life, version, health string) cluster.NodeInfo {
		return cluster.NodeInfo{Node: name, State: l, Version: version, Health: health, Age: 100}
	}
	stopped := n("n2", cluster.Expired, "1.0", "ok")
	stopped.Stopped = true
	up := n("n1", cluster.Live, "1.0", "ok")
	with := func(i cluster.NodeInfo) []cluster.NodeInfo { return []cluster.NodeInfo{up, i} }
	twice := up
	twice.Doubled = true
	use := func(name, node string, l cluster.Life, mounts int, stale bool) cluster.User {
		return cluster.User{Volume: name, Node: node, State: l, Mounts: mounts, Stale: stale}
	}
	one := []cluster.User{use("a", "n1", cluster.Live, 1, false)}
	two := []cluster.User{use("a", "n1", cluster.Live, 2, false)}
	view := []cluster.User{use("a@s", "n1", cluster.Live, 1, false)}
	requireAll(t, []judged{
		{heartbeats(with(stopped)), OK, "n1 beats; stopped with nothing in use: n2", ""},
		{heartbeats(nil), OK, "none beats yet", ""},
		{heartbeats(with(n("n2", cluster.Expired, "1.0", "ok"))), Warn, "n2: silent for 100s", ".berth/nodes/n2.json"},
		{heartbeats(with(n("n2", cluster.Unattended, "1.0", "ok"))), Warn, "its containers go on", "on n2: docker plugin enable"},
		{doubled(with(up), "n1"), OK, "this node is n1", ""},
		{doubled([]cluster.NodeInfo{twice}, "n1"), Fail, "two nodes call themselves n1", "BERTH_NODE"},
		{versions(with(n("n2", cluster.Live, "1.0", "ok"))), OK, "1.0 on all", ""},
		{versions(with(n("n2", cluster.Live, "0.9", "ok"))), Warn, "n1 has 1.0, n2 has 0.9", "upgrade --nodes n1,n2"},
		{versions(with(n("n2", cluster.Expired, "0.9", "ok"))), OK, "1.0 on all", ""},
		{health(with(up)), OK, "well", ""},
		{health(with(n("n2", cluster.Live, "1.0", "degraded: no locks"))), Warn, "n2 says: degraded: no locks", "on n2: berth doctor"},
		{Users(one), OK, "1 use", ""},
		{Users([]cluster.User{use("a", "n1", cluster.Live, 1, true)}), Warn, "old mount of the export: a on n1", "restart"},
		{Users([]cluster.User{use("a", "n1", cluster.Fenced, 1, true)}), Fail, "write to the trash", "stop"},

		{Claims(one, one, map[string]int{"a": 1}), OK, "has its container", ""},
		{Claims(two, one, map[string]int{"a": 1}), OK, "has its container", ""},
		{Claims(one, one, nil), Warn, "a (1 use, 0 containers)", "berth volume release a"},
		{Claims(two, two, map[string]int{"a": 1}), Warn, "a (2 uses, 1 container)", "stop its containers"},
		{Claims(view, view, nil), Warn, "a@s (1 use", "berth volume release a@s"},
		{Swarm([]string{"n1"}, with(up)), OK, "1 ready node", ""},
		{Swarm(nil, with(up)), Warn, "none of its nodes ready", "docker node ls"},
		{Swarm([]string{"n1", "n3"}, with(up)), Warn, "n3", "install --nodes n3"},
		{Swarm([]string{"n1", "n3"}, with(n("web3", cluster.Live, "1.0", "ok"))), OK, "one reports under other names: web3", ""},
		{Shadows([]string{"x"}, []string{"a"}), OK, "none of 1 local volume", ""},
		{Shadows([]string{"a", "x"}, []string{"a"}), Warn, "hide the export's of the same name: a", "docker volume rm a"},
		{Drift(nil, ""), OK, "", ""},
		{Drift([]string{"1", "2", "3", "4"}, "berth volume set a"), Warn, "1; 2; 3; and 1 more", "berth volume set a"},
	})
}

func TestPlugin(t *testing.T) {
	silent := errors.New("no berth answers")
	enabled, disabled := Plugin{"berth:latest", true}, Plugin{"berth:latest", false}
	requireAll(t, []judged{
		{PluginAnswers(enabled, "/s", "1.0", "1.0"), OK, "berth:latest is enabled, version 1.0 answers on /s", ""},
		{PluginAnswers(Plugin{}, "/s", "1.0", "1.0"), OK, "'berth serve', version 1.0", ""},
		{PluginAnswers(disabled, "/s", "1.0", "1.0"), OK, "is disabled, so 'berth serve' answers", ""},
		{PluginAnswers(enabled, "/s", "0.9", "1.0"), Warn, "this command is version 1.0", "upgrade"},
		{PluginSilent(enabled, silent, nil), Fail, "is enabled and does not answer", "docker plugin disable -f berth:latest && docker plugin enable berth:latest"},
		{PluginSilent(disabled, silent, nil), Fail, "is disabled", "docker plugin enable berth:latest"},
		{PluginSilent(Plugin{}, silent, nil), Fail, "no managed plugin is installed", "berth-nodes.sh install"},
		{PluginSilent(Plugin{}, silent, syscall.ENOENT), Fail, "the Docker engine does not answer", "systemctl status docker"},
		{NoEngine(&net.OpError{Op: "dial", Err: syscall.ENOENT}), Warn, "does not answer here", "systemctl"},
		{NoEngine(os.ErrPermission), Warn, "not for this user", "sudo"},
		{Directory("/proc/self"), OK, "is on /proc (proc)", ""},
	})
}

func TestSite(t *testing.T) {
	answers := map[string]int{}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for prefix, code := range answers {
			if strings.HasPrefix(r.URL.Path, prefix) {
				if code == http.StatusFound {
					w.Header().Set("Location", "/login")
				}
				w.WriteHeader(code)
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer site.Close()
	look := func(a map[string]int) Finding {
		answers = a
		return Site(t.Context(), site.URL, "nightly")
	}
	requireAll(t, []judged{
		{look(nil), OK, "/.snapshot/: 404, /.snapshot/nightly/: 404", ""},
		{look(map[string]int{"/.snapshot/": 403}), OK, "/.snapshot/: 403", ""},
		{look(map[string]int{"/.snapshot/": 302}), OK, "302", ""},
		{look(map[string]int{"/.snapshot/nightly/": 200}), Fail, "serves old versions of its files: /.snapshot/nightly/: 200", "location"},
		{look(map[string]int{"/": 200}), Warn, "answers 200 to any name", "curl"},
		{look(map[string]int{"/.snapshot": 500}), Warn, "neither yes nor no", "curl -I"},
		{Site(t.Context(), "www.example.edu", ""), Fail, "no address of a web site", "--url https://"},
	})
	site.Close()
	requireAll(t, []judged{{Site(t.Context(), site.URL, ""), Warn, "does not answer", "curl -I"}})
}
