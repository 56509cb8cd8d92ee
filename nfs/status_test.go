package nfs_test

import (
	"testing"
	"time"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
)

// The statuses have the names and numbers of the specification.
func TestStatuses(t *testing.T) {
	for number, name := range nfsv3.Nfsstat3_name {
		require.Equal(t, name, nfs.Status(number).String())
	}
	require.Equal(t, "status 3", nfs.Status(3).String())
}

func TestTime(t *testing.T) {
	for _, want := range []time.Time{time.Unix(0, 0), time.Unix(1234567890, 123456789), time.Unix(1<<32-1, 999999999)} {
		require.True(t, want.Equal(nfs.TimeOf(want).Time()))
	}
	require.Equal(t, nfs.Time{}, nfs.TimeOf(time.Unix(-1, 5)))
	require.Equal(t, nfs.Time{Sec: 1<<32 - 1, Nsec: 999999999}, nfs.TimeOf(time.Unix(1<<32, 0)))
}
