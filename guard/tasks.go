package guard

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Tasks are the goroutines and requests that somebody owns, and waits for at
// the end. Its zero value is ready.
type Tasks struct {
	mu     sync.Mutex     // guards the fields below
	names  map[string]int // what runs, and how often
	closed bool           // nothing is admitted any more
	idle   chan struct{}  // made by Wait; closed when nothing runs
}

// Admit is Begin for what comes from outside: false after Close.
func (t *Tasks) Admit(name string) (end func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, false
	}
	return t.count(name), true
}

// Begin counts a task until end is called.
func (t *Tasks) Begin(name string) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count(name)
}

// count is Begin with mu held.
func (t *Tasks) count(name string) (end func()) {
	if t.names == nil {
		t.names = map[string]int{}
	}
	t.names[name]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.names[name]--; t.names[name] == 0 {
			delete(t.names, name)
		}
		if len(t.names) == 0 && t.idle != nil {
			close(t.idle)
			t.idle = nil
		}
	}
}

// Run calls f, which a context cannot interrupt, in a task of its own and waits
// for it until ctx ends. A panic of f is the error.
func (t *Tasks) Run(ctx context.Context, name string, f func() error) error {
	end := t.Begin(name)
	done := make(chan error, 1)
	go func() {
		err := Run(f)
		end()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close admits nothing any more.
func (t *Tasks) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// Wait returns when nothing runs, or with the names of what does when ctx ends.
func (t *Tasks) Wait(ctx context.Context) error {
	t.mu.Lock()
	if len(t.names) == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for name := range t.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Errorf("still at work: %q", names)
}
