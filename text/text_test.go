package text

import (
	"encoding/json"
	"os/exec"
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
