package show

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/stretchr/testify/require"
)

func TestComparingLinesEndsWithItsCaller(t *testing.T) {
	var d difflib.UnifiedDiff
	for i := range 300_000 { // this takes minutes
		d.A = append(d.A, fmt.Sprintf("%d\n", i*7919%70_000))
		d.B = append(d.B, fmt.Sprintf("%d\n", i*104_729%70_000))
	}
	short, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err := Unified(short, d)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	text, err := Unified(context.Background(), difflib.UnifiedDiff{A: []string{"a\n"}, B: []string{"b\n"}, Context: 3})
	require.NoError(t, err)
	require.Contains(t, text, "-a\n+b\n")
}
