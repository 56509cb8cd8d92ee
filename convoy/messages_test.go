package convoy

import (
	"testing"

	"github.com/casit/berth/problem/problemtest"
)

func TestEveryMessageHasARow(t *testing.T) {
	problemtest.Check(t, Messages, problemtest.Code{Ends: map[string]string{
		"record.go": "broken: … ",
		"share.go":  "broken: … ",
	}})
}
