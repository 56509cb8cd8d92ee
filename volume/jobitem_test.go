package volume

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAJobItemKeepsEveryByteOfItsPath(t *testing.T) {
	data, err := json.Marshal(JobItem{Volume: "blog", Dest: "blog/caf\xe9"})
	require.NoError(t, err)
	var item JobItem
	require.NoError(t, json.Unmarshal(data, &item))
	require.Equal(t, JobItem{Volume: "blog", Dest: "blog/caf\xe9"}, item)
}
