package simulator

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		value, kind string
		yes, no     []string
	}{
		{"abc", "string", []string{"abc"}, []string{"abcd", "ABC", ""}},
		{"a*", "string", []string{"a", "abc"}, []string{"ba"}},
		{"*b*d*", "string", []string{"abcd", "bd"}, []string{"db"}},
		{"a*a", "string", []string{"aa", "aba"}, []string{"a"}},
		{"*", "string", []string{"x", ""}, nil},
		{"a,b", "string", []string{"a", "b"}, []string{"c"}},
		{"a|b*", "string", []string{"a", "bb"}, []string{"ab"}},
		{"!a", "string", []string{"b"}, []string{"a"}},
		{"!a,!b", "string", []string{"c"}, []string{"a", "b"}},
		{"!*x*", "string", []string{"c"}, []string{"axb"}},
		{`"a*,b"`, "string", []string{"a*,b"}, []string{"ac,b", "b"}},
		{`{a|b}`, "string", []string{"a|b"}, []string{"a", "b"}},
		{`a\*`, "string", []string{"a*"}, []string{"ab"}},
		{`"a\"b"`, "string", []string{`a"b`}, []string{"ab"}},
		{`""`, "string", []string{""}, []string{"a"}},
		{`"/a.b"/*`, "string", []string{"/a.b/c"}, []string{"/axb/c", "/a.b"}},
		{"5", "integer", []string{"5"}, []string{"55"}},
		{">5", "integer", []string{"6", "10"}, []string{"5", "4"}},
		{">=5", "integer", []string{"5", "10"}, []string{"4"}},
		{"<5", "integer", []string{"4", "-1"}, []string{"5"}},
		{"<=5", "integer", []string{"5"}, []string{"6"}},
		{"2..10", "integer", []string{"2", "9", "10"}, []string{"1", "11"}},
		{"true", "boolean", []string{"true"}, []string{"false"}},
		{">2026-01-01T00:00:00Z", "string", []string{"2026-01-01T02:00:00+01:00"}, []string{"2026-01-01T00:30:00+01:00"}},
		{"null", "string", nil, []string{"null"}},
	} {
		f, err := parseFilter("f", c.kind, c.value)
		require.NoError(t, err, c.value)
		for _, v := range c.yes {
			require.True(t, f.match([]string{v}), "%s and %q", c.value, v)
		}
		for _, v := range c.no {
			require.False(t, f.match([]string{v}), "%s and %q", c.value, v)
		}
	}
	for _, c := range [][2]string{{"", "string"}, {"a,", "string"}, {"!", "string"}, {`"a`, "string"}, {"{a", "string"}, {`a\`, "string"},
		{"x", "integer"}, {">x", "integer"}, {"1..x", "integer"}, {"maybe", "boolean"}} {
		_, err := parseFilter("f", c[1], c[0])
		require.Error(t, err, c[0])
	}
	null, err := parseFilter("f", "string", "null")
	require.NoError(t, err)
	require.True(t, null.match(nil))
	list, err := parseFilter("f", "string", "data_nfs")
	require.NoError(t, err)
	require.True(t, list.match([]string{"data_core", "data_nfs"}), "one member of a list is enough")
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"a*", "!a,b|c", `"a\"b"`, "{a}", "1..2", ">=3", "null", `\`, "}{", "..", "!"} {
		f.Add(seed, "value")
	}
	f.Fuzz(func(t *testing.T, expression, value string) {
		for _, kind := range []string{"string", "integer", "boolean"} {
			parsed, err := parseFilter("f", kind, expression)
			if err == nil {
				parsed.match([]string{value})
				parsed.match(nil)
			}
		}
		// A quoted value means itself.
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
		if !strings.ContainsRune(value, 0) {
			same, err := parseFilter("f", "string", quoted)
			require.NoError(t, err)
			require.True(t, same.match([]string{strings.ToValidUTF8(value, "\ufffd")}) || value != strings.ToValidUTF8(value, "\ufffd"))
		}
	})
}

func TestFields(t *testing.T) {
	s := schemas()["/storage/volumes"]
	x := rec("uuid", "u", "name", "n", "size", 1, "svm.name", "s", "svm.uuid", "su", "space.used", 2, "space.snapshot.used", 3, "clone.is_flexclone", false,
		"aggregates", []record{rec("name", "a1", "uuid", "au")})
	c := collection{schema: "/storage/volumes", key: "uuid", defaults: []string{"name"}, expensive: []string{"clone"}}
	for fields, want := range map[string]record{
		"":                               rec("uuid", "u", "name", "n"),
		"size":                           rec("uuid", "u", "name", "n", "size", 1),
		"space":                          rec("uuid", "u", "name", "n", "space.used", 2, "space.snapshot.used", 3),
		"space.snapshot":                 rec("uuid", "u", "name", "n", "space.snapshot.used", 3),
		"svm{name,uuid},size":            rec("uuid", "u", "name", "n", "svm.name", "s", "svm.uuid", "su", "size", 1),
		"space{used,snapshot{used}}":     rec("uuid", "u", "name", "n", "space.used", 2, "space.snapshot.used", 3),
		"aggregates.name":                rec("uuid", "u", "name", "n", "aggregates", []record{rec("name", "a1")}),
		"clone":                          rec("uuid", "u", "name", "n", "clone.is_flexclone", false),
		"*,!svm,!space,!aggregates":      rec("uuid", "u", "name", "n", "size", 1),
		"**,!svm,!space,!aggregates":     rec("uuid", "u", "name", "n", "size", 1, "clone.is_flexclone", false),
		" size , name ":                  rec("uuid", "u", "name", "n", "size", 1),
		"encryption.enabled,tiering,qos": rec("uuid", "u", "name", "n"),
	} {
		sel, err := parseFields(s, fields, false)
		require.NoError(t, err, fields)
		require.Equal(t, want, c.show(x, query{fields: sel}), fields)
	}
	sel, err := parseFields(s, "size,nonsense", true)
	require.NoError(t, err)
	require.Equal(t, rec("uuid", "u", "name", "n", "size", 1), c.show(x, query{fields: sel}), "only what is unknown is ignored")
	for _, fields := range []string{"nonsense", "svm.nonsense", "svm{nonsense}", "svm{name", "svm}", "!nonsense", "svm{{name}}"} {
		_, err := parseFields(s, fields, false)
		require.Error(t, err, fields)
	}
}

func FuzzFields(f *testing.F) {
	for _, seed := range []string{"*", "a{b{c},d},e", "}{", "{{{{{{{{{{{{{{{{", "!svm,size", ",,,"} {
		f.Add(seed)
	}
	s := schema{Fields: map[string]string{"size": "integer", "svm.name": "string"}}
	f.Fuzz(func(t *testing.T, fields string) {
		if sel, err := parseFields(s, fields, false); err == nil {
			sel.wants("svm.name", nil, nil, nil)
		}
	})
}

func TestDots(t *testing.T) {
	for uri, want := range map[string]bool{
		"/api/files/..": true, "/api/files/.": true, "/api/../x": true, "/api/a%2F..%2Fb": true, "/api/.%2E/": true, "/api/%2e.": true,
		"/api/..?x=1": true, `/api/a\..\b`: true, "/api/a%5c..": true, "https://h/api/files/..": true,
		"/api/%2E%2E": false, "/api/%2e": false, "/api/...": false, "/api/..a": false, "/api/a..b/c.d": false, "/api/x?path=..": false,
	} {
		require.Equal(t, want, dots(uri), uri)
	}
}

func FuzzDots(f *testing.F) {
	f.Add("/api/files/a%2F..%2Fb?x=..")
	f.Fuzz(func(t *testing.T, uri string) {
		path, _, _ := strings.Cut(uri, "?")
		for _, segment := range strings.Split(path, "/") {
			if segment == ".." {
				require.True(t, dots(uri))
			}
		}
	})
}

func TestParseRole(t *testing.T) {
	role, err := ParseRole(strings.NewReader("# c\n\nsecurity login create -role x\n" +
		"security login rest-role create -vserver v -role r -api \"/api/storage/volumes/*/snapshots\" -access all\n"))
	require.NoError(t, err)
	require.Len(t, role, 1)
	require.Equal(t, "/api/storage/volumes/*/snapshots", role[0].Path)
	for _, bad := range []string{
		"security login rest-role create -api /api/x", "security login rest-role create -access all",
		"security login rest-role create -api /api/x -access some", "security login rest-role create -api x -access all",
	} {
		_, err := ParseRole(strings.NewReader(bad))
		require.Error(t, err, bad)
	}
}
