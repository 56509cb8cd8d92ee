// Package docs reads the commands out of the project's documents, so that
// tests run what people are told to type. A comment above a fenced block says
// what happens to it:
//
//	<!-- run: TestTheCutOver -->       that test runs the lines that begin with "$ "
//	<!-- file: deploy/proxy/a.conf --> an excerpt: its lines stand in that file, in this order
//	<!-- hardware: WHY -->             needs what no test has
//	<!-- output -->                    what is printed, or an illustration
//
// A test of this package holds every block of every document to that.
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/casit/berth/integration/lab"
)

// A Block is a fenced block of a document.
type Block struct {
	Line int    // of the opening fence, from 1
	Mark string // run, file, hardware, output; "" without one
	What string // what the mark names
	Text string
}

var markRule = regexp.MustCompile(`^\s*<!-- (run|file|hardware|output)(?:: (.+?))? -->$`)

// Blocks returns the fenced blocks of a Markdown text.
func Blocks(text string) (out []Block, err error) {
	var mark []string
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		trimmed := strings.TrimSpace(line)
		if !strings.HasPrefix(trimmed, "```") {
			if m := markRule.FindStringSubmatch(line); m != nil {
				mark = m[1:]
			} else if trimmed != "" {
				mark = nil
			}
			continue
		}
		indent := line[:strings.Index(line, "```")]
		b := Block{Line: i + 1}
		if mark != nil {
			b.Mark, b.What, mark = mark[0], mark[1], nil
		}
		for i++; ; i++ {
			if i == len(lines) {
				return nil, fmt.Errorf("line %d: the block has no end", b.Line)
			}
			if strings.TrimSpace(lines[i]) == "```" {
				break
			}
			b.Text += strings.TrimPrefix(lines[i], indent) + "\n"
		}
		out = append(out, b)
	}
	return out, nil
}

// Commands are the lines of a block that begin with a prompt, "$ ", without
// it; one that ends in a backslash goes on in the next line.
func (b Block) Commands() (out []string) {
	lines := strings.Split(b.Text, "\n")
	for i := 0; i < len(lines); i++ {
		command, ok := strings.CutPrefix(lines[i], "$ ")
		if !ok {
			continue
		}
		for strings.HasSuffix(command, `\`) && i+1 < len(lines) {
			i++
			command = strings.TrimSuffix(command, `\`) + strings.TrimSpace(lines[i])
		}
		out = append(out, command)
	}
	return out
}

// Text returns a file of the project, named below the project's root.
func Text(t testing.TB, name string) string {
	t.Helper()
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Keys returns the first cells of a document's tables that are code, in order.
func Keys(t testing.TB, document string) (keys []string) {
	t.Helper()
	for line := range strings.Lines(Text(t, document)) {
		if first, ok := strings.CutPrefix(line, "| `"); ok {
			key, _, _ := strings.Cut(first, "`")
			keys = append(keys, key)
		}
	}
	return keys
}

// Commands returns the commands that a document, named below the project's
// root, has for a test, in order. None is a failure.
func Commands(t testing.TB, document, test string) []string {
	t.Helper()
	blocks, err := Blocks(Text(t, document))
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	var out []string
	for _, b := range blocks {
		if b.Mark == "run" && b.What == test {
			out = append(out, b.Commands()...)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no commands for %s", document, test)
	}
	return out
}
