package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFindingIsJudgedAndAJudgementHasItsFinding(t *testing.T) {
	judged, err := parse("# rows\n\nG304 | a.go | os.Open(x) | the caller's file\nG115 | b.go | a | b | a bar is code, too\n")
	require.NoError(t, err)
	require.Equal(t, map[finding]string{{"G304", "a.go", "os.Open(x)"}: "the caller's file", {"G115", "b.go", "a | b"}: "a bar is code, too"}, judged)
	twice := found{finding{"G104", "a.go", "f.Close()"}, "Errors unhandled"}
	missing, gone := compare([]found{{finding{"G304", "a.go", "os.Open(x)"}, ""}, twice, twice}, judged)
	require.Equal(t, []found{twice}, missing)
	require.Equal(t, []finding{{"G115", "b.go", "a | b"}}, gone)
	for _, wrong := range []string{"G304", "G304 | a.go | x", "G304 | a.go | x | "} {
		_, err := parse(wrong)
		require.ErrorContains(t, err, "RULE | FILE | SOURCE | WHY", wrong)
	}
}

func TestTheJudgementsAreWellFormed(t *testing.T) {
	text, err := os.ReadFile("../../" + file)
	require.NoError(t, err)
	judged, err := parse(string(text))
	require.NoError(t, err)
	require.NotEmpty(t, judged)
}
