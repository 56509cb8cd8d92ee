package nfs

import (
	"testing"

	"github.com/casit/berth/problem/problemtest"
)

func TestEveryMessageHasARow(t *testing.T) {
	problemtest.Check(t, Messages, problemtest.Code{
		Makers: map[string]problemtest.Maker{"fail": {Before: "BERTH_EXPORT: …: "}},
		Ends:   map[string]string{"url.go": "BERTH_EXPORT: …: "},
	})
}
