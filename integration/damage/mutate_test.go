package damage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// mutation damages what is at a path, and says whether nobody can take the result
// for a record.
type mutation struct {
	name string
	sure bool
	do   func(r *rand.Rand, path string, data []byte) error
}

// replaced puts something else in the place of a file or directory.
func replaced(make func(path string) error) func(*rand.Rand, string, []byte) error {
	return func(_ *rand.Rand, path string, _ []byte) error {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		return make(path)
	}
}

// text changes the content.
func text(f func(r *rand.Rand, data []byte) []byte) func(*rand.Rand, string, []byte) error {
	return func(r *rand.Rand, path string, data []byte) error {
		return os.WriteFile(path, f(r, bytes.Clone(data)), 0o600)
	}
}

// field gives one field of a record another value.
func field(values ...string) func(*rand.Rand, string, []byte) error {
	return text(func(r *rand.Rand, data []byte) []byte {
		all := fields.FindAllSubmatchIndex(data, -1)
		if len(all) == 0 {
			return []byte("{}")
		}
		at := all[r.IntN(len(all))]
		value := values[r.IntN(len(values))]
		return append(append(bytes.Clone(data[:at[2]]), value...), data[at[3]:]...)
	})
}

var (
	fields = regexp.MustCompile(`"[a-z_]+":("[^"]*"|-?[0-9.]+|true|false|null)`)
	times  = regexp.MustCompile(`"[0-9]{4}(-[0-9]{2}-[0-9]{2}T)`)
)

var filesOnly = []mutation{
	{"empty", true, text(func(*rand.Rand, []byte) []byte { return nil })},
	{"cut short", false, text(func(r *rand.Rand, d []byte) []byte { return d[:r.IntN(len(d)+1)] })},
	{"a bit", false, text(func(r *rand.Rand, d []byte) []byte {
		if len(d) > 0 {
			d[r.IntN(len(d))] ^= 1 << r.IntN(8)
		}
		return d
	})},
	{"bytes", false, text(func(r *rand.Rand, d []byte) []byte {
		for range 1 + r.IntN(8) {
			if len(d) > 0 {
				d[r.IntN(len(d))] = byte(r.IntN(256))
			}
		}
		return d
	})},
	{"zeros", true, text(func(_ *rand.Rand, d []byte) []byte { return make([]byte, max(1, len(d))) })},
	{"noise", true, text(func(r *rand.Rand, d []byte) []byte {
		out := make([]byte, 1+r.IntN(5000))
		for i := range out {
			out[i] = byte(r.IntN(256))
		}
		return out
	})},
	{"null", true, text(func(*rand.Rand, []byte) []byte { return []byte("null\n") })},
	{"{}", true, text(func(*rand.Rand, []byte) []byte { return []byte("{}\n") })},
	{"BOM", true, text(func(_ *rand.Rand, d []byte) []byte { return append([]byte("\xef\xbb\xbf"), d...) })},
	{"NUL bytes behind", true, text(func(_ *rand.Rand, d []byte) []byte { return append(d, make([]byte, 4096)...) })},
	{"twice", true, text(func(_ *rand.Rand, d []byte) []byte { return append(d, d...) })},
	{"nested", true, text(func(r *rand.Rand, _ []byte) []byte {
		return bytes.Repeat([]byte([]string{"[", `{"a":`}[r.IntN(2)]), 50_000)
	})},
	{"1 GiB", true, func(_ *rand.Rand, path string, _ []byte) error { return os.Truncate(path, 1<<30) }},
	{"another volume", false, text(func(r *rand.Rand, d []byte) []byte {
		a, b := volumes[r.IntN(len(volumes))], volumes[r.IntN(len(volumes))]
		for _, v := range volumes {
			if bytes.Contains(d, []byte(`"`+v+`"`)) {
				a = v
			}
		}
		n := -1
		if r.IntN(2) == 0 {
			n = 1
		}
		return bytes.Replace(d, []byte(`"`+a), []byte(`"`+b), n)
	})},
	{"another node", false, text(func(r *rand.Rand, d []byte) []byte {
		return regexp.MustCompile(`"n[1-9]"`).ReplaceAll(d, []byte(fmt.Sprintf(`"n%d"`, 1+r.IntN(9))))
	})},
	{"a path", false, field(`"../alpha"`, `"/etc"`, `"alpha"`, `"alpha/../beta"`, `".berth"`, `".."`, `"."`, `""`, `"a\u0000b"`, `"`+strings.Repeat("x", 300)+`"`, `".berth/trash/x/data"`)},
	{"a number", false, field("9223372036854775808", "-1", "18446744073709551615", "1e400", "NaN", "0", "2", "-9223372036854775808", "1.5", "9223372036854775807")},
	{"another type", false, field("[]", "{}", "null", "true", `"x"`, "7", `[{"a":[]}]`)},
	{"another word", false, field(`"remove"`, `"restore"`, `"create"`, `"takeover"`, `"held"`, `"free"`, `"swapping"`, `"swapped"`, `"removed"`, `"undo"`, `"fenced"`, `"rekey"`, `"stopped"`)},
	{"years", false, text(func(r *rand.Rand, d []byte) []byte {
		return times.ReplaceAll(d, []byte(`"`+[]string{"0001", "9999", "1969", "2262", "2500"}[r.IntN(5)]+`$1`))
	})},
	{"a key twice", false, text(func(r *rand.Rand, d []byte) []byte {
		all := fields.FindAll(d, -1)
		if len(all) == 0 {
			return d
		}
		return bytes.Replace(d, []byte("{"), append([]byte("{"), append(bytes.Replace(all[r.IntN(len(all))], []byte("a"), []byte("b"), 1), ',')...), 1)
	})},
	{"another file of the kind", false, func(r *rand.Rand, path string, _ []byte) error {
		others, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(path)), "*", "*"))
		if err != nil || len(others) == 0 {
			return err
		}
		data, err := os.ReadFile(others[r.IntN(len(others))])
		if err != nil {
			return nil // a directory
		}
		return os.WriteFile(path, data, 0o600)
	}},
	{"mode 0", false, func(_ *rand.Rand, path string, _ []byte) error { return os.Chmod(path, 0) }},
	{"a directory", true, replaced(func(p string) error { return os.MkdirAll(filepath.Join(p, "in/it"), 0o700) })},
}

