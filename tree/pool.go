package tree

import (
	"context"
	"sync"

	"github.com/casit/berth/guard"
)

// How many tasks wait at most. A goroutine that has one task more carries it out at
// once, so trees of any size take the same memory.
const (
	maxFileTasks = 2048
	maxDirTasks  = 8192
)

// maxListings is how many directories are listed at once. Each of them has a page of
// its listing in memory, with attributes and handles.
const maxListings = 32

// task is one step of a walk through a tree. An error of a task ends the walk.
type task func(ctx context.Context) error

// pool is a number of goroutines that carry out tasks. Tasks may add tasks. Files
// come before directories, and both are last in, first out: so the walk goes
// through a tree in depth, and few directories are unfinished at a time.
//
// A task must not wait for another task, because its goroutine may be the one that
// would have to carry it out.
type pool struct {
	mu    sync.Mutex // guards the fields below; never held while a task runs
	more  *sync.Cond // signals that a task was added, or that none is left
	files []task
	dirs  []task
	busy  int // tasks that run
	lists int // of busy: tasks on directories
	err   error
	stop  context.CancelFunc
}

// runPool carries out first and all tasks that it adds, with that many goroutines.
// It returns the first error, after all tasks have ended.
func runPool(ctx context.Context, workers int, first func(ctx context.Context, w *pool) error) error {
	w := &pool{}
	w.more = sync.NewCond(&w.mu)
	ctx, w.stop = context.WithCancel(ctx)
	defer w.stop()
	w.dirs = append(w.dirs, func(ctx context.Context) error { return first(ctx, w) })
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() { w.run(ctx) })
	}
	wait.Wait()
	return w.err
}

// run carries out tasks until there are none.
func (w *pool) run(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		t, list := w.next()
		for t == nil {
			if w.busy == 0 {
				w.more.Broadcast()
				return
			}
			w.more.Wait()
			t, list = w.next()
		}
		w.busy++
		w.lists += list
		w.mu.Unlock()
		err := guard.Run(func() error { return t(ctx) })
		w.mu.Lock()
		if w.lists -= list; list > 0 {
			w.more.Signal()
		}
		if w.busy--; err != nil && w.err == nil {
			w.err = err
			w.stop()
		}
		if w.err != nil {
			w.files, w.dirs = nil, nil
		}
		if w.busy == 0 {
			w.more.Broadcast()
		}
	}
}

// next takes a task. list is 1 for a task on a directory. The caller holds w.mu.
func (w *pool) next() (t task, list int) {
	from := &w.files
	if len(w.files) == 0 {
		if w.lists >= maxListings {
			return nil, 0
		}
		from, list = &w.dirs, 1
	}
	if n := len(*from); n > 0 {
		t, (*from)[n-1] = (*from)[n-1], nil
		*from = (*from)[:n-1]
	}
	return t, list
}

// file adds a task on a file, or carries it out if too many wait.
func (w *pool) file(ctx context.Context, t task) error { return w.add(ctx, &w.files, maxFileTasks, t) }

// dir adds a task on a directory, or carries it out if too many wait.
func (w *pool) dir(ctx context.Context, t task) error { return w.add(ctx, &w.dirs, maxDirTasks, t) }

func (w *pool) add(ctx context.Context, to *[]task, limit int, t task) error {
	w.mu.Lock()
	if len(*to) < limit {
		*to = append(*to, t)
		w.mu.Unlock()
		w.more.Signal()
		return ctx.Err()
	}
	w.mu.Unlock()
	return t(ctx)
}
