package audit

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzMonthOf(f *testing.F) {
	for _, name := range []string{"n1-202611.jsonl", "a-b-200001.jsonl", "-202611.jsonl", "n1-202613.jsonl", "n1-2026111.jsonl", "notes"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if m, ok := monthOf(name); ok {
			require.Equal(t, name[len(name)-len("-200601.jsonl"):], fmt.Sprintf("-%s.jsonl", m.Format("200601")))
		}
	})
}
