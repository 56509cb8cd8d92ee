package snapshot

import (
	"context"
	"encoding/json"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// step is an item of a plan in the journal of its job: all that has to be known to
// carry the item out, and nothing that is only shown.
type step struct {
	Ref      text.Text        `json:"ref"`
	Exact    *reference.Exact `json:"exact"`
	Path     text.Text        `json:"path,omitempty"` // in the volume; "" for all of it
	Kind     Kind             `json:"kind"`
	Engine   Engine           `json:"engine"`
	Checksum bool             `json:"checksum,omitempty"`
	Beside   bool             `json:"beside,omitempty"`
	Files    int64            `json:"files,omitempty"`
	Bytes    int64            `json:"bytes,omitempty"`
}

func (it *PlanItem) step() step {
	return step{text.Text(it.RefName()), it.Exact, text.Text(it.Name()), it.Kind, it.Engine, it.Checksum, it.Beside, it.Files, it.Bytes}
}

// item is the step as the item of a plan.
func (s step) item(volume string) PlanItem {
	return PlanItem{Volume: volume, Ref: string(s.Ref), Exact: s.Exact, Path: string(s.Path), Kind: s.Kind, Engine: s.Engine,
		Checksum: s.Checksum, Beside: s.Beside, Files: s.Files, Bytes: s.Bytes}
}

// itemsOf reads the items of a job from its journal, and makes sure that they mean
// the same as when they were planned. The journal of an earlier berth has the
// request alone, which is planned then.
func (v *Versions) itemsOf(ctx context.Context, fsys tree.FS, j *volume.Job) ([]PlanItem, error) {
	if j.Op == cluster.OpTakeover {
		it, err := v.takeoverItem(ctx, fsys, j)
		return []PlanItem{it}, err
	}
	items := make([]PlanItem, len(j.Items))
	for i, it := range j.Items {
		if it.Plan == nil {
			return v.replan(ctx, fsys, j)
		}
		var s step
		if err := json.Unmarshal(it.Plan, &s); err != nil {
			return nil, err
		}
		items[i] = s.item(it.Volume)
		if !items[i].whole() {
			return nil, unreadable(j)
		}
	}
	return items, v.verify(ctx, fsys, items, j.ID)
}

func unreadable(j *volume.Job) error {
	return problem.New(problem.Failed, "'berth snapshot restore --abort "+j.Items[0].Volume+"', then again", "the plan of the %s of volume %q is not readable by this berth", j.Op, j.Items[0].Volume)
}

// replan plans the request of a job that an earlier berth has prepared.
func (v *Versions) replan(ctx context.Context, fsys tree.FS, j *volume.Job) ([]PlanItem, error) {
	var r RestoreRequest
	if err := json.Unmarshal(j.Request, &r); err != nil {
		return nil, err
	}
	p, err := v.plan(ctx, fsys, r, j.ID)
	if err != nil {
		return nil, err
	}
	if len(p.Items) != len(j.Items) {
		return nil, problem.New(problem.Failed, "'berth snapshot restore --abort "+j.Items[0].Volume+"', then again", "the snapshot has other volumes now than when the restore was planned")
	}
	for i := range p.Items {
		if p.Items[i].Engine = Engine(j.Engine); p.Items[i].Beside && p.Items[i].Engine == EngineFiler {
			p.Items[i].Engine = EngineCopy
		}
	}
	p.Items[0].Files, p.Items[0].Bytes = r.Files, r.Bytes
	return p.Items, nil
}
