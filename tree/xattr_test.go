package tree_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// sh runs a script in a directory and returns what it says.
func sh(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.Command("bash", "-euc", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", script, out)
	return string(out)
}

// needPrograms are those that make extended attributes, and show them.
func needPrograms(t *testing.T) {
	t.Helper()
	needRoot(t)
	for _, p := range []string{"setfattr", "setfacl", "setcap", "rsync"} {
		if _, err := exec.LookPath(p); err != nil {
			treetest.Skip(t, "needs "+p+" (attr, acl, libcap2-bin, rsync)")
		}
	}
}

// dressedAs is what other programs see of the extended attributes of a tree, and of
// its modes, owners and times.
func dressedAs(t *testing.T, dir string) string {
	return sh(t, dir, `sorted() { find . "$@" -print0 | sort -z | xargs -0 -r "${do[@]}" 2>&1; }
		do=(getfacl -n -p); sorted ! -type l; do=(getfattr -h -d -m - -e hex); sorted | grep -v ^security.selinux
		do=(getcap); sorted -type f; find . -printf '%p %M %m %U:%G %T@ %l\n' | sort`)
}

// dressed makes a tree with all kinds of attributes on all kinds of files.
const dressed = `umask 022
	mkdir -p src/d/sub src/shared src/plain; echo x >src/f; cp src/f src/d/g; cp /bin/true src/ping; cp /bin/true src/su
	setfattr -n user.oc.id -v 1aa81512 src/f; setfattr -n user.empty src/f
	setfattr -n trusted.secret -v 0x00ff00 src/d/g; setfattr -n user.dir -v dir src/d
	setfacl -m u:33:rw,g:34:r src/f; chown 1:2 src/f
	chown 0:100 src/d/g; chmod 640 src/d/g; setfacl -m u:33:rwx src/d/g
	setfacl -m u:33:rwx,d:u:33:rwx,d:g:34:rx src/d; setfacl -d -m u:44:r src/shared; chmod 2770 src/shared
	echo in >src/d/inherits; mkdir src/d/newdir; echo plain >src/plain/p
	chown 5:6 src/su; chmod 6755 src/su; setfattr -n user.x -v 1 src/su; setfacl -m u:7:x src/su
	setcap cap_net_raw+ep src/ping; chmod 750 src/ping; ln src/ping src/d/pong
	ln -s nowhere src/link; setfattr -h -n trusted.link -v l src/link; ln -s f src/bare
	mkfifo src/fifo; setfacl -m u:9:rw src/fifo; setfattr -n trusted.fifo -v 1 src/fifo; mknod src/null c 1 3
	: >src/empty; setfattr -n user.on.empty -v yes src/empty
	setfattr -n user.big -v "$(head -c 500 /dev/zero | tr '\0' a)" src/plain/p
	touch -d '2001-02-03 04:05:06.123456789' src/f src/d/g src/ping src/d src/shared src; touch -h -d 2002-01-01 src/link`

func TestACopyHasTheExtendedAttributes(t *testing.T) {
	needPrograms(t)
	for name, newDir := range map[string]func(t *testing.T) string{
		"ext4": treetest.Ext4, "btrfs": treetest.Btrfs, "xfs": treetest.XFS,
		"tmpfs": func(t *testing.T) string { return mounted(t, "tmpfs", "tmpfs", 0, "") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			sh(t, dir, dressed)
			// What is made in the export, and in the parent of the copy, would
			// inherit these.
			sh(t, dir, `mkdir -p heir; setfacl -d -m u:55:rwx,g:66:rwx . heir; mkdir -p heir/staging; getfacl heir/staging | grep -q default:user:55`)
			before := dressedAs(t, filepath.Join(dir, "src"))
			l := open(t, dir)
			for i, dst := range []string{"plain", "heir/staging/data", "checked"} {
				stats, err := tree.Copy(ctx, l, "src", dst, tree.CopyOptions{Checksum: i == 2}, nil)
				require.NoError(t, err)
				require.Zero(t, stats.Missing.Total)
				require.Equal(t, before, dressedAs(t, filepath.Join(dir, "src")), "the source is as it was")
				require.Equal(t, before, dressedAs(t, filepath.Join(dir, dst)))
				require.Empty(t, sh(t, dir, "rsync -naic --delete -HAX src/ "+dst+"/"))
				require.Empty(t, sh(t, dir, "rsync -naic --delete -HAX "+dst+"/ src/"))
			}
			_, ok := map[string]bool{"btrfs": true, "xfs": true}[name]
			reflinks, err := l.Reflinks(ctx, ".")
			require.NoError(t, err)
			require.Equal(t, ok, reflinks)
		})
	}
}

