// Package several makes one error of the errors of many steps: of a thousand
// files, of all nodes, of all volumes. People read such an error in a log and on
// a terminal, so it names the first few and counts the rest.
//
//	var failed several.Errors
//	for _, file := range files {
//		failed.Add(remove(file))
//	}
//	return failed.Err()
//
// errors.Join is for two or three errors that the code names one by one.
package several

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// few is how many errors are named.
const few = 3

// most is how many errors are kept for errors.Is and errors.As.
const most = 32

// Errors collects the errors of many steps. The zero value is ready. Its methods
// may not be called concurrently.
type Errors struct {
	kept  []error
	total int
}

// Of returns the error of all; nil where all are nil.
func Of(all ...error) error {
	var e Errors
	for _, err := range all {
		e.Add(err)
	}
	return e.Err()
}

// Add adds an error; nil is none. Beyond the first few, only an error with a
// cause that no other has is kept: what errors.Is says then does not depend on
// the order of the steps, and a million errors take no memory.
func (e *Errors) Add(err error) {
	if err == nil {
		return
	}
	e.total++
	if len(e.kept) < few || len(e.kept) < most && !slices.ContainsFunc(e.kept, func(k error) bool { return errors.Is(k, cause(err)) }) {
		e.kept = append(e.kept, err)
	}
}

// cause is the innermost error of err.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// Err returns nil where there was no error, the error itself where there was
// one, else an error that names the first few and counts the rest.
func (e *Errors) Err() error {
	switch e.total {
	case 0:
		return nil
	case 1:
		return e.kept[0]
	}
	return &joined{slices.Clone(e.kept), e.total}
}

type joined struct {
	kept  []error
	total int
}

func (j *joined) Error() string {
	var words []string
	for _, err := range j.kept[:min(few, len(j.kept))] {
		words = append(words, err.Error())
	}
	if more := j.total - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, "\n")
}

func (j *joined) Unwrap() []error { return j.kept }

// Join is strings.Join for a sentence: it takes the first few words and counts
// the rest.
func Join(words []string, sep string) string {
	if len(words) <= few+1 { // "and 1 more" is no shorter than a word
		return strings.Join(words, sep)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:few], sep), len(words)-few)
}
