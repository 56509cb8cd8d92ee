package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Info is a volume as it is shown.
type Info struct {
	Name    string         `json:"name"`
	Path    string         `json:"path"` // below the export
	Created time.Time      `json:"created,omitzero"`
	Adopted bool           `json:"adopted"`          // a directory that berth did not make
	Origin  string         `json:"origin,omitempty"` // whose it was before
	Options Options        `json:"options"`          // effective
	Health  string         `json:"health"`           // "ok", or what is wrong and what to type
	Users   []cluster.User `json:"used_by"`
	Newest  string         `json:"newest_snapshot,omitempty"`
	// These are measured on request only. UsedBytes is what the volume takes on the
	// disk: holes left out, hard links once.
	SizeBytes int64 `json:"size_bytes,omitempty"`
	UsedBytes int64 `json:"used_bytes,omitempty"`
	Files     int64 `json:"files,omitempty"`
	// Unmeasured: it could not be, although that was asked for.
	Unmeasured bool `json:"unmeasured,omitempty"`
	// ByFiler: UsedBytes and Files are the filer's counts, of directories too, and
	// may lag; SizeBytes is not known.
	ByFiler bool `json:"counted_by_filer,omitempty"`
	// Own is what makes it a tree of its own on the export, where that is known.
	Own *tree.Own `json:"own_tree,omitempty"`
}

// getBudget is how long Get and List ask the export before memory answers.
const getBudget = 200 * time.Millisecond

// Get answers whether a volume or view exists, from memory where the export's
// root has not changed. An error other than NotFound never comes for a known
// name: dockerd takes an error from Get for "does not exist" and forgets the
// volume (engine: store.getVolume). For an unknown name it comes when the
// export could not be asked; the caller must then not answer at all.
func (s *Store) Get(ctx context.Context, volume string) (*Info, error) {
	ref, err := ParseRef(volume)
	if err != nil {
		return nil, err
	}
	if ref.Snapshot != "" {
		return s.getView(ctx, ref)
	}
	_, known := s.index.Known(ref.Name)
	ask := ctx
	if known {
		var cancel context.CancelFunc
		ask, cancel = context.WithTimeout(ctx, getBudget)
		defer cancel()
	}
	var found bool
	err = s.with(ask, "look up "+ref.Name, func(e *export.Export) (err error) {
		found, err = s.lookup(ask, e, ref.Name)
		return err
	})
	switch {
	case err == nil && !found:
		s.index.Drop(ref.Name)
		return nil, noSuchVolume(ref.Name)
	case err == nil:
		return s.info(ask, ref.Name, ""), nil
	case problem.KindOf(err) == problem.Invalid:
		return nil, err
	case known:
		return s.info(ask, ref.Name, "unverified: "+err.Error()), nil
	}
	return nil, err
}

func noSuchVolume(name string) error {
	return problem.New(problem.NotFound, fmt.Sprintf("'docker volume ls' lists all, 'docker volume create -d berth %s' makes it", name), "no volume %q on the export", name)
}

// lookup asks at most one GETATTR of the root, and one LOOKUP of the name if
// the root has changed or the name is unknown.
func (s *Store) lookup(ctx context.Context, e *export.Export, name string) (bool, error) {
	root, err := e.FS.Stat(ctx, ".")
	if err != nil {
		return false, err
	}
	_, known := s.index.Known(name)
	if known && s.index.Current(root.Mtime) {
		return true, nil
	}
	err = s.checkDirectory(ctx, e, name)
	if problem.KindOf(err) == problem.NotFound {
		if err := e.Confirm(ctx); err != nil {
			return false, err
		}
		// Of a volume whose lock is broken nobody knows whether it is away for a moment.
		l, lockErr := cluster.ReadLock(ctx, e.FS, name)
		if export.IsBroken(lockErr) {
			return true, nil
		}
		return l != nil && l.Op.Swaps(), lockErr
	}
	if err != nil {
		return false, err
	}
	if !known {
		s.index.Put(name, entry{})
	}
	return true, nil
}

// checkDirectory answers nil if name is a volume's directory, NotFound if there
// is nothing, and Invalid if berth has to keep its hands off.
func (s *Store) checkDirectory(ctx context.Context, e *export.Export, name string) error {
	attr, err := e.FS.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return noSuchVolume(name)
	}
	if err != nil {
		return err
	}
	if attr.Kind != tree.Directory {
		return problem.New(problem.Invalid, "berth leaves it alone; take another name, or move it away on the export",
			"%q on the export is a %s, not a volume's directory", name, attr.Kind)
	}
	return checkPlace(ctx, e.FS, name)
}

