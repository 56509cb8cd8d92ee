package tamper

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Features are what the filesystem under test keeps besides content, modes,
// owners and times.
type Features struct {
	Xattrs bool // user attributes, POSIX ACLs, file capabilities
}

// Site makes a tree like a site in PHP below dir, which exists: some 500
// names, 4 MB. What the edits of Batch need is all there.
func Site(dir string, seed uint64, f Features) error {
	s := &site{dir: dir, r: rand.New(rand.NewPCG(seed, 1)), features: f}
	for _, part := range []func(){s.code, s.uploads, s.twins, s.copies, s.links, s.symlinks, s.odd, s.special, s.sparse, s.attributes} {
		part()
	}
	s.directoryTimes()
	return s.err
}

// site is a tree in the making. The first error ends it.
type site struct {
	dir      string
	r        *rand.Rand
	features Features
	err      error
}

func (s *site) path(name string) string { return s.dir + "/" + name }

func (s *site) do(err error) {
	if s.err == nil {
		s.err = err
	}
}

// when is a time in one of 25 years, to the nanosecond.
func (s *site) when() time.Time {
	return time.Unix(946_684_800+s.r.Int64N(25*365*86400), s.r.Int64N(1e9))
}

// file makes a file with everything that a file has.
func (s *site) file(name string, content []byte, mode uint32, uid int, when time.Time) {
	if s.err != nil {
		return
	}
	s.do(os.MkdirAll(filepath.Dir(s.path(name)), 0o755))
	s.do(os.WriteFile(s.path(name), content, 0o600))
	s.do(os.Lchown(s.path(name), uid, uid))
	s.do(unix.Chmod(s.path(name), mode))
	s.do(setTime(s.path(name), when))
}

// setTime sets both times, and follows no symlink.
func setTime(name string, when time.Time) error {
	ts := unix.NsecToTimespec(when.UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set the time of %q: %w", name, err)
	}
	return nil
}

func (s *site) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.r.Uint32())
	}
	return b
}

var modes = []uint32{0o644, 0o664, 0o600, 0o444, 0o755, 0o640}

func (s *site) plain(name string, size int) {
	s.file(name, s.bytes(size), modes[s.r.IntN(len(modes))], []int{0, 33, 1000}[s.r.IntN(3)], s.when())
}

// code is pairs of directories whose files have the same names, sizes and
// times, so that one can stand for the other.
func (s *site) code() {
	s.plain("index.php", 418)
	s.plain("wp-config.php", 3000)
	for d := range 10 {
		for i := range 5 {
			size, when := 1+s.r.IntN(9000), s.when()
			for _, version := range []string{"a", "b"} {
				s.file(fmt.Sprintf("wp-content/plugins/p%d%s/class-%d.php", d, version, i), s.bytes(size), 0o644, 33, when)
			}
		}
	}
}

// uploads are files of sizes around those of blocks and buffers.
func (s *site) uploads() {
	sizes := []int{4095, 4096, 4097, 65535, 65536, 65537, 1<<20 - 1, 1<<20 + 1, 200 << 10, 128 << 10, 131073, 64000, 90000, 70001}
	for i := range 60 {
		size := 1 << s.r.IntN(14)
		if i < len(sizes) {
			size = sizes[i]
		}
		s.plain(fmt.Sprintf("wp-content/uploads/%d/%02d/img-%d.jpg", 2018+i%5, 1+i%7, i), size)
	}
}

// twins have the same size, time, mode and owner, and other content.
func (s *site) twins() {
	for i := range 15 {
		size, when := 1+s.r.IntN(20_000), s.when()
		s.file(fmt.Sprintf("twins/%d/left", i), s.bytes(size), 0o644, 33, when)
		s.file(fmt.Sprintf("twins/%d/right", i), s.bytes(size), 0o644, 33, when)
	}
}

// copies are the same in everything, and are not one file.
func (s *site) copies() {
	for i := range 12 {
		content, when := s.bytes(1+s.r.IntN(5000)), s.when()
		s.file(fmt.Sprintf("copies/%d.orig", i), content, 0o640, 33, when)
		s.file(fmt.Sprintf("copies/below/%d.copy", i), content, 0o640, 33, when)
	}
}

