package snapshot

// Stopped is what had to be stopped for a restore, as it was before, so that
// it can be put back; also by another run of the command (the journal has it).
type Stopped struct {
	Services   []StoppedService   `json:"services,omitempty"`
	Containers []StoppedContainer `json:"containers,omitempty"`
}

// StoppedService is a replicated service that was scaled to nothing.
type StoppedService struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Replicas uint64 `json:"replicas"`
}

// StoppedContainer is a container that was stopped.
type StoppedContainer struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Node string `json:"node"`
}

// Empty tells whether nothing was stopped.
func (s Stopped) Empty() bool { return len(s.Services) == 0 && len(s.Containers) == 0 }
