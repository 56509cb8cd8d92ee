package treetest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

const immutable = 0x10 // FS_IMMUTABLE_FL

func setFlags(name string, flags int) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
}

// Immutable makes a file or directory immutable until the test ends: not even root
// removes it.
func Immutable(t testing.TB, name string) {
	t.Helper()
	if err := setFlags(name, immutable); err != nil {
		Skip(t, "nothing can be made immutable here: "+err.Error())
	}
	t.Cleanup(func() { _ = setFlags(name, 0) })
}

// Mutable takes it back, wherever the file has gone.
func Mutable(t testing.TB, name string) {
	t.Helper()
	if err := setFlags(name, 0); err != nil {
		t.Fatal(err)
	}
}
