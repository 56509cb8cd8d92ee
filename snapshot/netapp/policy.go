package netapp

import (
	"context"
	"slices"
	"time"

	"github.com/casit/berth/ontap"
)

// Policy is the schedule by which the filer makes snapshots itself.
type Policy struct {
	Name string      `json:"name"`
	Text string      `json:"text"`
	Next []time.Time `json:"next,omitempty"`
}

// policyFor is for how long the filer's policy is kept.
const policyFor = 5 * time.Minute

// maxNext is how many of the next snapshots Policy tells.
const maxNext = 3

// Policy returns the schedule of the filer's own snapshots; nil if it has none.
// Where the filer does not tell it, or not when its schedules run, the error
// says why; with a policy, that its next snapshots are not known. zone is the
// filer's.
func (f *Filer) Policy(ctx context.Context, zone *time.Location) (*Policy, error) {
	x, err := f.where(ctx)
	if err != nil || x.Volume.SnapshotPolicy.Name == "" || x.Volume.SnapshotPolicy.Name == "none" {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.schedule != nil && time.Since(f.scheduleAt) < policyFor {
		return f.schedule, nil
	}
	p, err := f.client.SnapshotPolicyGetByName(ctx, x.SVM.Name, x.Volume.SnapshotPolicy.Name)
	if err != nil {
		return nil, filerError(err)
	}
	out := &Policy{Name: p.Name, Text: p.String()}
	if !p.Enabled {
		f.schedule, f.scheduleAt = out, time.Now()
		return out, nil
	}
	var unknown error
	for _, c := range p.Copies {
		s, err := f.client.ScheduleGetByName(ctx, x.SVM.Name, c.Schedule.Name)
		if err != nil {
			unknown = filerError(err)
			continue
		}
		if t, ok := nextRun(s, time.Now().In(zone)); ok {
			out.Next = append(out.Next, t.UTC())
		}
	}
	if unknown != nil {
		out.Next = nil // one of them may be the next
		return out, unknown
	}
	slices.SortFunc(out.Next, time.Time.Compare)
	out.Next = slices.CompactFunc(out.Next, time.Time.Equal)
	out.Next = out.Next[:min(len(out.Next), maxNext)]
	f.schedule, f.scheduleAt = out, time.Now()
	return out, nil
}

// nextRun is when a cron schedule of the filer runs next. now is in the filer's
// zone.
func nextRun(s ontap.Schedule, now time.Time) (time.Time, bool) {
	if s.Type != "cron" {
		return time.Time{}, false
	}
	has := func(list []int, n int) bool { return len(list) == 0 || slices.Contains(list, n) }
	t := now.Add(time.Minute - time.Duration(now.Second())*time.Second - time.Duration(now.Nanosecond()))
	for end := now.AddDate(1, 0, 1); t.Before(end); {
		_, m, d := t.Date()
		// An hour has ended when the clock says so, which is not where UTC's ends.
		hour := t.Add(time.Duration(60-t.Minute()) * time.Minute)
		switch {
		case !has(s.Cron.Months, int(m)) || !has(s.Cron.Days, d) || !has(s.Cron.Weekdays, int(t.Weekday())), !has(s.Cron.Hours, t.Hour()):
			t = hour
		case !has(s.Cron.Minutes, t.Minute()):
			t = t.Add(time.Minute)
		default:
			return t, true
		}
	}
	return time.Time{}, false
}
