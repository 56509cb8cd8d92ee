package show

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// terminal remembers what was written to it.
type terminal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *terminal) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func TestALineSaysWhatIsGoingOnAndGoes(t *testing.T) {
	var to terminal
	said := make(chan struct{}, 100)
	w := Work(context.Background(), &to, func(context.Context) string {
		said <- struct{}{}
		return "reading: 3 B"
	})
	<-said
	<-said // the first line was written
	_, err := w.Over(&to).Write([]byte("result\n"))
	require.NoError(t, err)
	w.Stop()
	require.Contains(t, to.text.String(), "\rreading: 3 B\r            \rresult\n")

	var none *Working
	none.Stop()
	require.Equal(t, &to, none.Over(&to))
}
