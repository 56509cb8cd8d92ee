package problemtest

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem/catalogue"
)

// source makes messages in every way that is known.
const source = `package p

import ("errors"; "fmt")

var (
	errRead   = errors.New("this is returned")
	errSignal = errors.New("this is compared only")
)

type Failure struct{ Reason string }

func (f *Failure) Error() string { return "failure: " + f.Reason }

type silent struct{ error }

func (silent) Error() string { return "exit code" }

func fail(format string, args ...any) error { return fmt.Errorf("BERTH_EXPORT: "+format, args...) }

func do(n int) error {
	stop := errors.New("enough")
	switch err := each(func() error { return stop }); {
	case errors.Is(err, stop), err == errSignal:
		return errRead
	case n == 1:
		return fmt.Errorf("read %q at %5.1f %%: %w", "x", 2.0, err)
	case n == 2:
		return problem.New(problem.InUse, "hint", "volume %s is in use"+" on %s", "a", "b")
	case n == 3:
		return &Failure{Reason: fmt.Sprintf("no %s", "way")}
	case n == 4:
		return fail("no host in %q", "u")
	}
	return fmt.Errorf("%w", errSilent)
}
`

func TestMessages(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "p.go"), []byte(source), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "end.go"), []byte("package p\n\nvar errEnd = fmt.Errorf(\"is empty\")\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "p_test.go"), []byte("package p\n\nvar errTest = errors.New(\"of a test\")\n"), 0o600))
	code := Code{
		Makers: map[string]Maker{"fail": {0, "BERTH_EXPORT: …: "}},
		Ends:   map[string]string{"end.go": "the metadata "},
		Silent: []string{"silent"},
	}
	require.Equal(t, []string{
		"BERTH_EXPORT: …",
		"BERTH_EXPORT: …: no host in …",
		"failure: …",
		"no …",
		"read … at … %: …",
		"the metadata is empty",
		"this is returned",
		"volume … is in use on …",
	}, slices.Sorted(maps.Keys(code.messages(t, dir))))
}

func TestCheck(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("p.go", []byte("package p\n\nvar Err = errors.New(\"type `a | b`\")\n"), 0o600))
	Check(t, catalogue.Messages{catalogue.Volumes: {{"type 'a ¦ b'", "because", "do"}}}, Code{})
}