// info describes a known volume from memory; metadata not read yet is read if
// the export answers within ctx.
func (s *Store) info(ctx context.Context, name, health string) *Info {
	known, _ := s.index.Known(name)
	if !known.Read && health == "" {
		err := s.with(ctx, "read the metadata", func(e *export.Export) error {
			var broken *problem.Error
			meta, err := readMeta(ctx, e.FS, name)
			if errors.As(err, &broken) {
				known = entry{Err: broken, Read: true}
			} else if err != nil {
				return err
			} else {
				known = entry{Meta: meta, Read: true}
			}
			s.index.Put(name, known)
			return nil
		})
		if err != nil {
			health = "unverified: " + err.Error()
		}
	}
	i := &Info{Name: name, Path: name, Options: Options{}.Effective(), Health: "ok", Users: s.usersOf(name), Newest: s.polled.newestSnapshot()}
	switch {
	case known.Err != nil:
		i.Health, i.Options = known.Err.Error(), nil
	case known.Meta != nil:
		i.Created, i.Options, i.Origin = known.Meta.Created, known.Meta.Options.Effective(), known.Meta.Origin
	default:
		i.Adopted = known.Read
	}
	if health != "" {
		i.Health = health
	}
	return i
}

// List returns the names of all volumes, sorted. While the export does not
// answer it returns what is known.
func (s *Store) List(ctx context.Context) ([]string, error) {
	ask, cancel := context.WithTimeout(ctx, getBudget)
	defer cancel()
	err := s.with(ask, "list the volumes", func(e *export.Export) error { return s.refresh(ask, e) })
	if err != nil && !s.index.Anything() {
		// Nothing to answer from: the first listing may take its time.
		err = s.with(ctx, "list the volumes", func(e *export.Export) error { return s.refresh(ctx, e) })
		if err != nil {
			return nil, err
		}
	}
	return s.index.All(), nil
}

// Inspect describes volumes with their users as the export has them now. No
// name means all.
func (s *Store) Inspect(ctx context.Context, names []string) ([]*Info, error) {
	err := s.with(ctx, "read the users", func(e *export.Export) error { return s.pollAll(ctx, e) })
	listed := len(names) == 0
	if err == nil && listed {
		err = s.with(ctx, "list the volumes", func(e *export.Export) error { return s.refresh(ctx, e) })
		names = s.index.All()
	}
	if err != nil {
		return nil, err
	}
	out := make([]*Info, len(names))
	var own func(context.Context, string) (*tree.Own, error)
	if e := s.conn.Current(); e != nil {
		own, _ = tree.OwnTrees(ctx, e.FS)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, n := range names {
		group.Go(guard.Func(func() (err error) {
			if listed {
				out[i] = s.info(ctx, n, "") // it was seen a moment ago
			} else if out[i], err = s.Get(ctx, n); err != nil {
				return err
			}
			if own != nil { // one that is removed at this moment is shown without
				out[i].Own, _ = own(ctx, n)
			}
			return nil
		}))
	}
	return out, group.Wait()
}

// Measure fills in what a volume holds, by walking it. Of one that cannot be
// measured its health says why.
func (s *Store) Measure(ctx context.Context, i *Info) error {
	what := "measure " + i.Name
	return s.with(ctx, what, func(e *export.Export) error {
		m, err := tree.Measure(ctx, e.FS, i.Path)
		switch {
		case err == nil:
			i.SizeBytes, i.UsedBytes, i.Files = m.Bytes, m.Used, m.Files
		case export.Ends(ctx, e.FS, err):
			return err
		default:
			if i.Unmeasured = true; i.Health == "ok" {
				i.Health = s.conn.Explain(what, err).Error()
			}
		}
		return nil
	})
}

// Create makes a volume, or completes one whose making was cut short, or
// agrees with one that is there with the same options. It may be repeated.
func (s *Store) Create(ctx context.Context, volume string, given map[string]string) error {
	ref, err := ParseRef(volume)
	if err != nil {
		return err
	}
	opts, err := ParseOptions(given)
	if err != nil {
		return err
	}
	what := "create " + ref.String()
	release, err := s.Cluster.Turn(ctx, ref.String())
	if err != nil {
		return s.conn.Explain(what, err)
	}
	release = sync.OnceFunc(release)
	defer release()
	var c *cloning
	err = s.with(ctx, what, func(e *export.Export) error {
		if ref.Snapshot != "" {
			if len(opts) > 0 {
				return problem.New(problem.Invalid, "create it without options", "%q is a view of a snapshot and has no options", ref)
			}
			return s.checkView(ctx, e, ref)
		}
		if err := checkPlace(ctx, e.FS, ref.Name); err != nil {
			return err
		}
		done, err := s.agree(ctx, e, ref.Name, opts)
		if done || err != nil {
			return err
		}
		if from, ok := opts["from"]; ok {
			c, err = s.clones.begin(ctx, e, ref.Name, from, opts)
			return err
		}
		lock, err := s.Cluster.Lock(ctx, e, cluster.Lock{Op: cluster.OpCreate, Volume: ref.Name})
		if err != nil {
			return err
		}
		defer lock.Unlock(ctx)
		if done, err = s.agree(ctx, e, ref.Name, opts); done || err != nil {
			return err
		}
		return s.make(ctx, e, ref.Name, opts)
	})
	release()
	if err == nil && c != nil {
		err = s.clones.await(ctx, ref.Name, c)
	}
	return err
}

// agree tells whether the volume is there, whole, with the given options.
// Only keys that are given are compared.
func (s *Store) agree(ctx context.Context, e *export.Export, name string, opts Options) (bool, error) {
	meta, err := readMeta(ctx, e.FS, name)
	if err != nil {
		return false, err
	}
	recorded := Options{}
	if meta != nil {
		recorded = meta.Options
	}
	attr, err := e.FS.Stat(ctx, name)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return false, err
	}
	if !missing && attr.Kind != tree.Directory {
		return false, s.checkDirectory(ctx, e, name)
	}
	if missing && meta == nil {
		return false, nil
	}
	if keys := recorded.Differs(opts); len(keys) > 0 {
		var given, has []string
		for _, k := range keys {
			given, has = append(given, k+"="+opts[k]), append(has, k+"="+recorded.Get(k))
		}
		return false, problem.New(problem.InUse, fmt.Sprintf("leave the options out, or change the volume with 'berth volume set %s %s'", name, strings.Join(given, " ")),
			"volume %q exists with %s, not %s", name, strings.Join(has, " "), strings.Join(given, " "))
	}
	// A directory without permissions was made but not finished (tree.FS.Mkdir).
	return !missing && (attr.Mode&0o777 != 0 || meta == nil), nil
}

