package ontap

import (
	"net/http"
	"sync"
	"time"
)

// Uses remembers which changes the cluster let a role do, and which it refused.
// Before 9.19.1 a role can be compared with nothing else, since only looking is
// without consequences. Clients of one process may share a Uses; the zero value
// is ready.
type Uses struct {
	mu   sync.Mutex     // guards last
	last map[string]use // by user and path
}

// use is the last time that a privilege was needed for a change.
type use struct {
	at      time.Time
	refused bool
}

// note keeps what came of a change. An answer that comes before the role is asked
// for, or none, says nothing of the role.
func (u *Uses) note(who string, r request, err *Error, at time.Time) {
	if r.safe() {
		return
	}
	need, ok := needOf(r.path)
	if !ok {
		return
	}
	_, refused := NeedFor(err)
	if err != nil && !refused && (err.HTTP == 0 || err.HTTP >= 500 || err.HTTP == http.StatusUnauthorized || err.HTTP == http.StatusTooManyRequests || isUnsupported(err)) {
		return
	}
	if !refused && need.Access == AccessAll && r.method != http.MethodDelete {
		return // read_create and read_modify allow it too
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = map[string]use{}
	}
	u.last[who+need.Path] = use{at, refused}
}

func (u *Uses) of(who string, need Need) (use, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	last, ok := u.last[who+need.Path]
	return last, ok
}
