package show

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLinesFit(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"", 10, ""},
		{"one two three", 7, "one two|three"},
		{"one two three", 8, "one two|three"},
		{"a-word-that-is-longer than it", 10, "a-word-that-is-longer|than it"},
		{"two  blanks stay", 12, "two  blanks|stay"},
		{"äöü äöü", 7, "äöü äöü"},
	} {
		require.Equal(t, c.want, strings.Join(Wrap(c.text, c.width), "|"))
	}
}

func TestATableFitsItsLastColumn(t *testing.T) {
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, "NAME  WHAT\na     it is long and has blanks\nbbb   -\na remark that has no columns at all\n"},
		{24, "NAME  WHAT\na     it is long and has\n      blanks\nbbb   -\na remark that has no\ncolumns at all\n"},
		{12, "NAME  WHAT\na     it is long and has blanks\nbbb   -\na remark that has no columns at all\n"},
	} {
		var out bytes.Buffer
		require.NoError(t, Table(&out, []string{"NAME", "WHAT"}, [][]string{{"a", "it is long and has blanks"}, {"bbb", ""}, {"a remark that has no columns at all"}}, c.width))
		require.Equal(t, c.want, out.String())
	}
}

func TestNamesHarmNoTerminal(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, Table(&out, []string{"A", "B"}, [][]string{{"\x1b[2J", "a\nb"}}, 0))
	require.NotContains(t, out.String(), "\x1b")
	require.Equal(t, 2, strings.Count(out.String(), "\n"))
	require.Equal(t, `"a\nb"`, Sentence("a\nb"))
	require.Equal(t, "plain words", Sentence("plain words"))
	for in, want := range map[string]string{"blog@s:a/b.php": "blog@s:a/b.php", "two words": "'two words'", "it's": `'it'\''s'`, "caf\xe9": `$'caf\xe9'`} {
		require.Equal(t, want, ShellWord(in))
	}
}

func TestAgesMayBeInDays(t *testing.T) {
	for in, want := range map[string]time.Duration{"3d": 72 * time.Hour, "90m": 90 * time.Minute, "1.5d": 36 * time.Hour, "": 0} {
		got, err := ParseAge(in)
		require.NoError(t, err)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"3", "-1h", "0s", "week", "d"} {
		_, err := ParseAge(in)
		require.Error(t, err, in)
	}
	require.Equal(t, []string{"0s", "5s", "110s", "5m", "3h", "9d"}, []string{Age(-5), Age(5), Age(110), Age(300), Age(3 * 3600), Age(9 * 86400)})
}

func FuzzWrap(f *testing.F) {
	f.Add("one  two three", 5)
	f.Fuzz(func(t *testing.T, text string, width int) {
		lines := Wrap(text, width)
		require.Equal(t, strings.ReplaceAll(text, " ", ""), strings.ReplaceAll(strings.Join(lines, ""), " ", ""))
	})
}
