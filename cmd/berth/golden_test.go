package main

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/convoy"
	"github.com/casit/berth/docker"
	"github.com/casit/berth/doctor"
	"github.com/casit/berth/job"
	"github.com/casit/berth/ontap"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/proxy"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/df"
	"github.com/casit/berth/snapshot/embedded"
	"github.com/casit/berth/snapshot/netapp"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/stack"
	"github.com/casit/berth/sweep"
	"github.com/casit/berth/volume"
)

// requireGolden compares a text with a file of testdata/golden; -update writes
// the file.
func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata/golden", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "after a change that is meant: go test ./cmd/berth -run Golden -update")
}

// at is a time of November 2026, and now the time at which all is rendered.
func at(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 0, 0, 0, time.UTC) }

var (
	now      = show.Times{Zone: time.UTC, Now: at(30, 3)}
	nightly  = reference.Snapshot{Name: "nightly.2026-11-29_0010", Time: at(29, 0), Origin: "filer"}
	guessed  = reference.Snapshot{Name: "two words\x1b[31m", Time: at(1, 0), Approximate: true, Origin: "server"}
	dateless = reference.Snapshot{Name: "by-hand", Origin: "server"}
	unsaid   = []byte("caf\xe9 \xe2\x80\xae")
)

// userOn is a node that uses a volume.
func userOn(volume, node string, state cluster.Life, age float64) cluster.User {
	return cluster.User{Volume: volume, Node: node, Since: at(20, 8), State: state, Age: age}
}

