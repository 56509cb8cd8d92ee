package dashboard

import (
	"context"
	"sync"
	"time"
)

// feed keeps the last answer of one source for all viewers together. A source
// that hangs delays nobody: its question runs in a goroutine of its own, one at
// a time, and the last answer stays.
type feed[T any] struct {
	name  string        // what it is to a person: "the plugin"
	every time.Duration // how old an answer may be before it is asked again
	limit time.Duration // of one question
	ask   func(context.Context) (T, error)

	mu    sync.Mutex // guards what follows; never held while asking
	state state[T]
	busy  chan struct{} // closed when the question under way is answered; nil: none is
	next  time.Time     // when to ask again
}

// state is what is known of a source.
type state[T any] struct {
	Value  T
	At     time.Time // of the last answer; zero: none yet
	Err    error     // of the last question, if it failed
	Asking time.Time // since when it has not answered; zero: it is not asked now
}

// refresh asks if the answer is old. The question ends with the server and not
// with one viewer. The channel is closed when the answer is there.
func (f *feed[T]) refresh(life context.Context) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy != nil {
		return f.busy
	}
	done := make(chan struct{})
	if time.Now().Before(f.next) || life.Err() != nil {
		close(done)
		return done
	}
	f.busy, f.state.Asking = done, time.Now()
	go func() {
		defer close(done)
		f.answer(life)
	}()
	return done
}

func (f *feed[T]) answer(life context.Context) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(life, f.limit)
	defer cancel()
	v, err := f.ask(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.state.Value, f.state.At = v, time.Now()
	}
	f.state.Err, f.state.Asking, f.busy = err, time.Time{}, nil
	f.next = began.Add(f.pause(time.Since(began), err) * 9 / 10) // or it would miss the hub's next turn
}

// pause is how long a source is not asked after a question of this duration: a
// source is asked for a tenth of the time at most. After a failure it is asked
// again soon, since viewers want to see its return.
func (f *feed[T]) pause(took time.Duration, err error) time.Duration {
	if err != nil {
		return min(f.every, failedEvery)
	}
	return max(f.every, 10*took)
}

const failedEvery = 30 * time.Second

func (f *feed[T]) get() state[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// source is a feed of any type.
type source interface {
	refresh(life context.Context) <-chan struct{}
}

// wait asks sources, and lets them answer for a while.
func wait(ctx, life context.Context, limit time.Duration, sources ...source) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var answers []<-chan struct{}
	for _, s := range sources {
		answers = append(answers, s.refresh(life))
	}
	for _, done := range answers {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
}
