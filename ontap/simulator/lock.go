package simulator

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"

	"github.com/casit/berth/ontap"
)

// lockCalls answers for the locks of clients.
type lockCalls struct{ *Simulator }

// all copies the locks. It takes mu.
func (s lockCalls) all() collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: "/protocols/locks", key: "uuid", defaults: []string{"svm", "volume", "path"}}
	for _, l := range s.locks {
		x := rec("uuid", l.UUID, "path", l.Path, "protocol", orString(l.Protocol, "nlm"), "type", "byte_range",
			"state", "granted", "owner_id", "1", "client_address", l.ClientAddress,
			"volume.name", s.cfg.Volume, "volume.uuid", s.world.VolumeUUID, "svm", s.svm(s.cfg.SVM),
			"node.name", s.node(), "node.uuid", s.world.NodeUUID, "constituent", false,
			"interface.name", s.cfg.SVM+"_nfs1", "interface.uuid", s.world.LIFUUIDs[s.cfg.SVM], "interface.ip.address", s.cfg.Address,
			"byte_lock.offset", s.bytes(0), "byte_lock.length", s.bytes(math.MaxUint64), "byte_lock.exclusive", true, // NLMv4: to the end of the file
			"byte_lock.mandatory", false, "byte_lock.soft", false, "byte_lock.super", false)
		c.records = append(c.records, x)
	}
	return c
}

// bytes is a number of bytes, up to 2⁶⁴-1, as Config.LockLengths wants it shown.
func (s lockCalls) bytes(n uint64) any {
	if s.cfg.LockLengths == "string" {
		return fmt.Sprint(n)
	}
	return json.Number(fmt.Sprint(n))
}

func (s lockCalls) list(r *call) (any, error) { return s.all().list(r) }

func (s lockCalls) get(r *call) (any, error) { return s.all().one(r, r.vars["uuid"]) }

// deleteOne breaks the lock that the path names.
func (s lockCalls) deleteOne(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.locks)
	s.locks = slices.DeleteFunc(s.locks, func(l ontap.Lock) bool { return l.UUID == r.vars["uuid"] })
	if len(s.locks) == before {
		return nil, entryNotFound("uuid")
	}
	return nil, nil
}

// delete breaks the locks that a query selects. As in ONTAP, a query without a
// filter is refused.
func (s lockCalls) delete(r *call) (any, error) {
	c := s.all()
	q, err := c.parse(r)
	if err != nil {
		return nil, err
	}
	if len(q.filters) == 0 {
		return nil, fail(http.StatusBadRequest, "262255", "", "DELETE on a collection needs a query.")
	}
	found := c.selected(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locks = slices.DeleteFunc(s.locks, func(l ontap.Lock) bool {
		return slices.ContainsFunc(found, func(x record) bool { return x.text("uuid") == l.UUID })
	})
	return record{"num_records": len(found)}, nil
}
