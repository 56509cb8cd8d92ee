package ontap

import (
	"context"
	"errors"
	"strings"
)

// Analytics is what File System Analytics counted below a directory.
type Analytics struct {
	Bytes      *int64 `json:"bytes_used"` // on disk
	Files      *int64 `json:"file_count"` // descendants, as ONTAP calls them
	Incomplete *bool  `json:"incomplete_data"`
}

// counted is a directory and the counts below it.
type counted struct {
	Name      string     `json:"name"`
	Junction  bool       `json:"is_junction"`
	Analytics *Analytics `json:"analytics"`
}

// CodeNoAnalytics is the answer where File System Analytics is off.
const CodeNoAnalytics = "111412203"

// AnalyticsList reads the counts of the directories in dir, by their names, in
// one call however many they are
// (GET /storage/volumes/{volume.uuid}/files/{path}?type=directory, 9.8;
// incomplete_data 9.12.1). dir begins at the FlexVol's root; "" is the root. The
// junctions of other FlexVols are left out, since their content is not counted
// here. Where File System Analytics is off the error matches errors.ErrUnsupported.
func (c *Client) AnalyticsList(ctx context.Context, volumeUUID, dir string) (map[string]Analytics, error) {
	api := "/storage/volumes/" + segment(volumeUUID) + "/files/"
	clean := "/" // a listing has a path, of the root too
	if dir = strings.Trim(dir, "/"); dir != "" {
		var err error
		if clean, err = relative("GET "+api, dir); err != nil {
			return nil, err
		}
	}
	api += segment(clean)
	all, err := list[counted](ctx, c, api, where("type", "directory"))
	if err != nil {
		return nil, err
	}
	out, told := map[string]Analytics{}, false
	for _, e := range all {
		if e.Analytics == nil || e.Analytics.Bytes == nil {
			continue
		}
		told = true // of dir itself at least
		if e.Name != "." && e.Name != ".." && !e.Junction {
			out[e.Name] = *e.Analytics
		}
	}
	if !told && len(all) > 0 {
		return nil, &Error{Op: "GET " + api, err: errors.ErrUnsupported, Message: "File System Analytics is off"}
	}
	return out, nil
}