var anyKind = []mutation{
	{"a symlink", true, replaced(func(p string) error { return os.Symlink("../volumes", p) })},
	{"a symlink out", true, replaced(func(p string) error { return os.Symlink("/etc/passwd", p) })},
	{"a FIFO", true, replaced(func(p string) error { return unix.Mkfifo(p, 0o600) })},
	{"a socket", true, replaced(func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o600, 0) })},
	{"a device", true, replaced(func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) })},
}

var directories = []mutation{
	{"a file", true, replaced(func(p string) error { return os.WriteFile(p, []byte("{}"), 0o600) })},
	{"mode 0", false, func(_ *rand.Rand, path string, _ []byte) error { return os.Chmod(path, 0) }},
	{"a stray", false, func(r *rand.Rand, path string, _ []byte) error {
		names := []string{"18446744073709551615", "0", "epoch.18446744073709551615", "..json", ".json", "x@", "@", "a b", "\xff\xfe", "job-", "purge.", "tmp.x", "undelete-.", "epoch.", "n9.json", "alpha", "alpha@", "alpha.json"}
		return os.WriteFile(filepath.Join(path, names[r.IntN(len(names))]), []byte(`{"version":1}`), 0o600)
	}},
}

// damage changes one name below dir, by chance, and says how.
func damage(t *testing.T, r *rand.Rand, dir string, files []string) (name string, m mutation) {
	file, how, _ := strings.Cut(*only, ":")
	files = slices.DeleteFunc(slices.Clone(files), func(f string) bool { return !strings.Contains(f, file) })
	name = files[r.IntN(len(files))]
	full := filepath.Join(dir, name)
	st, err := os.Lstat(full)
	require.NoError(t, err)
	kinds, data := filesOnly, []byte(nil)
	switch {
	case st.IsDir():
		kinds = directories
	case st.Mode().IsRegular() && st.Size() < 1<<20: // it may have been damaged before: a device has no end
		data, _ = os.ReadFile(full)
	}
	kinds = append(append([]mutation{}, kinds...), anyKind...)
	kinds = slices.DeleteFunc(kinds, func(m mutation) bool { return !strings.Contains(m.name, how) })
	require.NotEmpty(t, kinds)
	m = kinds[r.IntN(len(kinds))]
	require.NoError(t, m.do(r, full, data))
	return name, m
}
