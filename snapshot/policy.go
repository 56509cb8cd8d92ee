package snapshot

import (
	"context"
	"slices"
	"time"

	"github.com/casit/berth/ontap"
)

// policyFor is how long the filer's policy is remembered.
const policyFor = 5 * time.Minute

// maxNext is how many coming snapshots are told.
const maxNext = 3

// policy is what the filer plans; nil if it does not say. zone is the filer's.
func (f *Filer) policy(ctx context.Context, zone *time.Location) *Policy {
	x, err := f.where(ctx)
	if err != nil || x.Volume.SnapshotPolicy.Name == "" {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.plan != nil && time.Since(f.planned) < policyFor {
		return f.plan
	}
	p, err := f.client.SnapshotPolicyGetByName(ctx, x.SVM.Name, x.Volume.SnapshotPolicy.Name)
	if err != nil {
		return nil
	}
	f.plan, f.planned = &Policy{Name: p.Name, Text: p.String()}, time.Now()
	if !p.Enabled {
		return f.plan
	}
	for _, c := range p.Copies {
		s, err := f.client.ScheduleGetByName(ctx, x.SVM.Name, c.Schedule.Name)
		if err != nil {
			continue // the role may not read schedules
		}
		if t, ok := nextRun(s, time.Now().In(zone)); ok {
			f.plan.Next = append(f.plan.Next, t.UTC())
		}
	}
	slices.SortFunc(f.plan.Next, time.Time.Compare)
	f.plan.Next = slices.CompactFunc(f.plan.Next, time.Time.Equal)
	f.plan.Next = f.plan.Next[:min(len(f.plan.Next), maxNext)]
	return f.plan
}

// nextRun is when a cron schedule of the filer comes due next. now is in the
// filer's zone.
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
