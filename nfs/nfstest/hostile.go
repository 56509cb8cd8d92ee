package nfstest

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"
)

// Hostile is one way in which a server misbehaves.
type Hostile struct {
	Name string
	// Begin makes the server misbehave, with the listing of the directory dir if it
	// is about listings; Reset and the zero Lies end it.
	Begin func(s *Server, dir string)
	// Says is in the error of every operation that meets it; "" where it is no
	// error, or not always.
	Says string
}

// Hostiles are all ways, for tables of tests: each operation has to end, with what
// it has to keep in place.
func Hostiles() []Hostile {
	var all []Hostile
	add := func(name, says string, begin func(s *Server, dir string)) {
		all = append(all, Hostile{name, begin, says})
	}
	list := func(name, says string, page func(self, file uint64) func(cookie uint64) Page) {
		add("READDIR: "+name, says, func(s *Server, dir string) {
			self, _ := s.Stat(dir)
			file, _ := s.Stat(dir + "/file")
			make := page(self.FileID, file.FileID)
			s.Lie(Lies{List: func(id, cookie uint64) (Page, bool) {
				if id != self.FileID {
					return Page{}, false
				}
				return make(cookie), true
			}})
		})
	}
	named := func(name string) func(_, file uint64) func(uint64) Page {
		return func(_, file uint64) func(uint64) Page {
			return func(uint64) Page { return Page{[]Dirent{{name, 1, file}}, true} }
		}
	}
	list("names without an end", "does not end", func(_, file uint64) func(uint64) Page {
		return func(c uint64) (p Page) {
			for i := range uint64(200) {
				p.Entries = append(p.Entries, Dirent{fmt.Sprintf("f%d", c+i), c + i + 1, file})
			}
			return p
		}
	})
	list("one name, new cookies", "does not end", func(_, file uint64) func(uint64) Page {
		return func(c uint64) Page { return Page{[]Dirent{{"f", c + 1, file}}, false} }
	})
	list("cookies that repeat", "repeats itself", func(_, file uint64) func(uint64) Page {
		return func(c uint64) Page { return Page{[]Dirent{{fmt.Sprint("f", c), c%7 + 1, file}}, false} }
	})
	list("no entries and no end", "repeats itself", func(_, file uint64) func(uint64) Page {
		return func(uint64) Page { return Page{} }
	})
	list("a directory in itself", "contains itself", func(self, _ uint64) func(uint64) Page {
		return func(uint64) Page { return Page{[]Dirent{{"again", 1, self}}, true} }
	})
	list("a slash", `named "a/b"`, named("a/b"))
	list("a way up", `named "../../etc"`, named("../../etc"))
	list("a NUL", `named "a\x00b"`, named("a\x00b"))
	list("an empty name", `named ""`, named(""))
	list("a name of 5,000 bytes", "5000 bytes", named(strings.Repeat("x", 5000)))
	list("dots alone", "", func(self, _ uint64) func(uint64) Page {
		return func(uint64) Page { return Page{[]Dirent{{"..", 1, self}, {".", 2, self}, {".", 3, self}}, true} }
	})
	list("a name twice", "", func(_, file uint64) func(uint64) Page {
		return func(uint64) Page { return Page{[]Dirent{{"file", 1, file}, {"file", 2, file}}, true} }
	})
	add("READDIR: never the place", "", func(s *Server, _ string) {
		s.SetLimits(Limits{RTMax: 1 << 20, WTMax: 1 << 20, DTPref: 32 << 10, PageEntries: 1})
		s.On(Readdir, -1, Fault{Status: errBadCookie})
		s.Hook(func(c Call) Fault {
			if c.Proc == Readdirplus && c.XID%2 == 0 {
				return Fault{Status: errBadCookie}
			}
			return Fault{}
		})
	})

	handle := func(name, says string, change func(n int64, h []byte) []byte) {
		add("handles: "+name, says, func(s *Server, _ string) {
			var n atomic.Int64
			s.Lie(Lies{Handle: func(h []byte) []byte { return change(n.Add(1), h) }})
		})
	}
	handle("none", "an empty file handle", func(int64, []byte) []byte { return nil })
	handle("65 bytes", "65 bytes where 64 are allowed", func(_ int64, h []byte) []byte { return append(h, make([]byte, 65-len(h))...) })
	handle("another one each time", "", func(n int64, h []byte) []byte { return binary.BigEndian.AppendUint64(h, uint64(n)) })
	handle("of nothing", "", func(n int64, h []byte) []byte { return append(h[:8:8], []byte("????????")...) })

	attr := func(name, says string, change func(n int64, a *Attr)) {
		add("attributes: "+name, says, func(s *Server, _ string) {
			var n atomic.Int64
			s.Lie(Lies{Attr: func(a *Attr) { change(n.Add(1), a) }})
		})
	}
	attr("a size of 2^64-1", "a size of 18446744073709551615 bytes", func(_ int64, a *Attr) { a.Size = math.MaxUint64 })
	attr("a size of 2^63-1", "", func(_ int64, a *Attr) {
		if a.Type == typeReg {
			a.Size = math.MaxInt64
		}
	})
	attr("room of 2^64-1", "", func(_ int64, a *Attr) { a.Used = math.MaxUint64 })
	attr("type 9", "file type 9", func(_ int64, a *Attr) { a.Type = 9 })
	attr("other types each time", "", func(n int64, a *Attr) { a.Type = uint32(n%7) + 1 })
	attr("other sizes each time", "", func(n int64, a *Attr) {
		if a.Type == typeReg {
			a.Size = uint64(n) * 977
		}
	})
	attr("file id 0", "", func(_ int64, a *Attr) { a.FileID = 0 })
	attr("one file id for all", "", func(_ int64, a *Attr) { a.FileID = 7 })
	attr("one file id, many names", "", func(_ int64, a *Attr) { a.FileID, a.Nlink = 7, 9 })
	attr("no names", "", func(_ int64, a *Attr) { a.Nlink = 0 })
	attr("2^32-1 names", "", func(_ int64, a *Attr) { a.Nlink = math.MaxUint32 })
	attr("another filesystem each time", "", func(n int64, a *Attr) { a.FSID = uint64(n) })
	attr("2^32-1 nanoseconds", "", func(_ int64, a *Attr) { a.MtimeNsec = math.MaxUint32 })

	read := func(name, says string, change func(count *uint32, data *[]byte, eof *bool)) {
		add("READ: "+name, says, func(s *Server, _ string) { s.Lie(Lies{Read: change}) })
	}
	read("more than asked", "", func(count *uint32, data *[]byte, _ *bool) {
		*data = append(*data, make([]byte, 1<<20)...)
		*count = uint32(len(*data))
	})
	read("another count than data", "bytes announced", func(count *uint32, _ *[]byte, _ *bool) { *count += 3 })
	read("nothing, no end", "brings nothing", func(count *uint32, data *[]byte, eof *bool) { *count, *data, *eof = 0, nil, false })
	read("the end at once", "brings nothing", func(count *uint32, data *[]byte, eof *bool) { *count, *data, *eof = 0, nil, true })
	read("a byte at a time", "", func(count *uint32, data *[]byte, eof *bool) {
		if len(*data) > 1 {
			*count, *data, *eof = 1, (*data)[:1], false
		}
	})
	write := func(name, says string, change func(n int64, count *uint32, v *[8]byte)) {
		add("WRITE: "+name, says, func(s *Server, _ string) {
			var n atomic.Int64
			s.Lie(Lies{Write: func(count *uint32, v *[8]byte) { change(n.Add(1), count, v) }})
		})
	}
	write("none of it", "", func(_ int64, count *uint32, _ *[8]byte) { *count = 0 })
	write("more than sent", "", func(_ int64, count *uint32, _ *[8]byte) { *count += 9 })
	write("a byte at a time", "", func(_ int64, count *uint32, _ *[8]byte) { *count = min(*count, 1) })
	write("forgotten each time", "", func(n int64, _ *uint32, v *[8]byte) { binary.BigEndian.PutUint64(v[:], uint64(n)) })

	link := func(name, says, to string) {
		add("READLINK: "+name, says, func(s *Server, _ string) { s.Lie(Lies{Readlink: func(string) string { return to }}) })
	}
	link("nothing", "", "")
	link("a NUL", "", "a\x00b")
	link("100 KiB", "", strings.Repeat("x", 100<<10))

	every := func(name, says string, f Fault) {
		add("answers: "+name, says, func(s *Server, _ string) { s.On(Any, -1, f) })
	}
	every("denied", "credentials too weak", Fault{AuthStat: 5})
	every("not understood", "GARBAGE_ARGS", Fault{AcceptStat: 4})
	every("a status of nobody", "", Fault{Status: 4711})
	every("later, for ever", "puts it off", Fault{Status: 10008})
	every("2 GiB", "a record of 2147483647 bytes", Fault{Oversize: math.MaxInt32})
	every("half of it", "malformed reply", Fault{Short: true})
	every("cut in the record", "broke off", Fault{Truncate: true})
	every("a byte every 5 ms", "broke off 5 times", Fault{Trickle: 5 * time.Millisecond})
	every("twice", "", Fault{Duplicates: 1})
	every("to nobody", "", Fault{WrongXID: 1})
	every("a flood of others", "", Fault{WrongXID: 2000})
	add("answers: not to READDIRPLUS", "", func(s *Server, _ string) { s.On(Readdirplus, -1, Fault{Lose: true}) })
	return all
}
