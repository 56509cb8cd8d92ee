package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/job"
)

// terminal is both ends of a terminal of some columns: what the person types
// and reads, and the command's side.
func terminal(t *testing.T, columns uint16) (person, command *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { person.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	command, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { command.Close() })
	require.NoError(t, unix.IoctlSetWinsize(int(command.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: 25}))
	return person, command
}

// reads returns what the command has written to the person's terminal so far. The
// kernel passes it on in pieces, so a mark shows where it ends.
func reads(t *testing.T, person, command *os.File) string {
	t.Helper()
	const mark = "\x04"
	_, err := command.WriteString(mark)
	require.NoError(t, err)
	text := ""
	for !strings.HasSuffix(text, mark) {
		buf := make([]byte, 1<<16)
		n, err := person.Read(buf)
		require.NoError(t, err)
		text += string(buf[:n])
	}
	return strings.ReplaceAll(strings.TrimSuffix(text, mark), "\r\n", "\n")
}

func TestAPersonIsAsked(t *testing.T) {
	for answer, code := range map[string]int{"y": exitDone, "YES": exitDone, "n": exitFailed, "": exitFailed, "yes please": exitFailed} {
		s := blog(t)
		person, command := terminal(t, 80)
		_, err := person.WriteString(answer + "\n")
		require.NoError(t, err)
		var out, talk bytes.Buffer
		got := run(t.Context(), []string{"--socket", s.socket, "snapshot", "restore", "blog@s1"}, command, &out, &talk)
		require.Equal(t, code, got, answer)
		require.Contains(t, talk.String(), "Restore? [y/N] ")
		require.Equal(t, code != exitDone, strings.Contains(talk.String(), "berth: nothing was changed\n"), answer)
		require.Equal(t, map[bool]string{true: "old", false: "newer"}[code == exitDone], s.read("blog/index.php"), answer)
		require.Empty(t, s.jobs())
	}
}

// TestAnArchiveIsNotForATerminal, a file is.
func TestAnArchiveIsNotForATerminal(t *testing.T) {
	s := blog(t)
	person, command := terminal(t, 80)
	var talk bytes.Buffer
	require.Equal(t, exitUsage, run(t.Context(), []string{"--socket", s.socket, "snapshot", "cat", "blog@s1"}, nil, command, &talk))
	require.Contains(t, talk.String(), "a tar archive is not for a terminal")
	require.Equal(t, exitDone, run(t.Context(), []string{"--socket", s.socket, "snapshot", "cat", "blog@s1:index.php"}, nil, command, &talk))
	require.Equal(t, "old", reads(t, person, command))
}

// TestLinesFitTheTerminal: it is asked how wide it is.
func TestLinesFitTheTerminal(t *testing.T) {
	s := blog(t)
	person, command := terminal(t, 40)
	var talk bytes.Buffer
	require.Equal(t, exitDone, run(t.Context(), []string{"--socket", s.socket, "snapshot", "restore", "blog@s1", "--dry-run"}, nil, command, &talk))
	for line := range strings.Lines(reads(t, person, command)) {
		require.LessOrEqual(t, len(strings.TrimSuffix(line, "\n")), 40, line)
	}
}

// TestProgressIsOneLine that is rewritten, and gone at the end.
func TestProgressIsOneLine(t *testing.T) {
	person, command := terminal(t, 30)
	line := &shown{app: &app{stderr: command}}
	p := job.Progress{State: job.Copying, Files: 12345, Total: 99999, Bytes: 1 << 30, Of: 9 << 30, Seconds: 5}
	line.print(p)
	p.Files++
	line.print(p) // too soon
	line.last = time.Time{}
	p.Total = 0
	line.print(p)
	line.clear()
	line.clear()
	require.Equal(t, "\rcopying 12,345 of 99,999 files"[:30]+"\rcopying 12,346 files, 1.0 GiB\r"+strings.Repeat(" ", 29)+"\r", reads(t, person, command))

	var out bytes.Buffer
	(&shown{app: &app{stderr: command, stdout: &out, json: true}}).print(p)
	require.Contains(t, out.String(), `"state":"copying"`)
	out.Reset()
	(&shown{app: &app{stderr: &out, stdout: &out}}).print(p)
	require.Empty(t, out.String(), "nobody looks")
}
