package bound

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// connections are those of one server.
type connections struct {
	most int

	mu    sync.Mutex                 // guards the fields below
	open  int                        // all of them
	quiet list.List                  // of net.Conn: those without a request, the longest quiet one first
	at    map[net.Conn]*list.Element // where a quiet one is; nil: it has a request
}

// Connections makes srv have so many connections at most, and never more than half
// of the files that this process may open. A new connection is let in always: the
// one that has been quiet for longest is closed instead, whether it was used before
// or never. Only if every one of them has a request under way, the new one is closed.
// It takes srv.ConnState, and has to be called before srv serves.
func Connections(srv *http.Server, most int) {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil && files.Cur/2 < uint64(most) {
		most = int(files.Cur / 2)
	}
	c := &connections{most: most, at: map[net.Conn]*list.Element{}}
	srv.ConnState = c.changes
}

// changes is told by the server what a connection does. Of a new one it is told
// before the next one is accepted.
func (c *connections) changes(conn net.Conn, state http.ConnState) {
	if out := c.count(conn, state); out != nil {
		out.Close() // and count is told
	}
}

// count notes what a connection does, and returns the one that has to go.
func (c *connections) count(conn net.Conn, state http.ConnState) (out net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.at[conn]; ok {
		if at != nil {
			c.quiet.Remove(at)
		}
		c.at[conn] = nil
	}
	switch state {
	case http.StateNew:
		c.open++
		c.at[conn] = c.quiet.PushBack(conn)
		if c.open > c.most {
			return c.quiet.Front().Value.(net.Conn)
		}
	case http.StateIdle:
		c.at[conn] = c.quiet.PushBack(conn)
	case http.StateClosed, http.StateHijacked:
		c.open--
		delete(c.at, conn)
	}
	return nil
}
