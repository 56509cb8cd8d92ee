package plugin

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
)

func TestSettingsDocumentIsTheCode(t *testing.T) {
	const page = "docs/settings.md"
	require.ElementsMatch(t, SettingNames(), docs.Keys(t, page))
	for _, s := range SettingTable {
		def := " "
		if s.Default != "" {
			def = " `" + s.Default + "` "
		}
		require.Contains(t, docs.Text(t, page), "| `"+s.Name+"` |"+def+"| "+string(s.Class)+" | ", "default and class of %s", s.Name)
	}
}

func TestTheManagedPluginTakesEverySetting(t *testing.T) {
	for _, name := range SettingNames() {
		if slices.Contains([]string{"BERTH_SOCKET"}, name) {
			continue // dockerd says where a managed plugin's socket is
		}
		require.Contains(t, docs.Text(t, "config.json"), `"`+name+`"`)
	}
}
