package tamper

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/casit/berth/tree/treetest"
)

// Oracle compares trees by programs that know nothing of berth.
type Oracle struct {
	Xattrs bool // compare ACLs and extended attributes too
	// LaxLinkTimes is for a server that does not set the times of symlinks.
	LaxLinkTimes bool
}

// Need skips the test where a program is not installed.
func (o Oracle) Need(t testing.TB) {
	t.Helper()
	for _, program := range []string{"rsync", "getfacl", "getfattr"} {
		if _, err := exec.LookPath(program); err != nil {
			treetest.Skip(t, program+", which compares trees independently, is not installed")
		}
	}
}

// Unlike lists how the tree in got is not the one in want: by rsync, getfacl,
// getfattr and Walk.
func (o Oracle) Unlike(want, got string) ([]string, error) {
	out, err := o.rsync(want, got)
	if err != nil {
		return nil, err
	}
	if o.Xattrs {
		for _, command := range [][]string{{"getfacl", "-RnpP", "--", "."}, {"getfattr", "-RPhdm", "-", "--", "."}} {
			lines, err := o.same(command, want, got)
			if err != nil {
				return nil, err
			}
			out = append(out, lines...)
		}
	}
	a, err := Walk(want)
	if err != nil {
		return nil, err
	}
	b, err := Walk(got)
	if err != nil {
		return nil, err
	}
	return append(out, Unlike(a, b, o.LaxLinkTimes)...), nil
}

// rsync lists what rsync would do to got to make it want.
func (o Oracle) rsync(want, got string) ([]string, error) {
	args := []string{"-naicH", "--delete"}
	if o.Xattrs {
		args = append(args, "-AX")
	}
	if o.LaxLinkTimes {
		args = append(args, "--omit-link-times")
	}
	out, err := exec.Command("rsync", append(args, want+"/", got+"/")...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("rsync: %w: %s", err, out)
	}
	return lines("rsync: ", out), nil
}

// same runs a program in both trees and lists the lines that only one has.
func (o Oracle) same(command []string, want, got string) ([]string, error) {
	var texts [2]string
	for i, dir := range []string{want, got} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = dir
		text, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s in %s: %w", command[0], dir, err)
		}
		// Directories are listed in the order in which they are on the disk.
		paragraphs := strings.Split(string(text), "\n\n")
		slices.Sort(paragraphs)
		texts[i] = strings.Join(paragraphs, "\n\n")
	}
	if texts[0] == texts[1] {
		return nil, nil
	}
	a, b := strings.Split(texts[0], "\n\n"), strings.Split(texts[1], "\n\n")
	var out []string
	for i := range 2 {
		for _, p := range a {
			if _, both := slices.BinarySearch(b, p); !both {
				out = append(out, command[0]+[]string{" wants: ", " has: "}[i]+p)
			}
		}
		a, b = b, a
	}
	return out, nil
}

func lines(prefix string, out []byte) (all []string) {
	for line := range strings.Lines(string(out)) {
		all = append(all, prefix+strings.TrimSuffix(line, "\n"))
	}
	return all
}
