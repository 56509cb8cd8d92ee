package simulator

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Endless are the answers without an end that a Fault may give: bytes, lines,
// records and waits come until the client has gone. Each also exists as an answer of
// a finite size that is far too much.
var Endless = []string{"body", "headers", "gzip", "records", "record", "nesting", "words", "pages", "trickle", "redirect"}

// endless is an answer without an end.
type endless struct{ kind string }

func (*endless) Error() string { return "an answer without an end" }

// page is how many bytes are written at once.
const page = 64 << 10

// large is how much an answer has that is only too large, in bytes: less than what
// is read of one.
const large = 2 << 20

func (e *endless) write(w http.ResponseWriter, r *call) {
	put := func(b []byte) bool {
		_, err := w.Write(b)
		return err == nil && r.Context().Err() == nil
	}
	fill := func(unit string, most int) {
		block := bytes.Repeat([]byte(unit), page/len(unit))
		for sent := 0; sent < most && put(block); sent += len(block) {
		}
	}
	w.Header().Set("Content-Type", "application/hal+json")
	switch e.kind {
	case "body":
		put([]byte(`{"name":"`))
		fill("x", 1<<40)
	case "headers":
		for i := range 20_000 {
			w.Header().Set(fmt.Sprintf("X-Filler-%d", i), strings.Repeat("x", 100))
		}
	case "gzip": // 1 GiB in 1 MiB
		w.Header().Set("Content-Encoding", "gzip")
		z, block := gzip.NewWriter(w), bytes.Repeat([]byte(" "), page)
		for range 1 << 30 / page {
			if _, err := z.Write(block); err != nil || r.Context().Err() != nil {
				return
			}
		}
		_ = z.Close()
	case "records": // that take much more in memory
		put([]byte(`{"records":[{}`))
		fill(",{}", large)
		put([]byte(`]}`))
	case "record": // one, of a list that takes much more in memory
		put([]byte(`{"records":[{"name":7,"x":[0`))
		fill(",0", large)
		put([]byte(`]}]}`))
	case "nesting":
		fill(`{"a":`, large)
	case "words":
		w.WriteHeader(http.StatusBadRequest)
		put([]byte(`{"error":{"code":"1","message":"`))
		fill("much ", large)
		put([]byte(`"}}`))
	case "pages":
		put([]byte(`{"records":[{"name":"x"}],"num_records":1,"_links":{"next":{"href":"` + next(r) + `"}}}`))
	case "trickle":
		for put([]byte(" ")) {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(20 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
	case "redirect":
		w.Header().Set("Location", r.URL.RequestURI())
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

// next is a link to another page, each time a new one.
func next(r *call) string {
	query := r.URL.Query()
	query.Set("start.uuid", query.Get("start.uuid")+"x")
	return r.URL.EscapedPath() + "?" + query.Encode()
}
