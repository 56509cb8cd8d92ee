package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/embedded"
)

func TestASnapshotSaysWhatItHasNot(t *testing.T) {
	for name, c := range map[string]struct {
		created snapshot.Created
		says    []string
		fails   string
	}{
		"all": {snapshot.Created{}, nil, ""},
		"absent and torn": {snapshot.Created{Changed: 1, ChangedPaths: []string{"a/log"}, Absent: 2, AbsentPaths: []string{"a/tmp1", "a/tmp2"}, Missing: 3, MissingPaths: []string{"a/x\ny"}},
			[]string{"1 file changed while it was copied and may be torn: a/log",
				"2 files were removed while it was made: they are not in it, the first: a/tmp1",
				`3 files could not be copied: they are not in it, the first: $'a/x\ny'`}, ""},
		"one absent": {snapshot.Created{Absent: 1}, []string{"1 file was removed while it was made and is not in it"}, ""},
		"without a volume": {snapshot.Created{Failed: []embedded.LeftOut{{Volume: "a", Reason: "too deep"}}}, nil,
			"1 volume could not be copied and is not in snapshot s: a: too deep"},
		"without two": {snapshot.Created{Failed: []embedded.LeftOut{{Volume: "a", Reason: "x"}, {Volume: "b", Reason: "y"}}}, nil,
			"2 volumes could not be copied and are not in snapshot s: a: x; b: y"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, talk bytes.Buffer
			a := &app{stdout: &out, stderr: &talk}
			c.created.Snapshot.Name, c.created.By, c.created.Method = "s", snapshot.ByBerth, "copy"
			shown := showCreated(a, &c.created)
			require.Contains(t, out.String(), "s: a copy of ")
			for _, line := range c.says {
				require.Contains(t, talk.String(), line)
			}
			if c.fails == "" {
				require.NoError(t, shown)
			} else {
				require.EqualError(t, shown, c.fails)
				code, _, _ := judge(shown)
				require.Equal(t, exitFailed, code)
			}
		})
	}
}