// make writes the metadata, then makes the directory. The caller has the lock.
func (s *Store) make(ctx context.Context, e *export.Export, name string, opts Options) error {
	meta := s.newMeta(name, opts)
	err := e.Publish(ctx, export.MetaPath(name), meta)
	if errors.Is(err, fs.ErrExist) {
		// An unfinished Create; agree has compared the options.
		meta, err = readMeta(ctx, e.FS, name)
	}
	if err != nil {
		return err
	}
	err = e.FS.Mkdir(ctx, name, meta.Options.rootAttr())
	if errors.Is(err, fs.ErrExist) {
		err = e.FS.SetAttr(ctx, name, meta.Options.rootAttr())
	}
	if err != nil {
		return err
	}
	s.index.Put(name, entry{Meta: meta, Read: true})
	s.Audit.Write(ctx, e, audit.Record{Op: "create", Volume: name})
	return nil
}

// Set changes options of an existing volume. uid, gid and mode change its root
// directory, and nothing below. An empty value goes back to the default.
func (s *Store) Set(ctx context.Context, name string, changes map[string]string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	given := map[string]string{}
	for k, v := range changes {
		if k == "from" || k == "help" {
			return problem.New(problem.Invalid, "only uid, gid, mode, access and on-remove can be changed", "option %q says how a volume was made", k)
		}
		if _, ok := findOption(k); !ok || v != "" {
			given[k] = v
		}
	}
	opts, err := ParseOptions(given)
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		return problem.New(problem.Invalid, fmt.Sprintf("for example 'berth volume set %s on-remove=retain'", name), "nothing to set")
	}
	return s.locked(ctx, cluster.OpSet, name, func(e *export.Export, _ *cluster.Locking) error {
		if err := s.checkDirectory(ctx, e, name); err != nil {
			return err
		}
		meta, err := readMeta(ctx, e.FS, name)
		if err != nil {
			return err
		}
		if meta == nil {
			meta = s.newMeta(name, nil)
			meta.Adopted = true
		}
		next := Options{}
		for k, v := range meta.Options {
			next[k] = v
		}
		for k := range changes {
			delete(next, k)
		}
		for k, v := range opts {
			next[k] = v
		}
		if err := s.checkAccessChange(ctx, e, name, meta.Options, next); err != nil {
			return err
		}
		set, touched := opts.givenAttr()
		if touched {
			if err := e.FS.SetAttr(ctx, name, set); err != nil {
				return err
			}
		}
		meta.Options = next
		if err := e.Replace(ctx, export.MetaPath(name), meta); err != nil {
			return err
		}
		s.index.Put(name, entry{Meta: meta, Read: true})
		s.Audit.Write(ctx, e, audit.Record{Op: "set", Volume: name, Detail: describe(changes)})
		return nil
	})
}

