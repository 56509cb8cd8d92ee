package ontap

import (
	"context"
	"slices"
)

// Qtree is a directory at the top of a FlexVol that may have a quota. Rename and
// link do not cross its edge.
type Qtree struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// QtreeList reads the qtrees of a FlexVol, without the FlexVol itself, which
// ONTAP lists as the qtree 0 (GET /storage/qtrees, 9.6).
func (c *Client) QtreeList(ctx context.Context, volumeUUID string) ([]Qtree, error) {
	all, err := list[Qtree](ctx, c, "/storage/qtrees", where("volume.uuid", volumeUUID))
	return slices.DeleteFunc(all, func(q Qtree) bool { return q.ID == 0 }), err
}

// QuotaReport is what a qtree uses and may use. A nil limit is no limit.
type QuotaReport struct {
	Qtree Qtree      `json:"qtree"`
	Space quotaUsage `json:"space"` // bytes
	Files quotaUsage `json:"files"`
}

type quotaUsage struct {
	HardLimit *int64 `json:"hard_limit"`
	SoftLimit *int64 `json:"soft_limit"`
	Used      struct {
		Total *int64 `json:"total"`
	} `json:"used"`
}

// QuotaReportList reads the tree quotas of a FlexVol
// (GET /storage/quota/reports?type=tree, 9.6). Without quotas the list is empty.
func (c *Client) QuotaReportList(ctx context.Context, volumeUUID string) ([]QuotaReport, error) {
	return list[QuotaReport](ctx, c, "/storage/quota/reports",
		where("volume.uuid", volumeUUID, "type", "tree"))
}
