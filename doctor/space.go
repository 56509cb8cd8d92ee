package doctor

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/casit/berth/tree"
)

// Space judges the room of the export, in bytes and inodes.
func Space(s tree.Space, err error) []Finding {
	if err != nil {
		return []Finding{failed(err, "")}
	}
	return []Finding{
		judgeRoom(s.Avail, s.Total, "bytes").named("space"),
		judgeRoom(s.FilesFree, s.Files, "inodes").named("inodes"),
	}
}

func judgeRoom(left, total int64, what string) Finding {
	if total <= 0 {
		return ok("the server does not say")
	}
	percent := float64(max(0, left)) / float64(total) * 100
	text := fmt.Sprintf("%.0f %% of %d %s left", percent, total, what)
	next := "berth df shows what can be freed; berth trash purge ID frees it"
	if what == "bytes" {
		text = fmt.Sprintf("%.0f %% of %s left", percent, sized(total))
	} else {
		next = "on the filer: volume modify -files N; 'berth trash purge ID' frees some"
	}
	switch {
	case percent < 5:
		return fail(next, "%s: copies of more than 1 MiB are refused below 5 %%, unless with --force", text)
	case percent < 10:
		return warn(next, "%s", text)
	}
	return ok("%s", text)
}

// sized prints a number of bytes.
func sized(n int64) string { return humanize.IBytes(uint64(max(0, n))) }
