package tree

import "time"

// WaitFor sets how long l waits for one name.
func WaitFor(l *Local, wait time.Duration) { l.wait = wait }
