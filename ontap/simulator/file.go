package simulator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator/flexvol"
)

const filesSchema = "/storage/volumes/{volume.uuid}/files/{path}"

// inside cleans the path of a request; "." is the FlexVol's root. It refuses a
// path that leads out of the FlexVol.
func inside(p string) (string, error) {
	clean := path.Clean("./" + strings.TrimLeft(p, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsRune(clean, 0) {
		return "", noVolumeHere
	}
	return clean, nil
}

// fileCalls answers for the content of the FlexVol: files, clones, restored
// directories.
type fileCalls struct{ *Simulator }

// name of a volume with content.
func (s *Simulator) nameOf(uuid string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if made := s.made(uuid); made != nil {
		return made.Name
	}
	return s.cfg.Volume
}

// content is a volume and its directory.
type content struct {
	*flexvol.Dir
	uuid, name string
}

// onContent checks a path's volume, which must be online.
func (s fileCalls) onContent(r *call) (content, error) {
	dir, err := s.onVolume(r)
	if err != nil {
		return content{}, err
	}
	uuid := r.vars["volume.uuid"]
	return content{dir, uuid, s.nameOf(uuid)}, nil
}

// get lists a directory, or shows one object with return_metadata=true.
func (s fileCalls) get(r *call) (any, error) {
	v, err := s.onContent(r)
	if err != nil {
		return nil, err
	}
	name, err := inside(r.vars["path"])
	if err != nil {
		return nil, err
	}
	st, err := v.Lstat(name)
	if err != nil {
		return nil, err
	}
	c := collection{schema: filesSchema, key: "name", defaults: []string{"path", "type"}, expensive: []string{"analytics"}, self: func(x record) string {
		full := x.text("path") + "/" + x.text("name")
		return "/api/storage/volumes/" + v.uuid + "/files/" + strings.ReplaceAll(url.PathEscape(full), ".", "%2E")
	}}
	if r.query.Get("return_metadata") == "true" || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		c.records = []record{s.record(v, path.Dir(name), path.Base(name), st, name)}
		return c.list(r)
	}
	count, err := s.counting(r, c, v, name)
	if err != nil {
		return nil, err
	}
	f, err := v.Open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	for _, base := range append(names, ".", "..") {
		if !flexvol.Visible(base) {
			continue
		}
		var st unix.Stat_t
		at := base
		if base == ".." && name == "." {
			at = "." // nothing above the root is shown
		}
		if unix.Fstatat(int(f.Fd()), at, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		x := s.record(v, name, base, st, path.Join(name, base))
		if count && base != ".." && !flexvol.InSnapshot(path.Join(name, base)) && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if counted, ok := s.analytics(v, path.Join(name, base)); ok {
				x.set("analytics", counted)
			}
		}
		c.records = append(c.records, x)
	}
	return c.list(r)
}

var fileTypes = map[uint32]string{
	unix.S_IFREG: "file", unix.S_IFDIR: "directory", unix.S_IFLNK: "symlink", unix.S_IFBLK: "blockdev",
	unix.S_IFCHR: "chardev", unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket",
}

func (s fileCalls) record(v content, dir, base string, st unix.Stat_t, full string) record {
	// 0o755 is shown as the decimal number 755.
	permissions, _ := strconv.Atoi(strconv.FormatUint(uint64(st.Mode&0o7777), 8))
	at := func(t unix.Timespec) string { return stamp(time.Unix(t.Sec, t.Nsec)) }
	x := rec("path", dir, "name", base, "type", fileTypes[st.Mode&unix.S_IFMT], "size", st.Size, "bytes_used", st.Blocks*512,
		"unix_permissions", permissions, "owner_id", int64(st.Uid), "group_id", int64(st.Gid), "hard_links_count", int64(st.Nlink),
		"inode_number", int64(st.Ino), "inode_generation", 1, "is_junction", false, "is_snapshot", flexvol.InSnapshot(full),
		"modified_time", at(st.Mtim), "accessed_time", at(st.Atim), "changed_time", at(st.Ctim), "creation_time", at(st.Ctim),
		"volume.name", v.name, "volume.uuid", v.uuid)
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		if parent, name, err := v.Parent(full); err == nil {
			target := make([]byte, unix.PathMax)
			if n, err := unix.Readlinkat(int(parent.Fd()), name, target); err == nil {
				x.set("target", string(target[:n]))
			}
			parent.Close()
		}
	}
	return x
}

