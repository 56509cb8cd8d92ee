package main

import "regexp"

// masks are what differs from run to run.
var masks = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ?`), "0000-00-00 00:00:00"},
	{regexp.MustCompile(`\d{8}-\d{4}-[0-9a-f]{6}`), "00000000-0000-ffffff"},
	{regexp.MustCompile(`"?[0-9a-f]{16}\b"?`), "ffffffffffffffff"},
	{regexp.MustCompile(`_age_seconds": [0-9.e-]+`), `_age_seconds": 0`},
	{regexp.MustCompile(`\b[0-9]s\b`), "0s"},
}
