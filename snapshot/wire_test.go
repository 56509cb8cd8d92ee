package snapshot

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/snapshot/reference"
)

func TestRequestsKeepEveryByte(t *testing.T) {
	odd := "blog@s:caf\xe9"
	exact := &reference.Exact{Volume: "blog", Snapshot: "s\xff", Path: "caf\xe9", UUID: "u", Time: time.Unix(1, 2).UTC()}
	for _, want := range []any{
		&RestoreRequest{Refs: []string{"blog@s", odd}, Exact: []reference.Exact{*exact}, To: "old/\xe9", Live: true, Keep: time.Hour},
		&RestoreRequest{Stack: "shop@s", Checksum: true},
		&DiffRequest{A: odd, B: odd, ExactB: exact, Checksum: true},
		&FileRequest{Ref: odd, Deleted: true},
		&RefRequest{Ref: odd, Exact: exact, PathB64: []byte("\xe9")},
		&BrowseRequest{Ref: odd, Limit: 3},
		&CloneRequest{Ref: "blog@\xe9", As: "new", DryRun: true},
		&RemoveRequest{Names: []string{"s\xe9", "t"}, DryRun: true},
	} {
		data, err := json.Marshal(want)
		require.NoError(t, err)
		got := reflect.New(reflect.TypeOf(want).Elem()).Interface()
		require.NoError(t, json.Unmarshal(data, got), string(data))
		require.Equal(t, want, got, string(data))
	}
}

// TestOldRequestsAreRead: 0.1 wrote journals and requests with plain strings.
func TestOldRequestsAreRead(t *testing.T) {
	var r RestoreRequest
	require.NoError(t, json.Unmarshal([]byte(`{"refs":["blog@s:a"],"live":true,"to":"b","keep_ns":5}`), &r))
	require.Equal(t, RestoreRequest{Refs: []string{"blog@s:a"}, Live: true, To: "b", Keep: 5}, r)
}

// TestWhatIsGivenEmptyIsRefused: as a variable that is not set gives it.
func TestWhatIsGivenEmptyIsRefused(t *testing.T) {
	for _, text := range []string{`{"refs":["blog@s"],"to":""}`, `{"refs":["blog@s"],"to":" "}`, `{"refs":["blog@s"],"stack":""}`, `{"refs":["blog@s"],"as":""}`, `{"refs":["blog@s"],"as":"x"}`} {
		require.Error(t, json.Unmarshal([]byte(text), new(RestoreRequest)), text)
	}
}
