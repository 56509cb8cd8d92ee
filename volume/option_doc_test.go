package volume

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
)

func TestOptionsDocumentIsTheCode(t *testing.T) {
	const page = "docs/options.md"
	var keys []string
	for _, o := range OptionTable {
		keys = append(keys, o.Key)
		require.Contains(t, docs.Text(t, page), o.Values)
		if o.Default != "" {
			require.Contains(t, docs.Text(t, page), "| `"+o.Key+"` | `"+o.Values+"` | `"+o.Default+"` |", "the row of %s", o.Key)
		}
	}
	require.ElementsMatch(t, keys, docs.Keys(t, page))
}
