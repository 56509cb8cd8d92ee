package main

import (
	"testing"

	"github.com/casit/berth/problem/problemtest"
)

func TestEveryMessageHasARow(t *testing.T) {
	problemtest.Check(t, messages, problemtest.Code{
		Makers: map[string]problemtest.Maker{"noPlugin": {}},
		Silent: []string{"examined", "differs"},
	})
}