// checkAccessChange lets access=single come only to a volume with at most one
// node using it.
func (s *Store) checkAccessChange(ctx context.Context, e *export.Export, name string, was, next Options) error {
	if next.Get("access") == was.Get("access") || next.Get("access") != "single" {
		return nil
	}
	users, err := s.Cluster.Users(ctx, e, name)
	if err != nil || len(users) < 2 {
		return err
	}
	return problem.New(problem.InUse, fmt.Sprintf("stop all but one; 'berth volume ps %s' lists them", name), "volume %q is in use on %d nodes", name, len(users))
}

// locked runs a change of a volume under its lock.
func (s *Store) locked(ctx context.Context, op cluster.Op, name string, f func(e *export.Export, lock *cluster.Locking) error) error {
	what := string(op) + " " + name
	release, err := s.Cluster.Turn(ctx, name)
	if err != nil {
		return s.conn.Explain(what, err)
	}
	defer release()
	return s.with(ctx, what, func(e *export.Export) error {
		lock, err := s.Cluster.Lock(ctx, e, cluster.Lock{Op: op, Volume: name})
		if err != nil {
			return err
		}
		defer lock.Unlock(ctx)
		return f(e, lock)
	})
}

// Repair moves broken metadata aside, where it stays to be looked at, and
// gives the volume default options. The data is not touched. It returns where
// the old file went.
func (s *Store) Repair(ctx context.Context, name string, dryRun bool) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	var aside string
	err := s.locked(ctx, cluster.OpRepair, name, func(e *export.Export, _ *cluster.Locking) error {
		_, err := readMeta(ctx, e.FS, name)
		if err == nil {
			return problem.New(problem.Nothing, "", "the metadata of volume %q is whole; nothing to repair", name)
		}
		if problem.KindOf(err) != problem.Failed || !errors.As(err, new(*problem.Error)) {
			return err
		}
		aside = s.metaAside(name)
		if dryRun {
			return nil
		}
		meta := s.newMeta(name, nil)
		meta.Adopted = true
		if id := salvagedID(ctx, e.FS, name); id != "" {
			meta.ID = id
		}
		if err := e.FS.Rename(ctx, export.MetaPath(name), aside); err != nil {
			return err
		}
		if there, err := export.Exists(ctx, e.FS, name); err != nil || !there {
			return err
		}
		if err := e.Publish(ctx, export.MetaPath(name), meta); err != nil {
			return err
		}
		s.index.Put(name, entry{Meta: meta, Read: true})
		s.Audit.Write(ctx, e, audit.Record{Op: "repair", Volume: name, Detail: "old metadata in " + aside})
		return nil
	})
	return aside, err
}

// salvagedID is the volume's id in metadata that is broken, "" if it is not to
// be seen: what was replaced in the volume is found by it.
func salvagedID(ctx context.Context, fsys tree.FS, name string) string {
	data, err := tree.ReadFile(ctx, fsys, export.MetaPath(name), export.MaxFile)
	if err != nil {
		return ""
	}
	found := regexp.MustCompile(`"name":"` + regexp.QuoteMeta(name) + `","id":"([0-9a-f]{16})"`).FindSubmatch(data)
	if found == nil {
		return ""
	}
	return string(found[1])
}

// metaAside is where metadata goes that no longer counts.
func (s *Store) metaAside(name string) string {
	return path.Join(export.TrashDir, "metadata-"+name+"-"+s.conn.NewID()+".json")
}

// describe is options as KEY=VALUE words in a stable order.
func describe(m map[string]string) string {
	var words []string
	for _, o := range OptionTable {
		if v, ok := m[o.Key]; ok {
			words = append(words, o.Key+"="+v)
		}
	}
	return strings.Join(words, " ")
}
