package ontap

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// hidden is put in the place of a text that has the password.
	hidden = "(left out: it has the password)"

	// window is how long a part of a longer password is a secret, too, in
	// characters: a text that has the password may have been cut.
	window = 12

	// likely is how long a password must be that is looked for in answers of
	// success. A shorter one may be a part of any name.
	likely = 8

	// maxError bounds the body of an error, in bytes. ONTAP's are below 4 KiB.
	maxError = 16 << 10

	// nested is how many encodings may be around a password in a text of an error.
	nested = 3
)

// jsonToken finds the strings and the numbers of JSON. In what is no JSON it finds
// something that is harmless to replace.
var jsonToken = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?`)

// jsonString finds the strings alone.
var jsonString = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// without returns an answer of the cluster without the password, with which the
// cluster was asked: a server that quotes the request in its error must not bring
// the password into messages and logs. Each JSON string that has the password, as it
// is or encoded, becomes hidden; in an error, a number becomes 0.
func (s *secret) without(answer []byte, isError bool) []byte {
	if s == nil || !isError && len(s.text()) < likely {
		return answer
	}
	if isError && len(answer) > maxError {
		return nil // no error of ONTAP, and too much to look into
	}
	depth := 1
	if isError {
		depth = nested
	}
	looked := lookFor(s.text())
	tokens := jsonToken
	if !isError {
		tokens = jsonString // an answer may have a million numbers
	}
	return tokens.ReplaceAllFunc(answer, func(token []byte) []byte {
		if token[0] != '"' {
			if isError && strings.Contains(string(token), s.text()) {
				return []byte("0")
			}
			return token
		}
		var said string
		if json.Unmarshal(token, &said) != nil {
			said = string(token)
		}
		if looked.in(said, depth) {
			return []byte(`"` + hidden + `"`)
		}
		return token
	})
}

// hide returns what net/http says of an exchange, or hidden if that has the password
// as it is or encoded. A password of 3 characters is in any sentence.
func (s *secret) hide(text string) string {
	if s != nil && len(s.text()) > 3 && lookFor(s.text()).in(text[:min(len(text), maxError)], nested) {
		return hidden
	}
	return text
}

// needle is a password that is looked for: the folded texts of which each one gives
// the password away, which are all of it, or what a cut may have left of a long one.
type needle []string

func lookFor(password string) (n needle) {
	whole := fold(password)
	for i := 0; i+window <= len(whole); i++ {
		n = append(n, whole[i:i+window])
	}
	if len(n) == 0 && whole != "" {
		n = append(n, whole)
	}
	return n
}

// fold makes texts alike that differ in case, blanks and what nobody sees: a
// password that is broken over two lines is still one.
func fold(text string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text))
}

// in tells whether text has the password, under up to depth encodings.
func (n needle) in(text string, depth int) bool {
	plain := fold(text)
	if slices.ContainsFunc(n, func(part string) bool { return strings.Contains(plain, part) }) {
		return true
	}
	return depth > 0 && len(n) > 0 && slices.ContainsFunc(decodings, func(d decoding) bool {
		if !strings.ContainsAny(text, d.sign) {
			return false
		}
		decoded := d.decode(text)
		return len(decoded) >= len(n[0]) && decoded != text && n.in(decoded, depth-1)
	})
}

// decoding undoes what a program may have done to a text before it quoted the text.
type decoding struct {
	sign   string // a text with none of these characters is not encoded so
	decode func(string) string
}

var decodings = []decoding{
	{"&", html.UnescapeString},
	{"%", func(s string) string { return twoDigits(percent, s) }},
	{"%+", func(s string) string { return twoDigits(percent, strings.ReplaceAll(s, "+", " ")) }},
	{"=", func(s string) string { return twoDigits(quotedPrintable, s) }},
	{`\`, func(s string) string { return backslash.ReplaceAllStringFunc(s, unescape) }},
	{digits, func(s string) string { return runs(s, hexDigit, 0, unhex) }},
	{digits, func(s string) string { return runs(s, hexDigit, 1, unhex) }},
	{letters, func(s string) string { return runs(s, base64Digit, 0, unbase64) }},
	{letters, func(s string) string { return runs(s, base64Digit, 1, unbase64) }},
	{letters, func(s string) string { return runs(s, base64Digit, 2, unbase64) }},
	{letters, func(s string) string { return runs(s, base64Digit, 3, unbase64) }},
	{"\r\n", func(s string) string { return runs(s, base64Line, 0, unbase64) }},
	{"\r\n", func(s string) string { return runs(s, base64Line, 1, unbase64) }},
	{"\r\n", func(s string) string { return runs(s, base64Line, 2, unbase64) }},
	{"\r\n", func(s string) string { return runs(s, base64Line, 3, unbase64) }},
}

const (
	digits  = "0123456789abcdefABCDEF"
	letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/_-"
)

var (
	percent         = regexp.MustCompile(`%[0-9a-fA-F]{2}`)
	quotedPrintable = regexp.MustCompile(`=[0-9a-fA-F]{2}`)
	backslash       = regexp.MustCompile(`\\(?:[xX][0-9a-fA-F]{2}|[uU]\{?[0-9a-fA-F]{1,8}\}?|[0-7]{3}|.)`)
)

// hexDigit is the digit that a byte is, 0 for what may stand between digits, and -1
// for what ends them.
func hexDigit(c byte) int {
	switch {
	case strings.IndexByte(digits, c) >= 0:
		return int(c)
	case strings.IndexByte(" :,-\\xX\r\n\t", c) >= 0:
		return 0
	}
	return -1
}

// base64Digit is hexDigit for both alphabets of RFC 4648, and returns the first one's.
func base64Digit(c byte) int {
	switch {
	case c == '-':
		return '+'
	case c == '_':
		return '/'
	case strings.IndexByte(letters, c) >= 0:
		return int(c)
	}
	return -1
}

// base64Line is base64Digit for a text that may be broken into lines.
func base64Line(c byte) int {
	if strings.IndexByte(" \r\n\t", c) >= 0 {
		return 0
	}
	return base64Digit(c)
}

// runs decodes what in text may be so encoded, from a number of digits on, since the
// beginning may belong to something else. It leaves out what does not become a text.
func runs(text string, digit func(byte) int, from int, decode func([]byte) []byte) string {
	const least = 6 // digits, of which shorter passwords are not looked for
	var out, run []byte
	for i := 0; i <= len(text); i++ {
		d := -1
		if i < len(text) {
			d = digit(text[i])
		}
		if d > 0 {
			run = append(run, byte(d))
		}
		if d == 0 && len(run) > 0 && i > 0 && text[i-1] == '0' && text[i]|' ' == 'x' {
			run = run[:len(run)-1] // 0x
		}
		if d < 0 {
			if len(run) >= least {
				out = appendText(out, decode(run[from:]))
			}
			run = run[:0]
		}
	}
	return string(out)
}

// appendText appends decoded bytes if most of them are of a text.
func appendText(out, decoded []byte) []byte {
	decoded = bytes.ReplaceAll(decoded, []byte{0}, nil) // UTF-16 has zeros between
	odd := 0
	for _, r := range string(decoded) {
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f {
			odd++
		}
	}
	if odd*4 > len(decoded) {
		return out
	}
	return append(append(out, decoded...), '\n')
}

func unhex(run []byte) []byte {
	out := make([]byte, len(run)/2)
	_, _ = hex.Decode(out, run[:len(run)&^1])
	return out
}

func unbase64(run []byte) []byte {
	if len(run)%4 == 1 {
		run = run[:len(run)-1]
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(run)))
	n, _ := base64.RawStdEncoding.Decode(out, run)
	return out[:n]
}

// twoDigits decodes escapes of one character and two hexadecimal digits.
func twoDigits(escape *regexp.Regexp, text string) string {
	return escape.ReplaceAllStringFunc(text, func(e string) string { return string(unhex([]byte(e[1:]))) })
}

// unescape decodes one escape of JSON, of a shell or of a programming language.
func unescape(escape string) string {
	switch c := escape[1]; {
	case len(escape) == 2:
	case c == 'x' || c == 'X':
		return string(unhex([]byte(escape[2:])))
	case c == 'u' || c == 'U':
		n, _ := strconv.ParseUint(strings.Trim(escape[2:], "{}"), 16, 32)
		return string(rune(n))
	default:
		n, _ := strconv.ParseUint(escape[1:], 8, 8)
		return string([]byte{byte(n)})
	}
	return escape[1:]
}
