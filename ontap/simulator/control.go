package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/ontap"
)

// controls are what a test or a person does to the cluster from outside of its API.
type controls struct{ *Simulator }

// Operator does what happens to a filer by itself or by other hands: policies take
// snapshots, space runs out, nodes fail over, sites are switched.
type Operator struct{ controls }

// Operate returns the cluster's Operator.
func (s *Simulator) Operate() Operator { return Operator{controls{s}} }

// RunSchedule takes the snapshots of a schedule, e.g. hourly, that the FlexVol's
// policy has, as if its time had come, and deletes the oldest beyond their count.
// It returns the names of what it took. Names are like hourly.2026-03-01_0305; a
// taken one gets the next free minute.
func (o Operator) RunSchedule(schedule string) ([]string, error) {
	o.mu.Lock()
	name := o.world.Settings.SnapshotPolicy
	policy := o.world.policy(func(p *snapshotPolicy) bool { return p.Name == name })
	o.mu.Unlock()
	if policy == nil || !policy.Enabled {
		return nil, fmt.Errorf("simulator: policy %q takes no snapshots", name)
	}
	o.changing.Lock()
	defer o.changing.Unlock()
	var taken []string
	for _, c := range policy.Copies {
		if c.Schedule != schedule {
			continue
		}
		prefix := orString(c.Prefix, schedule)
		one, err := o.scheduled(prefix, c.Label)
		if err != nil {
			return taken, err
		}
		taken = append(taken, one)
		if _, err := o.shrink(func(x *snapshot) bool { return strings.HasPrefix(x.Name, prefix+".") }, int(c.Count)); err != nil {
			return taken, err
		}
	}
	if taken == nil {
		return nil, fmt.Errorf("simulator: policy %q has no schedule %q", name, schedule)
	}
	return taken, nil
}

// scheduled takes one snapshot of a policy. The caller holds changing.
func (o Operator) scheduled(prefix, label string) (string, error) {
	at := o.cfg.Now().UTC()
	for {
		made := &snapshot{Name: prefix + at.Format(".2006-01-02_1504"), Label: label}
		o.mu.Lock()
		free := o.world.snapshot(made.Name) == nil
		o.mu.Unlock()
		if free {
			return made.Name, snapshotCalls{o.Simulator}.take(o.dir, made)
		}
		at = at.Add(time.Minute)
	}
}

// shrink deletes the oldest of the FlexVol's snapshots that which picks until keep
// are left. It passes over those that are owned, busy or locked. The caller holds
// changing.
func (o Operator) shrink(which func(*snapshot) bool, keep int) ([]string, error) {
	o.mu.Lock()
	var all []snapshot
	for _, x := range o.world.snapshotsOf(o.world.VolumeUUID) {
		if which(x) {
			all = append(all, *x)
		}
	}
	o.mu.Unlock()
	slices.SortStableFunc(all, func(a, b snapshot) int { return a.CreateTime.Compare(b.CreateTime) })
	var gone []string
	for _, x := range all {
		if len(all)-len(gone) <= keep {
			break
		}
		err := (snapshotCalls{o.Simulator}).drop(o.dir, o.world.VolumeUUID, x.UUID)
		if f, ok := err.(*failure); ok && (f.code == ontap.CodeSnapshotOwned || f.code == ontap.CodeSnapshotBusy) {
			continue
		}
		if err != nil {
			return gone, err
		}
		gone = append(gone, x.Name)
	}
	return gone, nil
}

// Autodelete deletes the n oldest snapshots that nobody holds, as ONTAP does when
// space runs out and autodelete is on, and returns their names. It does not ask
// whether it is on.
func (o Operator) Autodelete(n int) ([]string, error) {
	o.changing.Lock()
	defer o.changing.Unlock()
	o.mu.Lock()
	have := len(o.world.snapshotsOf(o.world.VolumeUUID))
	o.mu.Unlock()
	return o.shrink(func(*snapshot) bool { return true }, max(0, have-n))
}

// SetBusy makes a snapshot busy without an owner, or ends that: its deletion fails
// meanwhile with code 1638555.
func (o Operator) SetBusy(name string, busy bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := o.world.snapshot(name)
	if found == nil {
		return fmt.Errorf("simulator: no snapshot %q", name)
	}
	found.Busy = busy
	return o.save()
}

// FailOver is a takeover of the node: all connections are cut, the next silent
// requests get no answer, and then the next forgetful questions for a job are told
// that there is none. Afterwards all is as before.
func (o Operator) FailOver(silent, forgetful int) error {
	var faults []Fault
	if silent > 0 {
		faults = append(faults, Fault{Drop: true, Times: silent})
	}
	if forgetful > 0 {
		faults = append(faults, Fault{Method: http.MethodGet, Path: "/cluster/jobs/*", Times: forgetful,
			Status: http.StatusNotFound, Code: ontap.CodeNotFound, Message: "entry doesn't exist"})
	}
	if err := o.Inject(faults...); err != nil {
		return err
	}
	if o.listen != nil {
		o.listen.cut()
	}
	return nil
}