// create makes a directory or a symlink.
func (s fileCalls) create(r *call) (any, error) {
	v, name, body, err := s.change(r)
	if err != nil {
		return nil, err
	}
	if _, err := obey(body, map[string]rule{"target": anything, "type": anything, "unix_permissions": octal}); err != nil {
		return nil, err
	}
	parent, base, err := v.Parent(name)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	switch {
	case body.text("target") != "":
		err = unix.Symlinkat(body.text("target"), int(parent.Fd()), base)
	case body.text("type") == "directory":
		mode, parseErr := strconv.ParseUint(orString(body.text("unix_permissions"), "755"), 8, 12)
		if parseErr != nil {
			return nil, invalid(body.text("unix_permissions"), "unix_permissions")
		}
		if err = unix.Mkdirat(int(parent.Fd()), base, uint32(mode)); err == nil {
			err = unix.Fchmodat(int(parent.Fd()), base, uint32(mode), 0)
		}
	default:
		return nil, fail(http.StatusBadRequest, "6488084", "type", "A directory or a symlink can be created here.")
	}
	if err != nil {
		return nil, err
	}
	r.status = http.StatusCreated
	return nil, nil
}

// rename answers PATCH with a new path.
func (s fileCalls) rename(r *call) (any, error) {
	v, name, body, err := s.change(r)
	if err != nil {
		return nil, err
	}
	if got, err := obey(body, map[string]rule{"path": anything}); err != nil {
		for field := range got {
			return nil, fail(http.StatusBadRequest, "6488081", field, "The %s field is not supported for PATCH operations.", field)
		}
		return nil, err
	}
	to, err := inside(body.text("path"))
	if err != nil || to == "." || !body.has("path") {
		return nil, invalid(body.text("path"), "path")
	}
	if flexvol.InSnapshot(to) {
		return nil, readOnlyFS
	}
	if s.crosses(v.uuid, name, to) {
		return nil, fail(http.StatusBadRequest, "6488082", "path", "Failed to rename %q: Cross-device link.", name)
	}
	err = v.Rename(name, to)
	if errors.Is(err, unix.EEXIST) {
		return nil, fail(http.StatusConflict, "6488083", "path", "A file or directory with that name already exists.")
	}
	return nil, err
}

// change reads a POST or PATCH: the path and the body.
func (s fileCalls) change(r *call) (content, string, record, error) {
	if err := r.onlyQuery(); err != nil {
		return content{}, "", nil, err
	}
	v, err := s.onContent(r)
	if err != nil {
		return v, "", nil, err
	}
	name, err := inside(r.vars["path"])
	switch {
	case err != nil:
		return v, "", nil, err
	case name == ".":
		return v, "", nil, fileExists
	case flexvol.InSnapshot(name):
		return v, "", nil, readOnlyFS
	}
	body, err := r.body(filesSchema)
	return v, name, body, err
}

// delete deletes one object at once, or a tree in a job.
func (s fileCalls) delete(r *call) (any, error) {
	if err := r.onlyQuery("recurse", "throttle_deletion"); err != nil {
		return nil, err
	}
	v, err := s.onContent(r)
	if err != nil {
		return nil, err
	}
	name, err := inside(r.vars["path"])
	switch {
	case err != nil:
		return nil, err
	case name == ".":
		return nil, noVolumeHere
	case flexvol.InSnapshot(name):
		return nil, readOnlyFS
	case s.isQtree(v.uuid, name):
		return nil, fail(http.StatusBadRequest, "6488119", "path", "Operation not supported: %q is a qtree.", name)
	}
	if throttle := r.query.Get("throttle_deletion"); throttle != "" {
		if n, err := strconv.Atoi(throttle); err != nil || n < 10 || n > 100000 {
			return nil, invalid(throttle, "throttle_deletion")
		}
	}
	if _, err := v.Lstat(name); err != nil {
		return nil, err
	}
	switch recurse := r.query.Get("recurse"); recurse {
	case "", "false":
		return nil, v.Remove(name, false)
	case "true":
		return s.start(r, "", func() error { return v.Remove(name, true) })
	default:
		return nil, invalid(recurse, "recurse")
	}
}

// clone makes one file out of another of the same FlexVol.
func (s fileCalls) clone(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body("/storage/file/clone")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"source_path", "destination_path"} {
		if body.text(name) == "" {
			return nil, missing(name)
		}
	}
	if err := s.named(body.text("volume.uuid"), body.text("volume.name")); err != nil {
		return nil, err
	}
	if strings.HasPrefix(body.text("destination_path"), "/") {
		return nil, fail(http.StatusBadRequest, "917812", "destination_path", "A relative path must be used for %q when a volume is specified.", "destination_path")
	}
	if body.has("range") {
		return nil, fail(http.StatusBadRequest, "13565952", "range", "Clone start failed.") // parts of files are not played
	}
	from, err1 := inside(body.text("source_path"))
	to, err2 := inside(body.text("destination_path"))
	if err := errors.Join(err1, err2); err != nil || flexvol.InSnapshot(to) || to == "." {
		return nil, noHandle
	}
	st, err := s.dir.Lstat(from)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, noHandle
	}
	return s.start(r, "", func() error {
		if body.text("overwrite_destination") == "true" {
			if err := s.dir.Remove(to, false); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		if err := s.dir.CopyOut(from, to); errors.Is(err, unix.EEXIST) {
			return fail(http.StatusConflict, ontap.CodeExists, "destination_path", "The destination file already exists.")
		} else if err != nil {
			return err
		}
		return nil
	})
}