// links are sets of two to four names in several directories.
func (s *site) links() {
	for i := range 15 {
		first := fmt.Sprintf("links/%d", i)
		s.plain(first, 1+s.r.IntN(5000))
		for j := range 1 + i%3 {
			name := fmt.Sprintf("links/%c/%d.%d", 'a'+j, i, j)
			s.do(os.MkdirAll(filepath.Dir(s.path(name)), 0o755))
			s.do(os.Link(s.path(first), s.path(name)))
		}
	}
}

func (s *site) symlinks() {
	s.do(os.Mkdir(s.path("symlinks"), 0o755))
	targets := []string{"../index.php", "/etc/passwd", "nowhere", "../wp-content/plugins", strings.Repeat("x", 200), "../../..", "with space"}
	for i := range 21 {
		name := s.path(fmt.Sprintf("symlinks/l%02d", i))
		s.do(os.Symlink(targets[i%len(targets)], name))
		s.do(os.Lchown(name, i%3*33, i%3*33))
		s.do(setTime(name, s.when()))
	}
}

func (s *site) odd() {
	for i, name := range []string{" ", "new\nline", "bad\xff\xfe", "-rf", "*", "\\", "ü", "u\u0308", "\x1b[31m", "tab\t", "trail ", "\u202egpj.exe", ".hidden", "'\"$(id)",
		strings.Repeat("long", 63), "日本語", ":colon", "at@sign"} {
		s.plain("odd/"+name, 1+i*7)
		s.plain("odd/dir"+name+"/file", 1+i*3)
	}
}

func (s *site) special() {
	for i := range 5 {
		s.do(os.MkdirAll(s.path("special"), 0o755))
		fifo := s.path(fmt.Sprintf("special/fifo%d", i))
		s.do(unix.Mkfifo(fifo, 0o640))
		s.do(setTime(fifo, s.when()))
		s.file(fmt.Sprintf("special/setuid%d", i), s.bytes(300+i), []uint32{0o4755, 0o6755, 0o2750}[i%3], 33, s.when())
		s.file(fmt.Sprintf("special/secret%d", i), s.bytes(40+i), 0, 33, s.when())
	}
	for i := range 12 {
		s.plain(fmt.Sprintf("empty/%d", i), 0)
	}
	for i := range 6 {
		s.do(os.MkdirAll(s.path(fmt.Sprintf("cache/empty%d", i)), 0o755))
		s.do(unix.Chmod(s.path(fmt.Sprintf("cache/empty%d", i)), []uint32{0o755, 0o2775, 0o1777}[i%3]))
	}
}

// sparse are files with a block of data, a hole and the last bytes.
func (s *site) sparse() {
	for i := range 8 {
		name := fmt.Sprintf("sparse/disk%d", i)
		s.plain(name, 4096)
		when := s.when()
		f, err := os.OpenFile(s.path(name), os.O_WRONLY, 0)
		if err != nil {
			s.do(err)
			return
		}
		_, err = f.WriteAt([]byte("end"), int64(300_000+i*70_000))
		s.do(err)
		s.do(f.Close())
		s.do(setTime(s.path(name), when))
	}
}

// attributes gives some names what rsync -AX brings back.
func (s *site) attributes() {
	if !s.features.Xattrs {
		return
	}
	for i := range 15 {
		name := fmt.Sprintf("attributes/f%d", i)
		s.plain(name, 100+i)
		switch i % 3 {
		case 0:
			s.do(setXattr(s.path(name), "user.oc.id", []byte(fmt.Sprintf("%08x", i))))
		case 1:
			s.do(setXattr(s.path(name), "system.posix_acl_access", acl(6, uint32(33+i), 6, 4, 6, 0)))
		case 2:
			s.do(setXattr(s.path(name), "security.capability", capability(1<<13)))
		}
	}
	for i := range 4 {
		dir := fmt.Sprintf("attributes/d%d", i)
		s.plain(dir+"/before", 10)
		s.do(setXattr(s.path(dir), "system.posix_acl_default", acl(7, uint32(33+i), 7, 5, 7, 0)))
		s.plain(dir+"/after", 10) // inherits an ACL
	}
}

// directoryTimes comes last: every name that is made moves its directory's.
func (s *site) directoryTimes() {
	if s.err != nil {
		return
	}
	tree, err := Walk(s.dir)
	s.do(err)
	for _, name := range tree.names() {
		if tree[name].Kind == 'd' {
			s.do(setTime(path.Join(s.dir, name), s.when()))
		}
	}
}
