package bound

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// spare is how much more memory than after the last look is not worth a collection,
// in bytes.
const spare = 8 << 20

// Memory gives memory back to the system that is not used any more, until ctx ends:
// the runtime alone keeps it for minutes, and a process that has nothing to do does
// not collect. Every so often it looks at how much there is.
func Memory(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	floor := uint64(0)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if held() > floor+spare {
			// What pools keep outlives one collection.
			debug.FreeOSMemory()
			debug.FreeOSMemory()
			floor = held()
		}
	}
}

// held is how much memory the runtime has from the system, in bytes.
func held() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}