// renderings draw what users see: of each there is a golden file, with a
// narrow terminal, a common one, and none.
var renderings = map[string]func(w io.Writer, width int) error{
	"plan": func(w io.Writer, width int) error {
		renderPlan(w, planView{times: now, stop: true, stops: docker.Stops{Lost: []string{"shell"}}, uses: []docker.Use{{Volume: "shop_db", Node: "node1", Service: "shop_db", Task: "shop_db.1"}, {Volume: "shop_web", Node: "node1", Container: "web"}},
			Plan: &snapshot.Plan{Op: cluster.OpRestore, Engine: snapshot.EngineCopy, Need: 3 << 30, Avail: 700 << 30, KeepDays: 7, Without: "the export keeps no extended attributes: 3 files come back without theirs",
				Users: []cluster.User{userOn("shop_db", "node1", cluster.Live, 2), userOn("shop_web", "node1", cluster.Live, 2), userOn("shop_web", "node2", cluster.Silent, 75)},
				Items: []snapshot.PlanItem{
					{Volume: "shop_db", Ref: "shop_db@" + nightly.Name, Snapshot: &nightly, Database: true, Changes: compare.Changes{Modified: 1234, Added: 5, Removed: 6789, Updated: 1, Unchanged: 1000000, Disguised: 2}},
					{Volume: "shop_web", Path: "a", PathB64: unsaid, Ref: "x", RefB64: append([]byte("shop_web@s:"), unsaid...), Snapshot: &guessed, Parents: []string{"wp content"}, New: true, Files: 12, Bytes: 4096},
				}}}, width)
		return nil
	},
	"undo": func(w io.Writer, width int) error {
		renderPlan(w, planView{times: now, to: "beside", Plan: &snapshot.Plan{Op: cluster.OpUndo, Engine: snapshot.EngineMove, Users: []cluster.User{userOn("blog", "node1", cluster.Live, 2)},
			Items: []snapshot.PlanItem{{Volume: "blog", Ref: "as before the restore to blog@nightly"}}}}, width)
		return nil
	},
	"engines": func(w io.Writer, width int) error {
		for _, e := range []snapshot.Engine{snapshot.EngineFiler, snapshot.EngineSync} {
			renderPlan(w, planView{times: now, Plan: &snapshot.Plan{Engine: e, Need: 1 << 20, KeepDays: 0.5, Items: []snapshot.PlanItem{{Volume: "blog", Ref: "blog@by-hand", Snapshot: &dateless}}}}, width)
		}
		return nil
	},
	"volumes": func(w io.Writer, width int) error {
		return renderVolumes(w, []*volume.Info{
			{Name: "blog", Created: at(2, 9), Options: volume.Options{"access": "shared"}, Health: "ok", SizeBytes: 9 << 30, UsedBytes: 8 << 30, Files: 1234567},
			{Name: "counted", Created: at(2, 9), Options: volume.Options{"access": "shared"}, Health: "ok", ByFiler: true, UsedBytes: 7 << 30, Files: 7654321},
			{Name: "legacy", Adopted: true, Options: volume.Options{"access": "shared"}, Health: "ok", Unmeasured: true, Users: []cluster.User{userOn("legacy", "node1", cluster.Live, 1), userOn("legacy", "node2", cluster.Silent, 70)}},
			{Name: "broken", Created: at(3, 9), Health: "the metadata of volume broken cannot be read: unexpected end of JSON input; 'berth volume repair broken' replaces it"},
		}, true, now, width)
	},
	"volumes-empty": func(w io.Writer, width int) error { return renderVolumes(w, nil, false, now, width) },
	"users": func(w io.Writer, width int) error {
		stale, fenced := userOn("shop_web", "node2", cluster.Live, 3), userOn("shop_db", "node3", cluster.Fenced, 4000)
		stale.Stale, fenced.Fenced = true, "20261129-0500-9f2c51"
		late := &volume.Trashed{ID: "20261129-0500-9f2c51", Volume: "shop_db", From: "node3", Since: at(29, 5), Late: &volume.Late{Files: 3, Bytes: 49152}}
		got := plugin.Users{Users: []cluster.User{userOn("blog", "node1", cluster.Live, 1.5), stale, fenced},
			Jobs: []*job.Job{
				{ID: "job-1", Op: cluster.OpRestore, State: job.Copying, Node: "node1", Since: at(30, 2), Items: []job.Item{{Volume: "blog"}, {Volume: "shop_web"}}},
				{ID: "job-2", Op: cluster.OpRestore, State: job.Copying, Interrupted: true, Node: "node3", Since: at(30, 2), Items: []job.Item{{Volume: "news"}}},
				{ID: "job-3", State: job.Unreadable, Error: "the journal .berth/staging/job-3/journal.json is not readable by this berth"},
			},
			Locks:  []cluster.Lock{{Volume: "blog", Work: "job-1"}, {Volume: "old", Op: cluster.OpRemove, Node: "node1", Since: at(30, 2)}},
			Fenced: []*volume.Trashed{late, {Volume: "quiet"}}}
		rows := userRows(got, usesOf(got.Users, []docker.Use{{Volume: "blog", Node: "node1", Container: "blog-site"}, {Volume: "shop_web", Node: "node2", Service: "shop_web", Task: "shop_web.1"}}), now)
		return show.Table(w, []string{"VOLUME", "NODE", "SERVICE", "TASK", "SINCE", "HEARTBEAT", "STATE"}, rows, width)
	},
	"trash": func(w io.Writer, width int) error {
		expires, over := at(30, 9), at(27, 5)
		return show.Trash(w, []*volume.Trashed{
			{ID: "20261123-0530-9f2c51", Volume: "blog", Kind: "removed", Removed: at(23, 5), By: "node1", Expires: &expires},
			{ID: "20261124-0530-9f2c52", Volume: "shop_db", Kind: "fenced", Removed: at(24, 5), By: "node2"},
			{ID: "20261120-0530-9f2c53", Volume: "old", Kind: "removed", Removed: at(20, 5), By: "node2", Expires: &over, Stays: "rename .berth/trash/20261120-0530-9f2c53: operation not permitted"}},
			[]sweep.Stuck{{Path: ".berth/staging/purge.20261110-0530-9f2c54", Since: at(22, 5), Reason: "1 left in .berth/staging/purge.20261110-0530-9f2c54: remove data/.nfs000000000000000100000001: device or resource busy"}}, now, width)
	},
	"listing": func(w io.Writer, width int) error {
		same := &compare.Changes{Unchanged: 5}
		some := &compare.Changes{Added: 12, Removed: 1, Modified: 3, Updated: 2, Disguised: 1}
		all := []snapshot.Listing{{Volume: "blog", How: snapshot.How("filer"), Policy: &netapp.Policy{Name: "default", Text: "hourly 6, nightly 2", Next: []time.Time{at(30, 4), at(30, 5)}},
			Versions: []snapshot.Version{{Snapshot: nightly, Before: some, Live: some}, {Snapshot: guessed, Before: same, Live: some}, {Snapshot: dateless, Before: same, Live: some}, {Snapshot: reference.Snapshot{Name: "future", Time: at(30, 9)}, Live: some}}},
			{Volume: "gone", Deleted: true, Versions: []snapshot.Version{}}}
		err := show.Listings(w, all, snapshot.ListRequest{Stack: "shop", Changes: true}, now, width)
		for _, remark := range listingRemarks(all, now) {
			show.Indented(w, "berth: ", remark, width)
		}
		return err
	},
	"listing-locked": func(w io.Writer, width int) error {
		same := &compare.Changes{Unchanged: 5}
		locked, over := nightly, guessed
		locked.LockedUntil, over.LockedUntil = at(30, 9).AddDate(0, 1, 0), at(29, 9)
		all := []snapshot.Listing{{Volume: "blog", Versions: []snapshot.Version{{Snapshot: dateless, Before: same}, {Snapshot: locked, Before: same}, {Snapshot: over, Before: same}, {Snapshot: dateless, Before: same}}}}
		return show.Listings(w, all, snapshot.ListRequest{Changes: true}, now, width)
	},
	"listing-empty": func(w io.Writer, width int) error {
		all := []snapshot.Listing{{Volume: "blog", How: snapshot.ByBerth}}
		fmt.Fprintln(w, listingRemarks(all, now))
		return show.Listings(w, all, snapshot.ListRequest{}, now, width)
	},
	"versions": func(w io.Writer, width int) error {
		return renderVersions(w, []snapshot.FileVersion{
			{Path: "wp-config.php", Kind: "file", SizeBytes: 3000, Modified: at(20, 1), Snapshots: []reference.Snapshot{nightly}, Deleted: &nightly},
			{Path: "wp-config.php", Kind: "file", SizeBytes: 3000, Modified: at(20, 1), Snapshots: []reference.Snapshot{guessed, dateless}, Differs: "content"},
		}, false, now, width)
	},
	"versions-live": func(w io.Writer, width int) error {
		return renderVersions(w, []snapshot.FileVersion{
			{Path: "i", Kind: "file", SizeBytes: 1, Modified: at(29, 1), Live: true},
			{Path: "i", Kind: "file", SizeBytes: 2, Modified: at(20, 1), Live: true, Snapshots: []reference.Snapshot{nightly}},
		}, false, now, width)
	},
	"versions-deleted": func(w io.Writer, width int) error {
		return renderVersions(w, []snapshot.FileVersion{{PathB64: unsaid, Kind: "directory", Modified: at(20, 1), Snapshots: []reference.Snapshot{nightly}}}, true, now, width)
	},
	"usage": func(w io.Writer, width int) error {
		u := &df.Usage{Total: 1 << 40, Used: 600 << 30, Avail: 424 << 30, Live: 500 << 30, Trash: 7 << 30, Undo: 3 << 20, Now: 8 << 30, Later: 1 << 30, Snapshots: 20 << 30, SnapshotCount: 12, Oldest: &guessed, Other: 5 << 30,
			Items:  []df.Item{{Trashed: volume.Trashed{ID: "a", Kind: "removed"}}, {Trashed: volume.Trashed{ID: "b", Kind: "undo"}, Failed: "permission denied"}},
			Failed: []embedded.LeftOut{{Volume: "blog", Reason: "permission denied"}}}
		err := show.Usage(w, u, now, width)
		fmt.Fprintln(w, strings.Join(show.UsageRemarks(u), "\n"))
		u.Live, u.Shared, u.Items, u.Failed = -1, true, nil, nil
		fmt.Fprintln(w)
		if err == nil {
			err = show.Usage(w, u, now, width)
		}
		fmt.Fprintln(w, strings.Join(show.UsageRemarks(u), "\n"))
		return err
	},
	"about": func(w io.Writer, width int) error {
		return renderAbout(w, plugin.About{Version: "0.9", Node: "node1", Export: "nfs://filer.example.edu/docker_vols", ID: "0123456789abcdef", Mount: "/mnt/export.1", Health: "ok", Nodes: []cluster.NodeInfo{
			{Node: "node1", State: cluster.Live, Age: 1, Version: "0.9", Health: "ok"}, {Node: "node2", State: cluster.Silent, Age: 80, Version: "0.8", Health: "the export does not answer; the filer's address is not reachable from here"}}}, width)
	},
	"findings": func(w io.Writer, width int) error {
		return renderFindings(w, []stack.Finding{
			{Volume: "shop_db", Option: "access", File: "single", Live: "shared", Mend: "berth volume set shop_db access=single uid=999"},
			{Volume: "shop_db", Option: "uid", File: "999", Live: "0", Mend: "berth volume set shop_db access=single uid=999"},
			{Volume: "shop_web", Problem: "it has no driver: it is a local volume, another one on each node", Mend: "add 'driver: berth' to it in the file"},
			{Volume: "tpl", Note: true, Problem: "its name is a template, so it is not compared"}}, width)
	},
	"findings-none": func(w io.Writer, width int) error { return renderFindings(w, nil, width) },
	"doctor": func(w io.Writer, width int) error {
		r := doctor.Report{Unasked: []string{"probe", "space"}}
		r.Add("node", doctor.Finding{Check: "plugin", State: doctor.OK, Evidence: "it is enabled"})
		r.Add("export", doctor.Finding{Check: "portmap", State: doctor.Warn, Next: "systemctl start rpcbind.socket rpcbind.service rpc-statd.service and then look again",
			Evidence: "the lock manager of filer.example.edu is not registered with its rpcbind, so two servers on one file do not notice each other"},
			doctor.Finding{Check: "mount", State: doctor.Fail, Evidence: "a name \x1b[31m that plays with terminals", Next: "ping filer"})
		renderReport(w, &r, width)
		return nil
	},
	"import": func(w io.Writer, width int) error {
		return renderImport(w, &convoy.Report{DryRun: true, Volumes: 2, Databases: 1, Orphans: 1, Broken: 1, Items: []*convoy.Item{
			{Volume: "blog", State: convoy.Imported, Created: at(1, 1), Notes: []string{"its record says 10 GiB, which berth does not enforce"}},
			{Volume: "db", State: convoy.Imported, Created: at(2, 1), Database: "ibdata1"},
			{Volume: "lost", State: convoy.Adopted}, {Volume: "bad\nname", State: convoy.Broken, Reason: "broken: unexpected end of JSON input"}}}, plugin.ImportRequest{DryRun: true}, now, width)
	},
	"import-undo": func(w io.Writer, width int) error {
		return renderImport(w, &convoy.Report{Items: []*convoy.Item{{Volume: "blog", State: convoy.Undone}, {Volume: "db", State: convoy.Kept, Reason: "its options were changed since"}}}, plugin.ImportRequest{Undo: true}, now, width)
	},
	"ontap": func(w io.Writer, width int) error {
		show.ONTAP(w, plugin.ONTAPStatus{Address: "filer.example.edu", Cluster: "c1", Version: "9.14.1", User: "berth", Role: "berth", SVM: "svm1", Volume: "docker_vols", Junction: "/docker_vols", Below: "sub", Security: "unix", SizeBytes: 1 << 40, AvailableBytes: 1 << 39, SnapshotUsedBytes: new(int64(1 << 33)), Snapshots: new(int64(14)),
			Hidden: []string{"snapdir-access is off"}, Visible: new(false), RootSquashed: []string{"10.1.0.0/16"}, Missing: []plugin.MissingPrivilege{{Path: "/api/storage/volumes", Access: "readonly", For: "everything", Grant: "security login rest-role create …"}, {Path: "/api/x", Access: "all", For: "restores without copying", Optional: true, Grant: "…"}},
			SnapshotLimit: 1023, ReservePercent: new(int64(5)), Autodelete: new(true), Locked: []plugin.LockedSnapshot{{Name: "berth.legal", Until: at(1, 1)}},
			Copies:         []plugin.ONTAPCopy{{Destination: "svm9:vault", State: "snapmirrored", Healthy: new(false), LagSeconds: new(200000.0), Reasons: []string{"Transfer failed."}}, {Destination: "svm8:far"}},
			AntiRansomware: "enabled", AttackProbable: "moderate", Suspects: []ontap.Suspect{{Count: new(int64(3)), Format: "lockbit"}}, Analytics: "off", AnalyticsEnable: "volume analytics on -vserver svm1 -volume docker_vols",
			Unproven: []string{"/api/protocols/locks all"},
			Problems: []plugin.ONTAPProblem{{Part: "snapshot policy", Error: "HTTP 403", Next: "on the filer: security login rest-role create …"}}}, width)
		fmt.Fprintln(w, "\nNothing is known:")
		show.ONTAP(w, plugin.ONTAPStatus{Address: "f", Volume: "v"}, width)
		return nil
	},
	"proxy": func(w io.Writer, _ int) error {
		changes := proxy.Changes{Dir: "puppet/files", List: []proxy.Change{{Name: "sites/a.conf", Kind: proxy.Added, New: []byte("a\n")}, {Name: "sites/b.conf", Kind: proxy.Changed, Old: []byte("b\n"), New: []byte("c")}, {Name: "sites/c.conf", Kind: proxy.Removed, Old: []byte("c\n")}, {Name: "sites/d.conf", Kind: proxy.Same}}}
		if err := changes.Print(w, false); err != nil {
			return err
		}
		return changes.Print(w, true)
	},
	"progress": func(w io.Writer, width int) error {
		for _, p := range []job.Progress{{State: job.Prepared}, {State: job.Copying, Files: 1234, Bytes: 5 << 20, Seconds: 0.4},
			{State: job.Copying, Files: 12345, Total: 1234567, Bytes: 5 << 30, Of: 90 << 30, Seconds: 60}, {State: job.Copying, Files: 10, Total: 10, Bytes: 9, Of: 9, Seconds: 2}} {
			fmt.Fprintln(w, renderProgress(p, width))
		}
		return nil
	},
	"diff": func(w io.Writer, width int) error {
		file := func(mode uint32, uid uint32, bytes int64, day int) *compare.File {
			return &compare.File{Kind: "file", Mode: mode, UID: uid, Bytes: bytes, Modified: at(day, 1)}
		}
		dir := &compare.File{Kind: "directory"}
		p := &show.Differences{To: w, Width: width}
		for _, d := range []snapshot.Diff{
			{Change: &compare.Change{Kind: "M", Path: "index.php", Before: file(0o644, 33, 20, 1), After: file(0o600, 0, 7, 2)}},
			{Change: &compare.Change{Kind: "M", Path: "same", Before: file(0o644, 33, 7, 1), After: file(0o644, 33, 7, 1)}},
			{Change: &compare.Change{Kind: "U", PathB64: unsaid, Fields: "ctime", Before: file(0o644, 33, 7, 1), After: file(0o644, 33, 7, 1)}},
			{Change: &compare.Change{Kind: "T", Path: "link", Before: file(0o644, 33, 7, 1), After: &compare.File{Kind: "symlink"}}},
			{Change: &compare.Change{Kind: "-", Path: "plugins/akismet", Before: dir}},
			{Change: &compare.Change{Kind: "-", Path: "plugins/akismet/a.php", Before: file(0o644, 33, 4096, 1)}},
			{Change: &compare.Change{Kind: "-", Path: "plugins/akismet/b.php", Before: file(0o644, 33, 1, 1)}},
			{Change: &compare.Change{Kind: "+", Path: "empty", After: dir}},
			{Change: &compare.Change{Kind: "+", Path: "a-name-that-is-longer-than-the-column-that-is-there-for-it.php", After: file(0o644, 33, 1, 1)}},
			{Change: &compare.Change{Kind: "+", Path: "pipe", After: &compare.File{Kind: "fifo"}}},
			{Changes: &compare.Changes{Added: 3, AddedBytes: 1, Modified: 3, Updated: 1, Removed: 3, RemovedBytes: 4097, Unchanged: 131, Disguised: 1, KeptOpen: 2}},
		} {
			if err := p.Print(d); err != nil {
				return err
			}
		}
		return p.End(true)
	},
}

