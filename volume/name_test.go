package volume

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
)

func TestNamesThatAreRefusedNameTheValidForm(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "a\x00b", ".berth", ".snapshot", "-a", "_a", "a b", "a\n", "ä", strings.Repeat("a", 201), "a@", "@b", "a@../b", "a@b/c", "a@."} {
		_, err := ParseRef(name)
		require.Error(t, err, "%q", name)
		require.Equal(t, problem.Invalid, problem.KindOf(err), "%q", name)
		require.NotEmpty(t, err.(*problem.Error).Hint, "%q", name)
		require.NotContains(t, err.Error(), "\x00")
	}
	for _, name := range []string{"a", "site1", "shop_db", "A.b-c_9", strings.Repeat("a", 200)} {
		ref, err := ParseRef(name)
		require.NoError(t, err)
		require.Equal(t, name, ref.String())
	}
	ref, err := ParseRef("site1@hourly.2026-11-22_1705")
	require.NoError(t, err)
	require.Equal(t, ".snapshot/hourly.2026-11-22_1705/site1", ref.Path())
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"site1", "site1@nightly", "..", "a@..", "a/b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseRef(s)
		if err != nil {
			return
		}
		require.Equal(t, s, ref.String())
		require.NotContains(t, "/"+ref.Path()+"/", "/../")
		require.False(t, strings.HasPrefix(ref.Path(), "/") || strings.HasPrefix(ref.Path(), export.Dir))
	})
}

func TestOptionsThatAreRefusedNameTheNearestForm(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"uidd", "33", "did you mean uid?"},
		{"onremove", "trash", "did you mean on-remove?"},
		{"acess", "single", "did you mean access?"},
		{"uid", "-1", "valid: uid=0..4294967294"},
		{"uid", "abc", "valid: uid=0..4294967294"},
		{"gid", "4294967295", "not a numeric id"},
		{"mode", "999", "valid: mode=octal, 0000..7777"},
		{"mode", "17777", "valid: mode=octal"},
		{"mode", "5", "octal mode"},
		{"access", "singel", "did you mean single?"},
		{"on-remove", "destroy", "valid: on-remove=trash, retain or delete"},
		{"from", "../x", "valid: from=VOLUME or VOLUME@SNAPSHOT"},
	} {
		_, err := ParseOptions(map[string]string{c.key: c.value})
		require.ErrorContains(t, err, c.want, "%s=%s", c.key, c.value)
		require.Equal(t, problem.Invalid, problem.KindOf(err))
	}
	_, err := ParseOptions(map[string]string{"help": ""})
	for _, o := range OptionTable {
		require.ErrorContains(t, err, "\n  "+o.Key)
	}
	opts, err := ParseOptions(map[string]string{"uid": "33", "mode": "2775", "access": "single"})
	require.NoError(t, err)
	require.Equal(t, Options{"uid": "33", "gid": "0", "mode": "2775", "access": "single", "on-remove": "trash"}, opts.Effective())
	require.Empty(t, opts.Differs(Options{"uid": "033", "mode": "02775"}), "values are compared by meaning")
	require.Equal(t, []string{"gid", "uid"}, opts.Differs(Options{"uid": "34", "gid": "1"}))
}

// TestAListOfOptions: quadlets of podman have one `Options=`, which it gives as o,
// with UID and GID beside it.
func TestAListOfOptions(t *testing.T) {
	for _, c := range []struct {
		given map[string]string
		want  Options
		err   string
	}{
		{map[string]string{"o": "uid=33,gid=33"}, Options{"uid": "33", "gid": "33"}, ""},
		{map[string]string{"o": "uid=33,gid=34", "UID": "33", "GID": "34"}, Options{"uid": "33", "gid": "34"}, ""},
		{map[string]string{"o": "access=single, on-remove=retain,", "mode": "0700"}, Options{"access": "single", "on-remove": "retain", "mode": "0700"}, ""},
		{map[string]string{"o": "uid=33", "uid": "033"}, Options{"uid": "33"}, ""},
		{map[string]string{"o": ""}, Options{}, ""},
		{map[string]string{"o": "uid=33", "uid": "34"}, nil, `option uid is given twice, as "34" and as "33"`},
		{map[string]string{"o": "uid=33,uid=34"}, nil, `option uid is given twice, as "33" and as "34"`},
		{map[string]string{"o": "uid=33", "UID": "34"}, nil, `unknown option "UID"; did you mean`},
		{map[string]string{"o": "addr=10.0.0.1,rw"}, nil, `unknown option "addr"; did you mean`},
		{map[string]string{"o": "rw"}, nil, `unknown option "rw"; did you mean`},
		{map[string]string{"o": "uid=abc"}, nil, "valid: uid=0..4294967294"},
		{map[string]string{"o": "o=uid=33"}, nil, `unknown option "o"`},
		{map[string]string{"o": "help"}, nil, "options of a berth volume:"},
	} {
		got, err := ParseOptions(c.given)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, "%v", c.given)
			require.Equal(t, problem.Invalid, problem.KindOf(err))
			continue
		}
		require.NoError(t, err, "%v", c.given)
		require.Equal(t, c.want, got, "%v", c.given)
	}
}

func FuzzParseOptions(f *testing.F) {
	f.Add("uid", "33")
	f.Add("mode", "0755")
	f.Add("from", "a@b")
	f.Fuzz(func(t *testing.T, key, value string) {
		opts, err := ParseOptions(map[string]string{key: value})
		if err != nil {
			require.Equal(t, problem.Invalid, problem.KindOf(err))
			return
		}
		set := opts.rootAttr()
		require.LessOrEqual(t, *set.Mode, uint32(0o7777))
	})
}

func FuzzParseMeta(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"site1","id":"5c","created":"2026-11-23T05:30:00Z","created_by":"n1","options":{"uid":"33"}}`))
	f.Add([]byte(``))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMeta("site1", data)
		if err != nil {
			return
		}
		require.Equal(t, "site1", m.Name)
		again, err := ParseMeta("site1", export.Encode(m))
		require.NoError(t, err)
		require.Equal(t, m.Options.Effective(), again.Options.Effective())
	})
}
