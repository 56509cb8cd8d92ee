package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// hub asks the world again and again while somebody watches, and tells all
// viewers when what the page shows has changed.
type hub struct {
	world *world
	every time.Duration
	life  context.Context

	mu       sync.Mutex // guards what follows
	watchers map[chan struct{}]bool
	stop     context.CancelFunc // of the loop; nil: nobody watches
	sum      uint64
}

const (
	watchersAtMost = 200
	beatEvery      = 15 * time.Second // a sign of life for viewer and proxies
	writeLimit     = 30 * time.Second // of one write to a viewer
)

// join adds a viewer; the channel gets a value when something has changed.
func (h *hub) join() (changed chan struct{}, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) >= watchersAtMost {
		return nil, false
	}
	if h.watchers == nil {
		h.watchers = map[chan struct{}]bool{}
	}
	changed = make(chan struct{}, 1)
	h.watchers[changed] = true
	if h.stop == nil {
		ctx, cancel := context.WithCancel(h.life)
		h.stop, h.sum = cancel, h.world.sum()
		go h.watch(ctx)
	}
	changed <- struct{}{}
	return changed, true
}

func (h *hub) leave(changed chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, changed)
	if len(h.watchers) == 0 {
		h.stop()
		h.stop = nil
	}
}

func (h *hub) viewers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.watchers)
}

// watch is the loop; it ends with the last viewer.
func (h *hub) watch(ctx context.Context) {
	again := time.NewTicker(h.every)
	defer again.Stop()
	for ctx.Err() == nil {
		h.world.usage.refresh(h.life)
		wait(ctx, h.life, h.every, h.world.quick()...)
		h.compare()
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

// compare tells the viewers if the world has changed.
func (h *hub) compare() {
	sum := h.world.sum()
	h.mu.Lock()
	defer h.mu.Unlock()
	if sum == h.sum {
		return
	}
	h.sum = sum
	for w := range h.watchers {
		select {
		case w <- struct{}{}:
		default: // it has not read the last one yet
		}
	}
}

// begin returns the sum for a page that is made now; the sum is not newer than
// the page.
func (h *hub) begin() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop == nil {
		h.sum = h.world.sum()
	}
	return strconv.FormatUint(h.sum, 36)
}

func (h *hub) current() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strconv.FormatUint(h.sum, 36)
}

// events streams "state SUM" at once and after each change, and a beat in
// between, as server-sent events.
func (h *hub) events(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	changed, ok := h.join()
	if !ok {
		http.Error(w, "too many viewers", http.StatusServiceUnavailable)
		return
	}
	defer h.leave(changed)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep it back
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	flow := http.NewResponseController(w)
	for {
		event := "beat"
		select {
		case <-changed:
			event = "state"
		case <-beat.C:
		case <-r.Context().Done():
			return
		case <-h.life.Done():
			return
		}
		_ = flow.SetWriteDeadline(time.Now().Add(writeLimit))
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, h.current()); err != nil || flow.Flush() != nil {
			return
		}
	}
}
