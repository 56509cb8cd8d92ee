package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Setting is one setting and where its value is from.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"` // a file, "environment" or "default"
}

// Settings says which settings are in force; err says why they are wrong.
func Settings(set []Setting, err error) Finding {
	var given []string
	for _, s := range set {
		if s.Source != "default" {
			given = append(given, fmt.Sprintf("%s=%s (%s)", s.Name, s.Value, s.Source))
		}
	}
	text := "all are defaults"
	if len(given) > 0 {
		text = strings.Join(given, ", ") + "; the others are defaults"
	}
	if err != nil {
		return fail("correct it in /etc/berth/berth.env: it is read again within seconds, nothing is to be restarted", "%v; in force: %s", err, text).named("settings")
	}
	return ok("%s", text).named("settings")
}

// Password judges mode and owner of the password's file; it does not show the
// password.
func Password(file string) Finding {
	f, err := os.Open(file)
	if err != nil {
		what := "cannot be read"
		if errors.Is(err, fs.ErrNotExist) {
			what = "is not there"
		}
		return fail("put the password into that file, mode 0600; a managed plugin sees /etc/berth and nothing else of the host", "BERTH_ONTAP_PASSWORD_FILE=%s %s: %v", file, what, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fail("", "BERTH_ONTAP_PASSWORD_FILE: %v", err)
	}
	switch mode := info.Mode().Perm(); {
	case info.Size() == 0:
		return fail("put the password into it", "%s is empty", file)
	case mode&0o077 != 0:
		return warn("chmod 600 "+file, "%s is readable for others than its owner, mode %04o", file, mode)
	default:
		return ok("%s: set, readable, mode %04o", file, mode)
	}
}
