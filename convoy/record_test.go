package convoy

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/volume"
)

// live is what Convoy v0.5.2 wrote in a run, for a share on /mnt/nfs.
const live = `{"Name":"shop_wp","Size":0,"Path":"/mnt/nfs/shop_wp","MountPoint":"/mnt/nfs/shop_wp","PrepareForVM":false,"CreatedTime":"Sun Nov 22 17:46:33 +0000 2026","Snapshots":{"snap1":{"Name":"snap1","CreatedTime":"Sun Nov 22 17:46:33 +0000 2026","VolumeUUID":"shop_wp","FilePath":"/var/lib/rancher/convoy/vfs/snapshots/shop_wp_snap1.tar.gz"}}}` + "\n"

func TestParseReadsWhatConvoyWrote(t *testing.T) {
	r, err := parse("vfs_volume_shop_wp.json", []byte(live))
	require.NoError(t, err)
	require.Equal(t, "shop_wp", r.Name)
	dir, err := r.directory()
	require.NoError(t, err)
	require.Equal(t, "shop_wp", dir)
	when, ok := created(r.CreatedTime)
	require.True(t, ok)
	at := time.Date(2026, 11, 22, 17, 46, 33, 0, time.UTC)
	require.Equal(t, at, when)
	require.Equal(t, []snapshot{{Name: "snap1", Created: at, File: "/var/lib/rancher/convoy/vfs/snapshots/shop_wp_snap1.tar.gz"}}, r.snapshots())
}

func TestParse(t *testing.T) {
	for what, c := range map[string]struct{ data, dir, err string }{
		"name from the file":       {data: `{"Path":"/mnt/a/blog"}`, dir: "blog"},
		"path of another mount":    {data: `{"Name":"blog","Path":"/var/lib/rancher/convoy/convoy-nfs-5c1f/mnt/blog"}`, dir: "blog"},
		"path with a slash":        {data: `{"Name":"blog","Path":"/mnt/nfs/blog/"}`, dir: "blog"},
		"no path":                  {data: `{"Name":"blog"}`, dir: "blog"},
		"another directory":        {data: `{"Name":"blog","Path":"/mnt/nfs/blog2"}`, dir: "blog2"},
		"one character":            {data: `{"Name":"b","Path":"/mnt/nfs/b"}`, dir: "b"},
		"200 characters":           {data: `{"Name":"` + strings.Repeat("b", 200) + `"}`, dir: strings.Repeat("b", 200)},
		"snapshots null":           {data: `{"Name":"blog","Path":"/mnt/nfs/blog","Snapshots":null}`, dir: "blog"},
		"unknown fields":           {data: `{"Name":"blog","Path":"/mnt/nfs/blog","Colour":"red"}`, dir: "blog"},
		"empty":                    {data: "", err: "is empty"},
		"a newline":                {data: "\n", err: "is empty"},
		"torn":                     {data: live[:40], err: "is not readable"},
		"two at once":              {data: live + live, err: "is not readable"},
		"null":                     {data: "null", err: "neither name nor path"},
		"of Convoy v0.4":           {data: `{"UUID":"5c1f","Size":0,"MountPoint":""}`, err: "neither name nor path"},
		"a list":                   {data: "[]", err: "is not readable"},
		"of another type":          {data: `{"Name":7}`, err: "is not readable"},
		"binary":                   {data: "\x00\x01\x02", err: "is not readable"},
		"too long":                 {data: `{"Name":"` + strings.Repeat("b", 201) + `"}`, err: "201 characters"},
		"a space":                  {data: `{"Name":"my blog","Path":"/mnt/nfs/my blog"}`, err: "is not a volume name"},
		"the share itself":         {data: `{"Name":"blog","Path":"/"}`, err: "is not a volume name"},
		"upwards":                  {data: `{"Name":"blog","Path":"/mnt/nfs/.."}`, dir: "mnt"},
		"upwards, relative":        {data: `{"Name":"blog","Path":"../.."}`, err: "is not a volume name"},
		"hidden":                   {data: `{"Name":"blog","Path":"/mnt/nfs/.snapshot"}`, err: "is not a volume name"},
		"the records' directory":   {data: `{"Name":"config","Path":"/mnt/nfs/config"}`, err: "where Convoy has its records"},
		"like Convoy's leftovers":  {data: `{"Name":"blog.tmp","Path":"/mnt/nfs/blog.tmp"}`, err: "ends in .tmp"},
		"an escape for a terminal": {data: `{"Name":"\u001b[2J","Path":"/mnt/nfs/\u001b[2J"}`, err: "is not a volume name"},
	} {
		t.Run(what, func(t *testing.T) {
			r, err := parse("vfs_volume_blog.json", []byte(c.data))
			dir := ""
			if err == nil {
				dir, err = r.directory()
			}
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.dir, dir)
		})
	}
}

// Whatever the bytes are: no panic, and a directory that is found is a volume's
// name, so it stays on the share.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{live, live[:99], "", "null", `{"Path":"/a/../b"}`, `{"Name":"x","Snapshots":{"":{}}}`, `{"UUID":"1"}`} {
		f.Add("vfs_volume_blog.json", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, file string, data []byte) {
		r, err := parse(file, data)
		if err != nil {
			return
		}
		require.True(t, json.Valid(data))
		if dir, err := r.directory(); err == nil {
			require.NoError(t, volume.CheckName(dir))
			require.NotEqual(t, volume.ConvoyDir, dir)
		}
		require.Len(t, r.snapshots(), len(r.Snapshots))
		if at, ok := created(r.CreatedTime); ok {
			require.Equal(t, time.UTC, at.Location())
		}
	})
}
