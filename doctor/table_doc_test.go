package doctor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
)

func TestDoctorDocumentIsTheCode(t *testing.T) {
	const page = "docs/doctor.md"
	var names []string
	for _, d := range Table {
		names = append(names, d.Name)
		require.Contains(t, docs.Text(t, page), "| `"+d.Name+"` | "+d.Looks+" |")
	}
	require.Equal(t, names, docs.Keys(t, page))
}
