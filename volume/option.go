package volume

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Option describes one option of a volume, as `docker volume create -o KEY=VALUE`
// or a stack file's driver_opts give it.
type Option struct {
	Key     string
	Values  string // the valid form, for help and errors
	Default string
	Help    string
	check   func(value string) error
}

// OptionTable lists every option, in the order of help. docs/options.md is
// held to it by a test.
var OptionTable = []Option{
	{"uid", "0..4294967294", "0", "owner of a new volume's root directory", checkID},
	{"gid", "0..4294967294", "0", "group of a new volume's root directory", checkID},
	{"mode", "octal, 0000..7777", "0755", "permissions of a new volume's root directory", checkMode},
	{"from", "VOLUME or VOLUME@SNAPSHOT", "", "make the new volume a copy of another one", checkFrom},
	{"access", "shared or single", "shared", "single: one node at a time may mount it (databases)", oneOf("shared", "single")},
	{"on-remove", "trash, retain or delete", "trash", "retain: a removed volume stays in the trash until it is purged by hand; delete: it is gone at once", oneOf("trash", "retain", "delete")},
	{"help", "", "", "print this list", func(string) error { return nil }},
}

// Options are a volume's options that were given; an absent key has its default.
type Options map[string]string

// ParseOptions checks every key and value. An unknown option is refused with
// the nearest valid spelling, help with the whole list.
func ParseOptions(given map[string]string) (Options, error) {
	given, err := spread(given)
	if err != nil {
		return nil, err
	}
	if _, ok := given["help"]; ok {
		return nil, problem.New(problem.Invalid, "", "%s", OptionHelp())
	}
	out := Options{}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		opt, ok := findOption(key)
		if !ok {
			return nil, problem.New(problem.Invalid, "'-o help' lists all", "unknown option %q; did you mean %s?", key, nearest(key, optionKeys()))
		}
		value := given[key]
		if err := opt.check(value); err != nil {
			return nil, problem.New(problem.Invalid, fmt.Sprintf("valid: %s=%s", opt.Key, opt.Values), "option %s=%q: %v", key, value, err)
		}
		out[key] = value
	}
	return out, nil
}

// spread takes the list in `o` apart, as in o=uid=33,gid=33: a mount's options,
// which is the one form that a quadlet of podman has. podman gives UID and GID
// beside it for those that it finds there.
func spread(given map[string]string) (map[string]string, error) {
	list, ok := given["o"]
	if !ok {
		return given, nil
	}
	out := maps.Clone(given)
	delete(out, "o")
	for _, one := range strings.Split(list, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(one), "=")
		if key == "" {
			continue
		}
		if twin := strings.ToUpper(key); (key == "uid" || key == "gid") && out[twin] == value {
			delete(out, twin)
		}
		if was, twice := out[key]; twice && !sameValue(key, was, value) {
			return nil, problem.New(problem.Invalid, "give it once", "option %s is given twice, as %q and as %q", key, was, value)
		}
		out[key] = value
	}
	return out, nil
}

// Get returns the effective value of an option.
func (o Options) Get(key string) string {
	if v, ok := o[key]; ok {
		return v
	}
	opt, _ := findOption(key)
	return opt.Default
}

// Effective returns every option with its value, defaults included, that says
// something about an existing volume.
func (o Options) Effective() Options {
	out := Options{}
	for _, opt := range OptionTable {
		if v := o.Get(opt.Key); v != "" {
			out[opt.Key] = v
		}
	}
	return out
}

// Differs lists the given keys whose value is not the recorded one.
func (o Options) Differs(given Options) []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if !sameValue(key, given[key], o.Get(key)) {
			keys = append(keys, key)
		}
	}
	return keys
}

// sameValue compares values by meaning: mode=755 is mode=0755.
func sameValue(key, a, b string) bool {
	switch key {
	case "uid", "gid":
		x, err1 := strconv.ParseUint(a, 10, 32)
		y, err2 := strconv.ParseUint(b, 10, 32)
		return err1 == nil && err2 == nil && x == y
	case "mode":
		x, err1 := strconv.ParseUint(a, 8, 32)
		y, err2 := strconv.ParseUint(b, 8, 32)
		return err1 == nil && err2 == nil && x == y
	}
	return a == b
}

// rootAttr is what a new volume's root directory gets.
func (o Options) rootAttr() tree.SetAttr {
	num := func(key string, base int) *uint32 {
		v, _ := strconv.ParseUint(o.Get(key), base, 32)
		n := uint32(v)
		return &n
	}
	return tree.SetAttr{UID: num("uid", 10), GID: num("gid", 10), Mode: num("mode", 8)}
}

// givenAttr is rootAttr of only the keys that were given.
func (o Options) givenAttr() (set tree.SetAttr, any bool) {
	all := o.rootAttr()
	if _, ok := o["uid"]; ok {
		set.UID, any = all.UID, true
	}
	if _, ok := o["gid"]; ok {
		set.GID, any = all.GID, true
	}
	if _, ok := o["mode"]; ok {
		set.Mode, any = all.Mode, true
	}
	return set, any
}

// OptionHelp is the answer to -o help.
func OptionHelp() string {
	var b strings.Builder
	b.WriteString("options of a berth volume:")
	for _, o := range OptionTable {
		form := o.Key
		if o.Values != "" {
			form += "=" + o.Values
		}
		fmt.Fprintf(&b, "\n  %-34s %s", form, o.Help)
		if o.Default != "" {
			fmt.Fprintf(&b, " (default %s)", o.Default)
		}
	}
	return b.String()
}

func optionKeys() []string {
	keys := make([]string, len(OptionTable))
	for i, o := range OptionTable {
		keys[i] = o.Key
	}
	return keys
}

func findOption(key string) (Option, bool) {
	i := slices.IndexFunc(OptionTable, func(o Option) bool { return o.Key == key })
	if i < 0 {
		return Option{}, false
	}
	return OptionTable[i], true
}

// nearest returns the candidate with the smallest edit distance to s.
func nearest(s string, candidates []string) string {
	s = strings.ToLower(strings.ReplaceAll(s, "_", "-"))
	return slices.MinFunc(candidates, func(a, b string) int {
		return levenshtein.Distance(s, a, nil) - levenshtein.Distance(s, b, nil)
	})
}

func checkID(v string) error {
	// 4294967295 is (uid_t)-1, which means "leave it" to chown.
	if n, err := strconv.ParseUint(v, 10, 32); err != nil || n == 1<<32-1 {
		return fmt.Errorf("not a numeric id")
	}
	return nil
}

func checkMode(v string) error {
	if n, err := strconv.ParseUint(v, 8, 32); err != nil || n > 0o7777 || len(v) < 3 {
		return fmt.Errorf("not an octal mode such as 0755")
	}
	return nil
}

func checkFrom(v string) error {
	_, err := ParseRef(v)
	return err
}

func oneOf(values ...string) func(string) error {
	return func(v string) error {
		if slices.Contains(values, v) {
			return nil
		}
		return fmt.Errorf("did you mean %s?", nearest(v, values))
	}
}