var noHandle = fail(http.StatusBadRequest, "917864", "source_path", "Failed to get the file handle.")

// named checks that a body's volume is the FlexVol.
func (s fileCalls) named(uuid, name string) error {
	switch {
	case s.cfg.Style != "flexvol":
		return fail(http.StatusBadRequest, "6488114", "volume", "The operation is not supported on FlexGroup volumes.")
	case uuid == "" && name == "":
		return missing("volume.uuid")
	case uuid != "" && uuid != s.world.VolumeUUID, name != "" && uuid == "" && name != s.cfg.Volume:
		return fail(http.StatusNotFound, "918235", "volume.uuid", "The specified volume was not found.")
	case name != "" && name != s.cfg.Volume:
		return fail(http.StatusBadRequest, "918236", "volume", "The specified %q and %q refer to different volumes.", "volume.uuid", "volume.name")
	}
	return nil
}

// directoryRestore copies a directory out of a snapshot under new inodes, to a
// free name. Without a name it replaces the directory.
func (s fileCalls) directoryRestore(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := s.restoreBody(r)
	if err != nil {
		return nil, err
	}
	if body.text("vserver") != s.ours() {
		return nil, fail(http.StatusNotFound, "2621462", "vserver", "The specified SVM name does not exist.")
	}
	if err := s.named("", body.text("volume")); err != nil {
		return nil, err
	}
	s.mu.Lock()
	there := s.world.snapshot(body.text("snapshot")) != nil
	s.mu.Unlock()
	if !there {
		return nil, fail(http.StatusNotFound, ontap.CodeSnapshotMissing, "snapshot", "The snapshot does not exist.")
	}
	from, err1 := inside(body.text("path"))
	to, err2 := inside(orString(body.text("restore_path"), body.text("path")))
	if err := errors.Join(err1, err2); err != nil || from == "." || to == "." {
		return nil, fail(http.StatusBadRequest, "6488116", "path", "Directory restore is not supported on root directory. Use the \"volume snapshot restore\" command instead.")
	}
	source := path.Join(flexvol.SnapDir, body.text("snapshot"), from)
	st, err := s.dir.Lstat(source)
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, fail(http.StatusBadRequest, "6488112", "path", "Directory restore can only be started on a directory.")
	}
	if flexvol.InSnapshot(to) {
		return nil, readOnlyFS
	}
	if body.has("restore_path") {
		return s.start(r, "", func() error { return s.dir.CopyOut(source, to) })
	}
	return s.start(r, "", func() error { return s.replace(source, to) })
}

// restoreBody reads the body of directory-restore in the spelling that this cluster
// takes, and returns it in that of the reference. The other spelling has unknown
// fields.
func (s fileCalls) restoreBody(r *call) (record, error) {
	schema, spelling := "/storage/directory-restore", map[string]string{"vserver": "vserver", "volume": "volume", "snapshot": "snapshot", "path": "path"}
	if s.cfg.RestoreSpelling == "svm" {
		schema, spelling = restoreSchema, map[string]string{"vserver": "svm", "volume": "volume.name", "snapshot": "snapshot.name", "path": "source_path"}
	}
	given, err := r.body(schema)
	if err != nil {
		return nil, err
	}
	body := record{}
	for _, name := range []string{"vserver", "volume", "snapshot", "path"} {
		value := given.text(spelling[name])
		if name == "vserver" && value == "" {
			value = given.text("svm.name")
		}
		if value == "" {
			return nil, missing(spelling[name])
		}
		body[name] = value
	}
	if given.has("restore_path") {
		body["restore_path"] = given.text("restore_path")
	}
	return body, nil
}

// restoreSchema is the body of directory-restore as the text of its page has it,
// while the page's table has that of the reference.
const restoreSchema = "/storage/directory-restore (svm)"

var restoreFields = schema{Fields: map[string]string{"svm": "string", "svm.name": "string", "volume.name": "string", "snapshot.name": "string",
	"source_path": "string", "restore_path": "string"}}

// replace replaces the tree at to by a copy of source.
func (s fileCalls) replace(source, to string) error {
	fresh := path.Join(path.Dir(to), fmt.Sprintf("%snew-%s", flexvol.Unfinished, s.drawUUID()))
	if err := s.dir.CopyOut(source, fresh); err != nil {
		return errors.Join(err, s.dir.Remove(fresh, true))
	}
	if err := s.dir.Remove(to, true); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return s.dir.Rename(fresh, to)
}

var _ io.Closer = (*Simulator)(nil)
