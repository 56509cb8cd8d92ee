package dashboard

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/netapp"
	"github.com/casit/berth/snapshot/reference"
)

// timeLine is a volume's snapshots, drawn and listed. The drawing's scale is
// logarithmic: snapshots are the sparser the older they are.
type timeLine struct {
	Volume  string
	How     snapshot.How
	Policy  *netapp.Policy
	Total   int
	Points  []point // with a time, newest first
	Ticks   []tick
	Days    []day
	Unknown []reference.Snapshot // of unknown time
	Approx  bool                 // some time is a guess

	PolicyUnknown string // why the filer's policy is not known
	WithoutAPI    string // why the filer's API did not answer
	Hidden        int    // snapshots of the filer that the export does not show
	Unhide        string // what to type to see them

	Oldest *reference.Snapshot
	Newest *reference.Snapshot
}

// The drawing, in its own units. It is stretched to the page's width.
const (
	lineWidth = 1000
	lineEdge  = 14 // room for the dots at the ends
)

// point is a snapshot on the line.
type point struct {
	reference.Snapshot
	X      string
	Newest bool
	Oldest bool
}

// tick is a mark of the scale.
type tick struct {
	X    string
	Text string
	End  bool // at the right end: its text stands left of it
}

// day is the list's heading and what was made that day.
type day struct {
	Text   string
	Points []point
}

// marks are the ages that the scale names.
var marks = []struct {
	age  time.Duration
	text string
}{{time.Hour, "1 h"}, {6 * time.Hour, "6 h"}, {24 * time.Hour, "1 day"}, {7 * 24 * time.Hour, "1 week"}, {30 * 24 * time.Hour, "1 month"}, {365 * 24 * time.Hour, "1 year"}}

func lineOf(l snapshot.Listing, now time.Time, zone *time.Location) *timeLine {
	t := &timeLine{Volume: l.Volume, How: l.How, Policy: l.Policy, PolicyUnknown: l.PolicyUnknown, Hidden: len(l.Hidden), Unhide: l.Unhide, Total: len(l.Versions)}
	for _, v := range l.Versions {
		t.WithoutAPI = cmp.Or(t.WithoutAPI, v.WithoutAPI)
		if v.Time.IsZero() {
			t.Unknown = append(t.Unknown, v.Snapshot)
			continue
		}
		t.Approx = t.Approx || v.Approximate
		t.Points = append(t.Points, point{Snapshot: v.Snapshot})
	}
	if len(t.Points) == 0 {
		return t
	}
	last := len(t.Points) - 1
	t.Points[0].Newest, t.Points[last].Oldest = true, last > 0
	t.Newest, t.Oldest = &t.Points[0].Snapshot, &t.Points[last].Snapshot
	span := max(now.Sub(t.Oldest.Time), 2*time.Hour)
	for i := range t.Points {
		t.Points[i].X = position(now.Sub(t.Points[i].Time), span)
		t.add(t.Points[i], now.In(zone), zone)
	}
	for _, m := range marks {
		if m.age < span {
			t.Ticks = append(t.Ticks, tick{X: position(m.age, span), Text: m.text})
		}
	}
	return t
}

// Drawn are the points in the order of drawing: the newest on top.
func (t *timeLine) Drawn() []point {
	points := slices.Clone(t.Points)
	slices.Reverse(points)
	return points
}

// position is where an age is on the line: now at the right.
func position(age, span time.Duration) string {
	const unit = time.Hour // what is much younger is drawn to scale
	log := func(d time.Duration) float64 { return math.Log1p(max(0, d.Seconds()) / unit.Seconds()) }
	x := lineEdge + (lineWidth-2*lineEdge)*(1-min(1, log(age)/log(span)))
	return fmt.Sprintf("%.1f", x)
}

// add lists a point under its day.
func (t *timeLine) add(p point, now time.Time, zone *time.Location) {
	at := p.Time.In(zone)
	text := at.Format("Mon 2 Jan")
	if at.Year() != now.Year() {
		text = at.Format("Mon 2 Jan 2006")
	}
	switch at.Format(time.DateOnly) {
	case now.Format(time.DateOnly):
		text = "Today"
	case now.AddDate(0, 0, -1).Format(time.DateOnly):
		text = "Yesterday"
	}
	if n := len(t.Days); n == 0 || t.Days[n-1].Text != text {
		t.Days = append(t.Days, day{Text: text})
	}
	d := &t.Days[len(t.Days)-1]
	d.Points = append(d.Points, p)
}
