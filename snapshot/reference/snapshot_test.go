package reference

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file system takes any bytes for the name of a snapshot, and JSON does not.
func TestASnapshotsNameKeepsEveryByteInJSON(t *testing.T) {
	for name, want := range map[string]string{"nightly": `{"name":"nightly"}`, "\xffnightly": `{"name":"\ufffdnightly","name_b64":"/25pZ2h0bHk="}`, "a\u202e\x1b": `{"name":"a` + "\u202e" + `\u001b"}`} {
		got, err := json.Marshal(Snapshot{Name: name})
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		var back Snapshot
		require.NoError(t, json.Unmarshal(got, &back))
		require.Equal(t, Snapshot{Name: name}, back)
	}
}
