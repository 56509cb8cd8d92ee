package ontap

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Version is an ONTAP release: 9.16.1 has Generation 9, Major 16, Minor 1.
type Version struct {
	Generation int `json:"generation"`
	Major      int `json:"major"`
	Minor      int `json:"minor"`
}

// OldestVersion is the first release that has all calls that berth requires.
var OldestVersion = Version{Generation: 9, Major: 11, Minor: 1}

// String prints 9.16.1.
func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v.Generation, v.Major, v.Minor)
}

// ParseVersion reads 9.16.1 or 9.6; ok is false for another text.
func ParseVersion(text string) (v Version, ok bool) {
	n, _ := fmt.Sscanf(text, "%d.%d.%d", &v.Generation, &v.Major, &v.Minor)
	return v, n >= 2
}

// AtLeast says whether v is w or newer.
func (v Version) AtLeast(w Version) bool {
	if v.Generation != w.Generation {
		return v.Generation > w.Generation
	}
	if v.Major != w.Major {
		return v.Major > w.Major
	}
	return v.Minor >= w.Minor
}

// Cluster is the name and the version of a cluster.
type Cluster struct {
	Name    string  `json:"name"`
	UUID    string  `json:"uuid"`
	Version Version `json:"version"`
}

// ClusterInfo reads name and version (GET /cluster, 9.6). A version older than
// OldestVersion is an error matching errors.ErrUnsupported, and the Cluster is
// returned with it.
func (c *Client) ClusterInfo(ctx context.Context) (Cluster, error) {
	out, err := get[Cluster](ctx, c, "/cluster", nil)
	if err != nil {
		return out, err
	}
	if !out.Version.AtLeast(OldestVersion) {
		return out, &Error{Op: "GET /cluster", HTTP: http.StatusOK, err: errors.ErrUnsupported,
			Message: fmt.Sprintf("ONTAP %s is too old; berth needs %s or newer", out.Version, OldestVersion)}
	}
	return out, nil
}

// Ref names an object, by the fields that ONTAP shows of a reference.
type Ref struct {
	Name string `json:"name,omitempty"`
	UUID string `json:"uuid,omitempty"`
}

// Schedule is a cron or interval schedule of the cluster.
type Schedule struct {
	Ref
	Type string `json:"type"` // cron or interval
	Cron struct {
		Minutes  []int `json:"minutes"`
		Hours    []int `json:"hours"`
		Days     []int `json:"days"`     // of the month
		Weekdays []int `json:"weekdays"` // 0 is Sunday
		Months   []int `json:"months"`
	} `json:"cron"`
}

// scopedSchedule is a schedule and its SVM; a schedule of the cluster has none.
type scopedSchedule struct {
	Schedule
	SVM Ref `json:"svm"`
}

// ScheduleGetByName reads one schedule, local to svm or of the cluster
// (GET /cluster/schedules, 9.6). With both, the SVM's own is returned.
func (c *Client) ScheduleGetByName(ctx context.Context, svm, name string) (Schedule, error) {
	const path = "/cluster/schedules"
	all, err := list[scopedSchedule](ctx, c, path, where("name", exactly(name)))
	if err != nil {
		return Schedule{}, err
	}
	var ours []Schedule
	for _, s := range all {
		if s.SVM.Name == svm && svm != "" {
			return s.Schedule, nil
		}
		if s.SVM.Name == "" {
			ours = append(ours, s.Schedule)
		}
	}
	return only(ours, path, "schedule "+name, func(s Schedule) bool { return s.Name == name })
}
