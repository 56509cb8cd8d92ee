// Package text carries names, paths and references, which may have any byte,
// through JSON and to a terminal.
//
// All that the command line and the log print goes through a Writer, so that no
// terminal obeys what a tenant, a server or a filer has named. What makes a line, a
// cell or a message of a name uses Quote or Line, so that a name has neither lines
// nor blanks of its own.
package text

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Text is a name, a path or a reference on its way through JSON: a plain
// string where it is UTF-8, else {"b64": "…"}, because JSON has no other bytes.
type Text string

type textBytes struct {
	B64 []byte `json:"b64"`
}

// MarshalJSON writes the text so that no byte is lost.
func (t Text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(textBytes{[]byte(t)})
}

// UnmarshalJSON reads either form.
func (t *Text) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		var raw textBytes
		err := json.Unmarshal(data, &raw)
		*t = Text(raw.B64)
		return err
	}
	return json.Unmarshal(data, (*string)(t))
}

// Texts are several.
type Texts []string

// MarshalJSON writes each as a Text.
func (t Texts) MarshalJSON() ([]byte, error) {
	out := make([]Text, len(t))
	for i, s := range t {
		out[i] = Text(s)
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads a list of Texts.
func (t *Texts) UnmarshalJSON(data []byte) error {
	var in []Text
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*t = nil
	for _, s := range in {
		*t = append(*t, string(s))
	}
	return nil
}

// B64 is what stands beside a name in JSON where the name is no UTF-8; else nil.
func B64(name string) []byte {
	if utf8.ValidString(name) {
		return nil
	}
	return []byte(name)
}

// Quote prints a name. One that a terminal would hide, or show as another one,
// is written as bash has it, $'caf\xe9', and can be typed so; every other name
// is printed as it is. Two names never print alike because of bytes that
// nobody sees.
func Quote(name string) string {
	if plainName(name) {
		return name
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		switch {
		case r == '\'' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case shows(r):
			b.WriteString(name[i : i+n])
		default:
			escape(&b, name[i:i+n])
		}
		i += n
	}
	b.WriteByte('\'')
	return b.String()
}

// Word is a name as one word of a command that people copy: as it is, in single
// quotes, or as Quote writes it.
func Word(name string) string {
	if q := Quote(name); q != name || plainWord.MatchString(name) {
		return q
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// plainName tells whether a name looks like what it is.
func plainName(name string) bool {
	return utf8.ValidString(name) && !strings.HasPrefix(name, " ") && !strings.HasSuffix(name, " ") && !strings.HasPrefix(name, "$'") &&
		!strings.ContainsFunc(name, func(r rune) bool { return !shows(r) })
}

// Visible is a text for people in which the bytes of a name that cannot be
// seen are escaped: \xe9, \n.
func Visible(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if shows(r) || r == '\n' {
			b.WriteString(text[i : i+n])
		} else {
			escape(&b, text[i:i+n])
		}
		i += n
	}
	return b.String()
}

// Line is Visible in one line: a line break in a name begins no line.
func Line(text string) string { return strings.ReplaceAll(Visible(text), "\n", `\n`) }

// Message is a message for people, Visible, of which no line but the first begins at
// the left: nothing in a name looks like a message of its own.
func Message(text string) string {
	lines := strings.Split(Visible(text), "\n")
	for i := 1; i < len(lines); i++ {
		if !strings.HasPrefix(lines[i], " ") {
			lines[i] = "  " + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// Writer writes what is for people, with all escaped that Visible escapes, but for
// tabs, of which texts are full. A character may come in two writes; Close writes
// what was begun and never ended. It may be used concurrently.
type Writer struct {
	W io.Writer

	mu    sync.Mutex // guards begun, and is held across a write
	begun []byte     // of a character
}

// Write escapes p. It returns len(p), or an error of W.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := append(w.begun, p...)
	whole := len(all)
	for i := max(0, len(all)-utf8.UTFMax+1); i < len(all); i++ {
		if utf8.RuneStart(all[i]) && !utf8.FullRune(all[i:]) {
			whole = i
			break
		}
	}
	w.begun = append([]byte(nil), all[whole:]...)
	return len(p), w.pass(string(all[:whole]))
}

// Close writes the rest. It does not close W.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := string(w.begun)
	w.begun = nil
	return w.pass(rest)
}

// pass writes text escaped. A write of nothing would wait for a reader of a pipe.
func (w *Writer) pass(text string) error {
	if text == "" {
		return nil
	}
	parts := strings.Split(text, "\t")
	for i, part := range parts {
		parts[i] = Visible(part)
	}
	_, err := io.WriteString(w.W, strings.Join(parts, "\t"))
	return err
}

// shows tells whether a character is seen on a terminal, and changes nothing
// else there. U+FFFD stands for bytes that somebody could not read.
func shows(r rune) bool {
	const braillePatternBlank = '\u2800'
	return unicode.IsPrint(r) && r != utf8.RuneError && r != braillePatternBlank &&
		!unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// escape writes bytes as bash reads them.
func escape(b *strings.Builder, bytes string) {
	for i := range len(bytes) {
		switch c := bytes[i]; c {
		case '\n':
			b.WriteString(`\n`)
		case '\t':
			b.WriteString(`\t`)
		case '\r':
			b.WriteString(`\r`)
		default:
			fmt.Fprintf(b, `\x%02x`, c)
		}
	}
}
