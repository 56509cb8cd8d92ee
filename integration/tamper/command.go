package tamper

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Command does what this package does, for a program that runs on another
// machine than the test:
//
//	site DIR SEED         as Site
//	batch DIR SEED N      as Batch; prints how many edits were made
//	walk DIR              as Walk; Decode reads what it prints
//	unlike WANT GOT       as Oracle.Unlike; prints a line for each
//
// There are no extended attributes, and symlinks have their times.
func Command(args []string, out io.Writer) error {
	if len(args) < 2 {
		return fmt.Errorf("what is to be done? %q", args)
	}
	switch verb, dir, more := args[0], args[1], args[2:]; {
	case verb == "site" && len(more) == 1:
		seed, err := strconv.ParseUint(more[0], 10, 64)
		if err != nil {
			return err
		}
		return Site(dir, seed, Features{})
	case verb == "batch" && len(more) == 2:
		seed, err := strconv.ParseUint(more[0], 10, 64)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(more[1])
		if err != nil {
			return err
		}
		return batchOf(dir, seed, n, out)
	case verb == "walk":
		return encode(dir, out)
	case verb == "unlike" && len(more) == 1:
		wrong, err := Oracle{}.Unlike(dir, more[0])
		if err == nil {
			_, err = io.WriteString(out, strings.Join(wrong, "\n"))
		}
		return err
	}
	return fmt.Errorf("what is to be done? %q", args)
}

func batchOf(dir string, seed uint64, n int, out io.Writer) error {
	tree, err := Walk(dir)
	if err != nil {
		return err
	}
	edits, err := Batch(dir, tree, seed, n, Features{})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, len(edits))
	return err
}

// encode prints a tree, the names of which are any bytes.
func encode(dir string, out io.Writer) error {
	tree, err := Walk(dir)
	if err != nil {
		return err
	}
	w := base64.NewEncoder(base64.StdEncoding, out)
	if err := gob.NewEncoder(w).Encode(tree); err != nil {
		return err
	}
	return w.Close()
}

// Decode reads what the command walk has printed.
func Decode(text string) (tree Tree, err error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&tree); err != nil {
		return nil, err
	}
	for name, e := range tree {
		e.Mtime = e.Mtime.UTC() // comparable by ==, as Walk's are
		tree[name] = e
	}
	return tree, nil
}
