package volume

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/job"
)

func TestAJobItemKeepsEveryByteOfItsPath(t *testing.T) {
	data, err := json.Marshal(job.Item{Volume: "blog", Dest: "blog/caf\xe9"})
	require.NoError(t, err)
	var item job.Item
	require.NoError(t, json.Unmarshal(data, &item))
	require.Equal(t, job.Item{Volume: "blog", Dest: "blog/caf\xe9"}, item)
}
