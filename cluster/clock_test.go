package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

func TestHowMuchTimeIsMissing(t *testing.T) {
	at := func(d time.Duration) time.Time { return time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC).Add(d) }
	forward := Pause{Kind: ClockSet, From: at(0), To: at(year)}
	back := Pause{Kind: ClockSet, From: at(year + time.Hour), To: at(time.Hour)}
	for name, c := range map[string]struct {
		pauses     []Pause
		since, now time.Time
		want       time.Duration
	}{
		"nothing":                         {nil, at(-day), at(day), 0},
		"a clock put forward":             {[]Pause{forward}, at(-day), at(year + time.Hour), year},
		"what came afterwards":            {[]Pause{forward}, at(year + time.Hour), at(year + day), 0},
		"two nodes say so":                {[]Pause{forward, {Kind: ClockSet, From: at(time.Second), To: at(year + time.Second)}}, at(-day), at(year + time.Hour), year + time.Second},
		"and nobody was there":            {[]Pause{forward, {Kind: NobodyThere, From: at(-time.Hour), To: at(year)}}, at(-day), at(year + time.Hour), year + time.Hour},
		"and put right":                   {[]Pause{forward, back}, at(-day), at(2 * time.Hour), 0},
		"what came while it was wrong":    {[]Pause{forward, back}, at(year + time.Minute), at(2 * time.Hour), -year},
		"a clock put back":                {[]Pause{back}, at(year), at(2 * time.Hour), -year},
		"what came after it was put back": {[]Pause{back}, at(2 * time.Hour), at(3 * time.Hour), 0},
		"a clock put back by an hour":     {[]Pause{{Kind: ClockSet, From: at(time.Hour), To: at(0)}}, at(time.Hour / 2), at(time.Minute), -time.Hour},
		"and the hour has gone by since":  {[]Pause{{Kind: ClockSet, From: at(time.Hour), To: at(0)}}, at(time.Hour / 2), at(time.Hour), 0},
		"a pause in the middle":           {[]Pause{{Kind: Reverted, From: at(time.Hour), To: at(2 * time.Hour)}}, at(0), at(day), time.Hour},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, Missing(c.pauses, c.since, c.now)) })
	}
}