// Switchover is that of a MetroCluster: the other site serves the SVM, which is
// called NAME-mc until it is switched back.
func (o Operator) Switchover(over bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.world.Settings.SwitchedOver = over
	o.switched.Store(over)
	return o.save()
}

// ours is the present name of the SVM that has the export.
func (s *Simulator) ours() string { return s.called(s.cfg.SVM) }

// called is the present name of an SVM.
func (s *Simulator) called(svm string) string {
	if svm == s.cfg.SVM && s.switched.Load() {
		return svm + "-mc"
	}
	return svm
}

// orders is the body of a control request; each has some of its members.
type orders struct {
	Snapshot  string   `json:"snapshot"`
	Owners    []string `json:"owners"`
	Busy      bool     `json:"busy"`
	Count     int      `json:"count"`
	Schedule  string   `json:"schedule"`
	Silent    int      `json:"silent"`
	Forgetful int      `json:"forgetful"`
	Over      bool     `json:"over"`
	Line      string   `json:"line"`
	Password  string   `json:"password"`
}

// control answers the simulator's own requests beside /api. They need the login of
// Config.User:
//
//	GET    /simulator/faults      lists the faults that are left
//	POST   /simulator/faults      injects a Fault as JSON
//	DELETE /simulator/faults      removes all faults
//	POST   /simulator/locks       makes a client hold an ontap.Lock as JSON
//	POST   /simulator/owners      {"snapshot","owners"}: gives a snapshot owners
//	POST   /simulator/busy        {"snapshot","busy"}: see Operator.SetBusy
//	POST   /simulator/autodelete  {"count"}: see Operator.Autodelete
//	POST   /simulator/schedules   {"schedule"}: see Operator.RunSchedule
//	POST   /simulator/failover    {"silent","forgetful"}: see Operator.FailOver
//	POST   /simulator/switchover  {"over"}: see Operator.Switchover
//	POST   /simulator/shell       {"line","password"}: see Simulator.Shell
func (s controls) control(r *call) (any, error) {
	if r.user.owned != (owned{"", s.cfg.User}) {
		return nil, notAllowed
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /simulator/faults":
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Clone(s.faults), nil
	case "POST /simulator/faults":
		var f Fault
		if err := s.read(r, &f); err != nil {
			return nil, err
		}
		if err := s.Inject(f); err != nil {
			return nil, fail(http.StatusBadRequest, ontap.CodeInvalidValue, "", "%v", err)
		}
		return nil, nil
	case "DELETE /simulator/faults":
		s.Heal()
		return nil, nil
	case "POST /simulator/locks":
		var l ontap.Lock
		if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody)).Decode(&l); err != nil || !strings.HasPrefix(l.Path, "/") {
			return nil, fail(http.StatusBadRequest, "262199", "", "a lock needs a path from the SVM's root")
		}
		return s.AddLock(l), nil
	}
	name, ours := strings.CutPrefix(r.URL.Path, "/simulator/")
	if r.Method != http.MethodPost || !ours || !slices.Contains([]string{"owners", "busy", "autodelete", "schedules", "failover", "switchover", "shell"}, name) {
		return nil, apiNotFound
	}
	var do orders
	if err := s.read(r, &do); err != nil {
		return nil, err
	}
	answer, err := s.obey(name, do)
	if err != nil {
		return nil, fail(http.StatusBadRequest, ontap.CodeInvalidValue, "", "%v", err)
	}
	return answer, nil
}

func (s controls) obey(name string, do orders) (any, error) {
	operator := Operator{s}
	switch name {
	case "owners":
		s.mu.Lock()
		known := s.world.snapshot(do.Snapshot) != nil
		s.mu.Unlock()
		if !known {
			return nil, fmt.Errorf("simulator: no snapshot %q", do.Snapshot)
		}
		s.Own(do.Snapshot, do.Owners...)
		return nil, nil
	case "busy":
		return nil, operator.SetBusy(do.Snapshot, do.Busy)
	case "autodelete":
		names, err := operator.Autodelete(do.Count)
		return record{"snapshots": names}, err
	case "schedules":
		names, err := operator.RunSchedule(do.Schedule)
		return record{"snapshots": names}, err
	case "failover":
		return nil, operator.FailOver(do.Silent, do.Forgetful)
	case "switchover":
		return nil, operator.Switchover(do.Over)
	}
	output, err := s.Shell(do.Line, do.Password)
	return record{"output": output}, err
}

// read decodes a body, whose members must all be known.
func (controls) read(r *call, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fail(http.StatusBadRequest, "262199", "", "%v", err)
	}
	return nil
}
