package nfs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
)

func TestParseTarget(t *testing.T) {
	for s, want := range map[string]nfs.Target{
		"nfs://filer/vol":                            {Host: "filer", Path: "/vol"},
		"nfs://filer.example.edu/docker_vols/sub":    {Host: "filer.example.edu", Path: "/docker_vols/sub"},
		"nfs://10.0.0.5/":                            {Host: "10.0.0.5", Path: "/"},
		"nfs://filer/vol/":                           {Host: "filer", Path: "/vol"},
		"nfs://[2001:db8::1]/vol?port=2050":          {Host: "2001:db8::1", Path: "/vol", Port: 2050},
		"nfs://filer/a%20b/%ff?mountport=1&port=2":   {Host: "filer", Path: "/a b/\xff", Port: 2, MountPort: 1},
		"nfs://[fe80::1%25eth0]/vol":                 {Host: "fe80::1%eth0", Path: "/vol"},
		"nfs://filer/vol%23x%3Fy?port=65535":         {Host: "filer", Path: "/vol#x?y", Port: 65535},
		"nfs://127.0.0.1/export?mountport=1&port=12": {Host: "127.0.0.1", Path: "/export", Port: 12, MountPort: 1},
	} {
		got, err := nfs.ParseTarget(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
		again, err := nfs.ParseTarget(got.String())
		require.NoError(t, err, got.String())
		require.Equal(t, want, again)
	}
}

func TestParseTargetRefuses(t *testing.T) {
	for s, text := range map[string]string{
		"":                              "want nfs://host/path",
		"/export":                       "want nfs://host/path",
		"filer:/vol":                    "want nfs://host/path",
		"file:///export":                "want nfs://host/path",
		"nfs:/vol":                      "want nfs://host/path",
		"nfs:///vol":                    "no host",
		"nfs://filer":                   "no path",
		"nfs://filer:2049/vol":          "nfs://filer/path?port=2049",
		"nfs://filer:/vol":              "port",
		"nfs://me:pw@filer/vol":         "no user name",
		"nfs://filer/vol#x":             "%23",
		"nfs://filer//vol":              `component ""`,
		"nfs://filer/vol//":             `component ""`,
		"nfs://filer/vol/../etc":        `component ".."`,
		"nfs://filer/./vol":             `component "."`,
		"nfs://filer/a%00b":             `component "a\x00b"`,
		"nfs://filer/%zz":               "invalid URL escape",
		"nfs://filer/vol?vers=4":        `unknown "vers"`,
		"nfs://filer/vol?port=":         "port needs one number",
		"nfs://filer/vol?port=0":        "from 1 to 65535",
		"nfs://filer/vol?port=65536":    "from 1 to 65535",
		"nfs://filer/vol?port=1&port=2": "port needs one number",
		"nfs://filer/vol?mountport=-1":  "mountport needs one number",
	} {
		_, err := nfs.ParseTarget(s)
		require.ErrorContains(t, err, text, s)
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"nfs://h/p?port=1&mountport=2", "nfs://[::1]/%ff", "nfs://h/a%2Fb", "nfs://h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := nfs.ParseTarget(s)
		if err != nil {
			return
		}
		again, err := nfs.ParseTarget(target.String())
		require.NoError(t, err, "%q became %q", s, target)
		require.Equal(t, target, again)
	})
}
