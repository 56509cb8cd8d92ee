package uml

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// TestAProjectOfTheKernelsServer has an XFS behind the Linux kernel's NFS server, in
// which one volume has a project quota: NFS3ERR_NOSPC on a write, NFS3ERR_XDEV on a
// rename into it. Like an ONTAP qtree it has the fsid of its export.
func TestAProjectOfTheKernelsServer(t *testing.T) {
	l := pair(t)
	h := l.Hosts[1]
	dir := startNFSD(t, h)
	sh := func(script string) string {
		t.Helper()
		return h.Run(t, "sh", "-ec", script)
	}
	disk := dir + "/xfs"
	sh(`modprobe loop; test -e /dev/loop0 || mknod /dev/loop0 b 7 0
		truncate -s 320M /var/lib/docker/xfs.image && mkfs.xfs -q -f /var/lib/docker/xfs.image
		mkdir -p ` + disk + ` && mount -t xfs -o loop,prjquota /var/lib/docker/xfs.image ` + disk + `
		mkdir ` + disk + `/site && chmod 777 ` + disk + `/site
		xfs_quota -D /dev/null -P /dev/null -x -c 'project -s -p ` + disk + `/site 42' -c 'limit -p bhard=16m 42' ` + disk + `
		exportfs -i -o rw,sync,no_root_squash,insecure,no_subtree_check,fsid=7 '*:` + disk + `'`)
	t.Cleanup(func() {
		_, _ = h.TryRun("sh", "-c", "exportfs -u '*:"+disk+"'; umount "+disk+"; rm -f /var/lib/docker/xfs.image")
	})
	target := nfs.Target{Host: h.Address, Path: disk, Port: nfsdPort, MountPort: nfsdMountPort}
	store := volume.New(volume.Config{URL: target.String(), Node: "n1", Boot: "boot", LeaseTTL: 30 * time.Second,
		Open: func(ctx context.Context) (tree.FS, error) {
			return tree.OpenWire(ctx, target, &nfs.Config{Dial: dialLab(l), Credentials: &nfs.Credentials{}})
		}})
	running, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		store.Run(running)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		store.Close()
	})
	versions := snapshot.New(snapshot.Config{Volumes: store})
	ctx := t.Context()
	own := func() *tree.Own {
		t.Helper()
		all, err := store.Inspect(ctx, []string{"site"})
		require.NoError(t, err)
		require.NotNil(t, all[0].Own)
		return all[0].Own
	}
	require.Equal(t, int64(16<<20), own().TotalBytes, "FSSTAT tells the limit of the project")

	// The version, and what became of it.
	sh(`cd ` + disk + `/site && mkdir a && echo one >a/f && echo two >g && ln g a/g && head -c 5M /dev/urandom >big
		mkdir ../.snapshot && mkdir ../.snapshot/nightly && rsync -aH ../site ../.snapshot/nightly/
		echo bad >a/f; rm g; mkdir new; echo 3 >new/n; head -c 5M /dev/urandom >big; cp -a ../site /var/lib/docker/hacked`)
	t.Cleanup(func() { _, _ = h.TryRun("rm", "-rf", "/var/lib/docker/hacked") })
	restore := func(r snapshot.RestoreRequest) error {
		t.Helper()
		p, err := versions.Plan(ctx, r)
		require.NoError(t, err)
		require.Equal(t, snapshot.EngineSync, p.Engine)
		require.Contains(t, fmt.Sprint(p.Notes()), "it is changed in place, and keeps its quota")
		j, err := versions.Prepare(ctx, p, snapshot.Stopped{})
		require.NoError(t, err)
		require.NoError(t, versions.Start(ctx, j.ID))
		for {
			got, err := versions.Jobs.Wait(ctx, j.ID)
			if got.Over || err != nil {
				require.NoError(t, versions.Jobs.End(ctx, j.ID))
				return err
			}
		}
	}
	same := func(want string) {
		t.Helper()
		require.Empty(t, sh(`rsync -niaH --delete --checksum `+want+`/ `+disk+`/site/`))
		require.Equal(t, int64(16<<20), own().TotalBytes, "it has its quota")
	}
	for _, r := range []snapshot.RestoreRequest{{Refs: []string{"site@nightly"}}, {Refs: []string{"site@nightly"}, Live: true}} {
		require.NoError(t, restore(r))
		same(disk + "/.snapshot/nightly/site")
		require.NoError(t, restore(snapshot.RestoreRequest{Undo: true, Refs: []string{"site"}, Live: true}))
		same("/var/lib/docker/hacked")
	}

	// At its limit: a quota is called one, and what was begun is taken away.
	fsys, err := tree.OpenWire(ctx, target, &nfs.Config{Dial: dialLab(l), Credentials: &nfs.Credentials{}})
	require.NoError(t, err)
	defer fsys.Close()
	f, err := fsys.Create(ctx, "copied", tree.SetAttr{})
	require.NoError(t, err)
	require.NoError(t, f.Close())
	f, err = fsys.Create(ctx, "site/fill", tree.SetAttr{})
	require.NoError(t, err)
	for off := int64(0); err == nil; off += 1 << 16 {
		_, err = f.WriteAt(ctx, make([]byte, 1<<16), off)
	}
	require.NoError(t, f.Close())
	require.ErrorIs(t, err, syscall.ENOSPC, "XFS says so of a project quota, and EDQUOT of others only")
	require.ErrorIs(t, fsys.Rename(ctx, "copied", "site/copied"), syscall.EXDEV)
	err = restore(snapshot.RestoreRequest{Refs: []string{"site@nightly"}})
	require.ErrorContains(t, err, "the server has no room for it, although the export")
	require.NotContains(t, sh("ls -A "+disk+"/site"), tree.Inside)

	// Removal, return and purge go over the edge as a whole, with the quota.
	require.NoError(t, store.Remove(ctx, "site"))
	_, _, err = store.Trash.Restore(ctx, "site", "")
	require.NoError(t, err)
	require.Equal(t, int64(16<<20), own().TotalBytes)
	require.NoError(t, store.Create(ctx, "copy", map[string]string{"from": "site"}))
	require.NoError(t, store.Remove(ctx, "site"))
	items, err := store.Trash.List(ctx)
	require.NoError(t, err)
	var ids []string
	for _, it := range items {
		ids = append(ids, it.ID)
	}
	_, err = store.Trash.Purge(ctx, ids, 0, false)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return sh("ls "+disk+"/.berth/staging") == "" }, time.Minute, 100*time.Millisecond)
}
