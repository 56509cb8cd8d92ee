package nfs_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "record the golden bytes anew, from nfs-ganesha")

func TestGoldenRecord(t *testing.T) {
	if !*update {
		return // TestGolden checks what is recorded
	}
	if !inNamespaces(t, "-test.run=^TestGoldenRecord$", "-update") {
		return
	}
	startGanesha(t)
	require.NoError(t, os.Chmod("/run/export", 0o755))
	var r recorder
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	results, err := goldenScript(ctx, r.dial)
	require.NoError(t, err)
	var out bytes.Buffer
	fmt.Fprintln(&out, "# Recorded from nfs-ganesha 4.3, FSAL VFS, by go test -run TestGoldenRecord -update.")
	for _, e := range r.seen {
		fmt.Fprintf(&out, "call %x\nreply %x\n", e.call, e.reply)
	}
	require.NoError(t, os.MkdirAll("testdata/ganesha", 0o755))
	require.NoError(t, os.WriteFile(goldenBytes, out.Bytes(), 0o644))
	require.NoError(t, os.WriteFile(goldenResults, []byte(results), 0o644))
}
