package plugin

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	descReachable  = desc("berth_export_reachable", "1 if the export answered when the heartbeats were read last, else 0.")
	descSize       = desc("berth_export_size_bytes", "Size of the filesystem that holds the export.")
	descAvailable  = desc("berth_export_available_bytes", "Bytes that can be written to the export.")
	descInodes     = desc("berth_export_inodes", "Inodes of the filesystem that holds the export; 0 where it has no limit.")
	descInodesFree = desc("berth_export_inodes_free", "Inodes that are free for the export.")
	descSurveyed   = desc("berth_survey_timestamp_seconds", "When the export's space and newest snapshot were read last.")
	descNewest     = desc("berth_snapshot_newest_age_seconds", "Age of the newest snapshot; +Inf if there is none, or if its time is unknown or in the future.")
	descBeat       = desc("berth_heartbeat_age_seconds", "Age of each node's heartbeat in the export's time, as this node sees it.", "node")
	descNode       = desc("berth_node_state", "1 for the state that each node is in as this node sees it, 0 for the others.", "node", "state")
	descTrash      = desc("berth_trash_items", "Items in the trash: removed, undo, fenced, or unreadable where the record is broken.", "kind")
	descTrashBytes = desc("berth_trash_bytes", "Bytes of the items in the trash, as far as this node has measured them.", "kind")
	descUnweighed  = desc("berth_trash_unmeasured_items", "Items in the trash that are not in berth_trash_bytes yet.")
	descTrashAge   = desc("berth_trash_oldest_age_seconds", "Age of what is longest in the trash; 0 if it is empty.")
	descRunning    = desc("berth_jobs_running", "Restores, undos and takeovers at work on this node.", "op")

	descInFlight    = desc("berth_nfs_calls_in_flight", "NFS calls of berth itself that are under way.")
	descRetries     = desc("berth_nfs_retries_total", "NFS calls that were sent again: resent for want of an answer, jukebox because the server said later.", "reason")
	descConnections = desc("berth_nfs_connections_total", "Attempts to connect to the NFS server.", "outcome")
	descRoundTrip   = desc("berth_nfs_round_trip_seconds", "How long NFS calls of berth itself took, until the reply or until they were given up.", "procedure")
)

// stateCollector collects the state of the session at the time of a scrape. It
// reads memory alone, so that a dead export does not hold a scrape.
type stateCollector struct{ s *Server }

// Describe lists what Collect sends.
func (stateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descReachable, descSize, descAvailable, descInodes, descInodesFree, descSurveyed, descNewest,
		descBeat, descNode, descTrash, descTrashBytes, descUnweighed, descTrashAge, descRunning} {
		out <- d
	}
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Collect sends the state of the session in force.
func (c stateCollector) Collect(out chan<- prometheus.Metric) {
	ss := c.s.session.Load()
	if ss == nil || ss.store == nil {
		gauge(out, descReachable, 0)
		return
	}
	gauge(out, descReachable, truth(ss.store.Cluster.Reached()))
	for _, n := range ss.store.Cluster.Nodes() {
		if volume.CheckName(n.Node) == nil { // else it is nobody's heartbeat
			collectNode(out, n)
		}
	}
	running := ss.versions.Jobs.AtWork()
	for _, op := range jobOps {
		gauge(out, descRunning, float64(running[op]), string(op))
	}
	now := time.Now()
	ss.survey.collect(out, now)
	ss.survey.collectTrash(out, ss.store.Trash.Seen(), now)
}

// nodeStates are the lives of a node, and its state after a goodbye.
var nodeStates = []string{string(cluster.Live), string(cluster.Silent), string(cluster.Expired), string(cluster.Unattended), "stopped"}

func collectNode(out chan<- prometheus.Metric, n cluster.NodeInfo) {
	is := string(n.State)
	if n.Stopped {
		is = "stopped"
	}
	gauge(out, descBeat, n.Age, n.Node)
	for _, state := range nodeStates {
		gauge(out, descNode, truth(state == is), n.Node, state)
	}
}

func (v *survey) collect(out chan<- prometheus.Metric, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.at.IsZero() {
		gauge(out, descSurveyed, float64(v.at.UnixMilli())/1000)
	}
	switch {
	case v.newest != nil && (v.newest.Time.IsZero() || v.newest.Time.Sub(now) > reference.Skew):
		gauge(out, descNewest, math.Inf(1)) // nobody knows how old it is
	case v.newest != nil:
		gauge(out, descNewest, max(0, now.Sub(v.newest.Time).Seconds()))
	case v.asked:
		gauge(out, descNewest, math.Inf(1))
	}
	if v.space != (tree.Space{}) {
		gauge(out, descSize, float64(v.space.Total))
		gauge(out, descAvailable, float64(v.space.Avail))
		gauge(out, descInodes, float64(v.space.Files))
		gauge(out, descInodesFree, float64(v.space.FilesFree))
	}
}

// trashKinds are the kinds of trash items.
var trashKinds = []string{"removed", "undo", "fenced", "unreadable"}

// collectTrash sends nothing of a trash that nobody has looked into: 0 is a trash that
// is empty.
func (v *survey) collectTrash(out chan<- prometheus.Metric, items []*volume.Trashed, now time.Time) {
	if items == nil {
		return
	}
	count, bytes := map[string]int{}, map[string]int64{}
	unweighed, oldest := 0, now
	for _, t := range items {
		count[t.Kind]++
		if n, known := v.weight(t.ID); known {
			bytes[t.Kind] += n
		} else {
			unweighed++
		}
		if !t.Removed.IsZero() && t.Removed.Before(oldest) {
			oldest = t.Removed
		}
	}
	for _, kind := range trashKinds {
		gauge(out, descTrash, float64(count[kind]), kind)
		gauge(out, descTrashBytes, float64(bytes[kind]), kind)
	}
	gauge(out, descUnweighed, float64(unweighed))
	gauge(out, descTrashAge, now.Sub(oldest).Seconds())
}

// nfsCollector collects the counters of berth's own NFS client.
type nfsCollector struct{ stats *nfs.Stats }

// Describe lists what Collect sends.
func (nfsCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descInFlight, descRetries, descConnections, descRoundTrip} {
		out <- d
	}
}

// Collect sends the counters.
func (c nfsCollector) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v int64, label string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), label)
	}
	n := c.stats.Counted()
	gauge(out, descInFlight, float64(n.InFlight))
	counter(descRetries, n.Resent, "resent")
	counter(descRetries, n.Jukebox, "jukebox")
	counter(descConnections, n.Connected, "ok")
	counter(descConnections, n.Refused, "failed")
	for procedure, calls := range n.Calls {
		buckets := map[float64]uint64{}
		for bound, count := range calls.Buckets {
			buckets[bound.Seconds()] = uint64(count)
		}
		out <- prometheus.MustNewConstHistogram(descRoundTrip, uint64(calls.Count), calls.Took.Seconds(), buckets, procedure)
	}
}
