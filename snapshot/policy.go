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

// policy is what the filer plans; nil if it does not say.
func (f *Filer) policy(ctx context.Context) *Policy {
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
		if t, ok := nextRun(s, time.Now()); ok {
			f.plan.Next = append(f.plan.Next, t)
		}
	}
	slices.SortFunc(f.plan.Next, time.Time.Compare)
	f.plan.Next = slices.CompactFunc(f.plan.Next, time.Time.Equal)
	f.plan.Next = f.plan.Next[:min(len(f.plan.Next), maxNext)]
	return f.plan
}

// nextRun is when a cron schedule of the filer comes due next, in the zone of
// now, which is taken for the filer's.
func nextRun(s ontap.Schedule, now time.Time) (time.Time, bool) {
	if s.Type != "cron" {
		return time.Time{}, false
	}
	has := func(list []int, n int) bool { return len(list) == 0 || slices.Contains(list, n) }
	t := now.Truncate(time.Minute).Add(time.Minute)
	for end := now.AddDate(1, 0, 1); t.Before(end); {
		y, m, d := t.Date()
		switch {
		case !has(s.Cron.Months, int(m)) || !has(s.Cron.Days, d) || !has(s.Cron.Weekdays, int(t.Weekday())):
			t = time.Date(y, m, d+1, 0, 0, 0, 0, t.Location())
		case !has(s.Cron.Hours, t.Hour()):
			t = t.Truncate(time.Hour).Add(time.Hour)
		case !has(s.Cron.Minutes, t.Minute()):
			t = t.Add(time.Minute)
		default:
			return t, true
		}
	}
	return time.Time{}, false
}
