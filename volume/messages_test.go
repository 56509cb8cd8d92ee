package volume

import (
	"testing"

	"github.com/casit/berth/problem/problemtest"
)

func TestEveryMessageHasARow(t *testing.T) {
	problemtest.Check(t, Messages, problemtest.Code{
		Ends: map[string]string{
			"meta.go":   "the metadata of volume … (…) ",
			"option.go": "option …=…: ",
		},
	})
}
