package show

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Working is a line on a terminal that says what is going on, while a command waits for
// its answer. A nil Working shows nothing. It may be used concurrently.
type Working struct {
	to   io.Writer
	stop context.CancelFunc
	over chan struct{} // closed when the line is not written any more

	mu   sync.Mutex // guards wide; held while something is written
	wide int        // how many characters the line has
}

// Work writes each second what line returns to the terminal to, until Stop. ctx is that
// of the command. The first line comes after two seconds: most answers are there by then.
func Work(ctx context.Context, to io.Writer, line func(ctx context.Context) string) *Working {
	ctx, stop := context.WithCancel(ctx)
	w := &Working{to: to, stop: stop, over: make(chan struct{})}
	go func() {
		defer close(w.over)
		for wait := 2 * time.Second; ; wait = time.Second {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			if text := line(ctx); text != "" && ctx.Err() == nil {
				w.mu.Lock()
				fmt.Fprintf(w.to, "\r%-*s", w.wide, text)
				w.wide = len(text)
				w.mu.Unlock()
			}
		}
	}()
	return w
}

// Stop removes the line.
func (w *Working) Stop() {
	if w != nil {
		w.stop()
		<-w.over
		w.Clear()
	}
}

// Clear removes the line until the next one.
func (w *Working) Clear() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wide > 0 {
		fmt.Fprintf(w.to, "\r%*s\r", w.wide, "")
		w.wide = 0
	}
}

// Over returns a writer to out, which may be the same terminal: it removes the line first.
func (w *Working) Over(out io.Writer) io.Writer {
	if w == nil {
		return out
	}
	return &overLine{w, out}
}

type overLine struct {
	line *Working
	out  io.Writer
}

func (o *overLine) Write(p []byte) (int, error) {
	o.line.Clear()
	return o.out.Write(p)
}
