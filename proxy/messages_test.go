package proxy

import (
	"testing"

	"github.com/casit/berth/problem/problemtest"
)

func TestEveryMessageHasARow(t *testing.T) {
	problemtest.Check(t, Messages, problemtest.Code{
		Makers: map[string]problemtest.Maker{"r.refuse": {At: 2, Before: "service …: label …=…: "}, "c.refuse": {At: 2, Before: "service …: label …=…: "}},
	})
}
