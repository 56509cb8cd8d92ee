package ontap

import (
	"testing"

	"github.com/casit/berth/problem/problemtest"
)

func TestEveryMessageHasARow(t *testing.T) {
	problemtest.Check(t, Messages, problemtest.Code{
		Makers: map[string]problemtest.Maker{
			"broken":  {At: 2, Before: "ontap: …: "},
			"held":    {At: 1, Before: "ontap: …: the filer says success, and "},
			"unknown": {At: 2, Before: "ontap: …: "},
		},
		Ends: map[string]string{"do.go": "ontap: …: "},
	})
}
