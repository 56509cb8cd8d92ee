package tree

import (
	"context"
	"sync"

	"github.com/casit/berth/guard"
)

// How many tasks wait at most. What does not fit is done at once by the one
// that has it, so that trees of any size take the same memory.
const (
	maxFileTasks = 2048
	maxDirTasks  = 8192
)

// maxListings bounds the directories at work at once, each of which has a page
// of its listing in memory, with attributes and handles.
const maxListings = 32

// task is a piece of work on a tree; an error ends all of it.
type task func(ctx context.Context) error

// work is a number of goroutines that carry out tasks, which add more tasks.
// Files come before directories, and both last in first out: a tree is gone
// through in depth, and few directories are unfinished at a time.
//
// A task must not wait for another one: it may be the one that carries it out.
type pool struct {
	mu    sync.Mutex // guards the fields below; never held while a task runs
	more  *sync.Cond // there is something to do, or nothing left
	files []task
	dirs  []task
	busy  int // tasks at work
	lists int // of busy: on directories
	err   error
	stop  context.CancelFunc
}

// carryOut runs first and all the tasks that come of it, by that many
// goroutines, and returns the first error when all have ended.
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

// next takes a task, and counts it if it is one on a directory; w.mu is held.
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

// file adds a task on a file, or carries it out.
func (w *pool) file(ctx context.Context, t task) error { return w.add(ctx, &w.files, maxFileTasks, t) }

// dir adds a task on a directory, or carries it out.
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
