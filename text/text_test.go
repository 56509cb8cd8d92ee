package text

import (
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamesOfAnyBytesGoThroughJSON(t *testing.T) {
	for name, want := range map[string]string{"blog": `"blog"`, "blog:caf\xe9": `{"b64":"YmxvZzpjYWbp"}`, "": `""`, "{x": `"{x"`} {
		got, err := json.Marshal(Text(name))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		var back Text
		require.NoError(t, json.Unmarshal(got, &back))
		require.Equal(t, name, string(back))
	}
	got, err := json.Marshal(Texts{"a", "\xff"})
	require.NoError(t, err)
	require.Equal(t, `["a",{"b64":"/w=="}]`, string(got))
	var back Texts
	require.NoError(t, json.Unmarshal(got, &back))
	require.Equal(t, Texts{"a", "\xff"}, back)
}

// odd are names that look like others on a terminal, or harm it.
var odd = map[string]string{
	"caf\xe9":            `$'caf\xe9'`,
	"caf\xe8":            `$'caf\xe8'`,
	"a\nb\tc\r":          `$'a\nb\tc\r'`,
	"\x1b[31mred":        `$'\x1b[31mred'`,
	"gpj.\u202eexe":      `$'gpj.\xe2\x80\xaeexe'`,
	"a\u2066b\u2069":     `$'a\xe2\x81\xa6b\xe2\x81\xa9'`,
	"a\u200eb\u061c":     `$'a\xe2\x80\x8eb\xd8\x9c'`,
	"zero\u200bwidth":    `$'zero\xe2\x80\x8bwidth'`,
	"soft\u00adhyphen":   `$'soft\xc2\xadhyphen'`,
	"no\u00a0break":      `$'no\xc2\xa0break'`,
	"filler\u3164":       `$'filler\xe3\x85\xa4'`,
	"\ufeffmark":         `$'\xef\xbb\xbfmark'`,
	"c1\u0085":           `$'c1\xc2\x85'`,
	"replaced\ufffd":     `$'replaced\xef\xbf\xbd'`,
	" leads":             `$' leads'`,
	"trails ":            `$'trails '`,
	`$'caf\xe9'`:         `$'$\'caf\\xe9\''`,
	"it's \\ odd\x7f":    `$'it\'s \\ odd\x7f'`,
	"plain name.txt":     "plain name.txt",
	`back\slash "it's"`:  `back\slash "it's"`,
	"Fotos/Grüße/日本.jpg": "Fotos/Grüße/日本.jpg",
}

func TestNamesAreDistinctInPrintAndCanBeTyped(t *testing.T) {
	printed := map[string]string{}
	for name, want := range odd {
		got := Quote(name)
		require.Equal(t, want, got, "%q", name)
		require.Empty(t, printed[got])
		printed[got] = name
		if got == name {
			continue
		}
		typed, err := exec.Command("bash", "-c", "printf %s "+got).Output()
		require.NoError(t, err)
		require.Equal(t, name, string(typed))
	}
	require.Equal(t, `no "caf\xe9" in \xe2\x80\xae`, Visible("no \"caf\xe9\" in \u202e"))
}

func FuzzQuote(f *testing.F) {
	for name := range odd {
		f.Add(name, name+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if a != b {
			require.NotEqual(t, Quote(a), Quote(b))
		}
	})
}

// A message has lines of its own, and a name in it has none.
func TestNoLineIsBegunByAName(t *testing.T) {
	require.Equal(t, "no file a\n  berth: hint: rm -rf /\n  b", Message("no file a\nberth: hint: rm -rf /\n  b"))
	require.Equal(t, `a\nb\x1b\t`, Line("a\nb\x1b\t"))
}

func TestWordsAreTyped(t *testing.T) {
	for _, name := range []string{"blog@latest:a", "it's", "a;rm -rf /", "$(id)", "`id`", "~", "a\nb", "\xff'", "-n", "*", "\u202eexe", "a b", "$'x'", `\`, "!!", "&", ""} {
		typed, err := exec.Command("bash", "-c", "printf %s "+Word(name)).Output()
		require.NoError(t, err)
		require.Equal(t, name, string(typed), Word(name))
	}
}

// What is written in pieces is escaped as it is in one piece.
func TestTheWriterEscapesEverythingButLinesAndTabs(t *testing.T) {
	said := "a\tb\nÜ日😀\x1b[31m\u009b\u202e\xff\xe6\x97 \xf0\x9f\x98"
	want := "a\tb\nÜ日😀" + `\x1b[31m\xc2\x9b\xe2\x80\xae\xff\xe6\x97 \xf0\x9f\x98`
	for piece := 1; piece <= len(said); piece++ {
		var out strings.Builder
		w := Writer{W: &out}
		for rest := said; rest != ""; rest = rest[min(piece, len(rest)):] {
			n, err := w.Write([]byte(rest[:min(piece, len(rest))]))
			require.NoError(t, err)
			require.Equal(t, min(piece, len(rest)), n)
		}
		require.NoError(t, w.Close())
		require.Equal(t, want, out.String(), "in pieces of %d", piece)
	}
	_, pipe := io.Pipe()
	require.NoError(t, (&Writer{W: pipe}).Close(), "nobody has to read nothing")
}

// Each kind of character that a terminal obeys, hides or shows elsewhere.
func TestNothingThatATerminalObeysIsShown(t *testing.T) {
	var kinds []rune
	for _, span := range [][2]rune{{0, 0x1f}, {0x7f, 0xa0}, {0xad, 0xad}, {0x34f, 0x34f}, {0x61c, 0x61c}, {0x115f, 0x1160}, {0x180b, 0x180f}, {0x2000, 0x200f}, {0x2028, 0x202f},
		{0x205f, 0x206f}, {0x2800, 0x2800}, {0x3000, 0x3000}, {0x3164, 0x3164}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff9, 0xfffb}, {0xfffd, 0xfffd},
		{0xe0000, 0xe007f}, {0xe0100, 0xe01ef}, {0xe000, 0xe010}, {0xfdd0, 0xfdef}, {0x10ffff, 0x10ffff}} {
		for r := span[0]; r <= span[1]; r++ {
			kinds = append(kinds, r)
		}
	}
	for _, r := range kinds {
		if r != '\n' {
			require.NotContains(t, Visible("a"+string(r)+"b"), string(r), "%U", r)
		}
		require.NotContains(t, Line("a"+string(r)+"b"), string(r), "%U", r)
		require.Contains(t, Quote("a"+string(r)+"b"), "$'", "%U", r)
	}
}