func TestExtendedAttributesAreSetExactly(t *testing.T) {
	needPrograms(t)
	dir := treetest.Ext4(t)
	sh(t, dir, dressed)
	l := open(t, dir)
	for _, name := range []string{"f", "d", "d/g", "ping", "link", "fifo", "empty", "bare", "plain"} {
		x, err := l.Xattrs(ctx, "src/"+name)
		require.NoError(t, err)
		sh(t, dir, "rm -rf other; cp -P src/f other; setfattr -n user.other -v 1 other; setfacl -m u:77:r other; [ ! -L src/"+name+" ] || { rm other; ln -s x other; }; [ ! -d src/"+name+" ] || { rm other; mkdir other; setfacl -d -m u:78:r other; }")
		if name == "fifo" {
			sh(t, dir, "rm other; mkfifo other; setfacl -m u:77:r other")
		}
		require.NoError(t, l.SetXattrs(ctx, "other", x))
		got, err := l.Xattrs(ctx, "other")
		require.NoError(t, err)
		require.Equal(t, x, got, name)
		require.NoError(t, l.SetXattrs(ctx, "other", nil))
		got, err = l.Xattrs(ctx, "other")
		require.NoError(t, err)
		require.Empty(t, got, name)
	}
	x, err := l.Xattrs(ctx, "src/f")
	require.NoError(t, err)
	require.Equal(t, "1aa81512", x["user.oc.id"])
	require.Contains(t, x, "user.empty")
	require.Contains(t, x, "system.posix_acl_access")
	_, err = l.Xattrs(ctx, "none")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = l.Xattrs(ctx, "src/link/x")
	require.Error(t, err)
}

func TestAttributesThatCannotBeKeptAreMissing(t *testing.T) {
	needPrograms(t)
	// Attributes take of the space that tmpfs has for inodes, 1 KiB each.
	dir := mounted(t, "tmpfs", "tmpfs", 0, "nr_inodes=100")
	sh(t, dir, `mkdir src; echo 1 >src/1; echo 2 >src/2; setfattr -n user.a -v "$(head -c 40000 /dev/zero | tr '\0' a)" src/1; setfattr -n user.b -v 1 src/1
		setfattr -n user.dir -v "$(head -c 30000 /dev/zero | tr '\0' a)" src`)
	l := open(t, dir)
	stats, err := tree.Copy(ctx, l, "src", "live", tree.CopyOptions{Live: true}, nil)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"src/1: extended attribute user.a: no space left on device",
		"src: extended attribute user.dir: no space left on device",
	}, stats.Missing.Paths)
	require.Equal(t, "1\n", treetest.Read(t, l, "live/1"))
	x, err := l.Xattrs(ctx, "live/1")
	require.NoError(t, err)
	require.Equal(t, tree.Xattrs{"user.b": "1"}, x, "the others are kept")
	_, err = tree.Copy(ctx, l, "src", "strict", tree.CopyOptions{}, nil)
	incomplete := (*tree.Incomplete)(nil)
	require.ErrorAs(t, err, &incomplete)
	require.ErrorContains(t, err, "2 names cannot be copied, the first: src/1: extended attribute user.a")
}