func TestGoldenRenderings(t *testing.T) {
	for name, render := range renderings {
		t.Run(name, func(t *testing.T) {
			var all bytes.Buffer
			for _, width := range []int{60, 80, 0} {
				var out bytes.Buffer
				require.NoError(t, render(&out, width))
				require.NotContains(t, out.String(), "\x1b", "nothing that plays with terminals, and no colour")
				title := fmt.Sprintf("%d columns", width)
				if width == 0 {
					title = "no terminal"
				}
				fmt.Fprintf(&all, "== %s ==\n%s", title, out.String())
			}
			requireGolden(t, name+".txt", all.String())
		})
	}
}

// TestGoldenHelp holds the help of every command: what users read first.
func TestGoldenHelp(t *testing.T) {
	var all strings.Builder
	for _, path := range commandPaths(commands(&app{}), nil) {
		var out bytes.Buffer
		require.Equal(t, exitDone, run(t.Context(), append(path, "--help"), nil, &out, &out))
		fmt.Fprintf(&all, "== berth %s ==\n%s\n", strings.Join(path, " "), out.String())
	}
	requireGolden(t, "help.txt", all.String())
}

func TestNodesAreAddresses(t *testing.T) {
	for list, want := range map[string][]netip.Addr{"": nil, "10.0.0.1": {netip.MustParseAddr("10.0.0.1")}, "::ffff:10.0.0.2, fd00::1": {netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::1")}} {
		got, err := parseNodes(list)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, list := range []string{"node1", "0.0.0.0", "fe80::1%eth0", "10.0.0.1;10.0.0.2"} {
		_, err := parseNodes(list)
		require.Error(t, err, list)
	}
}
