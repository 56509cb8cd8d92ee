package simulator

import (
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	qtreeSchema  = "/storage/qtrees"
	quotaSchema  = "/storage/quota/rules"
	reportSchema = "/storage/quota/reports"
)

// qtree is a directory at the top of a volume that rename and link do not leave.
// Where the volume is on btrfs the kernel refuses both, for clients too; elsewhere
// only the files API does.
type qtree struct {
	Volume string   `json:"volume"` // uuid
	ID     int64    `json:"id"`
	Name   string   `json:"name"`
	Set    settings `json:"set,omitempty"`
}

// quotaRule is a tree quota of a volume; Qtree "" is the default rule, which
// counts for all qtrees without one of their own.
type quotaRule struct {
	UUID   string   `json:"uuid"`
	Volume string   `json:"volume"` // uuid
	Qtree  string   `json:"qtree"`
	Limits settings `json:"limits"`
}

type qtreeCalls struct{ *Simulator }

// top is the first element of a clean relative path.
func top(name string) string {
	first, _, _ := strings.Cut(name, "/")
	return first
}

// isQtree says whether a clean relative path is a qtree itself. It takes mu.
func (s *Simulator) isQtree(volume, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.qtree(volume, name) != nil
}

// qtree finds a qtree by name. The caller holds mu.
func (s *Simulator) qtree(volume, name string) *qtree {
	i := slices.IndexFunc(s.world.Qtrees, func(q *qtree) bool { return q.Volume == volume && q.Name == name })
	if i < 0 {
		return nil
	}
	return s.world.Qtrees[i]
}

// crosses says whether a rename goes over the edge of a qtree. It takes mu.
func (s *Simulator) crosses(volume, from, to string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.qtree(volume, top(from)) != s.qtree(volume, top(to)) || s.qtree(volume, from) != nil || s.qtree(volume, to) != nil
}

func (s qtreeCalls) all() collection {
	volumes := volumeCalls(s).volumes().records
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: qtreeSchema, key: "id", defaults: []string{"name", "svm", "volume"}, expensive: []string{"metric", "statistics"},
		self: func(x record) string { return "/api/storage/qtrees/" + x.text("volume.uuid") + "/" + x.text("id") }}
	for _, v := range volumes {
		show := func(q *qtree) {
			x := rec("id", q.ID, "name", q.Name, "svm", v["svm"], "volume.name", v["name"], "volume.uuid", v["uuid"],
				"security_style", v.text("nas.security_style"), "unix_permissions", v["nas"].(record)["unix_permissions"],
				"export_policy.name", v.text("nas.export_policy.name"), "export_policy.id", v["nas"].(record)["export_policy"].(record)["id"])
			if at := v.text("nas.path"); at != "" {
				x.set("path", path.Join(at, q.Name))
				x.set("nas.path", path.Join(at, q.Name))
			}
			q.Set.show(x)
			for _, p := range s.world.Policies {
				if q.Set["export_policy.id"] == p.ID {
					x.set("export_policy.name", p.Name)
				}
			}
			c.records = append(c.records, x)
		}
		show(&qtree{})
		for _, q := range s.world.Qtrees {
			if q.Volume == v.text("uuid") {
				show(q)
			}
		}
	}
	return c
}

func (s qtreeCalls) list(r *call) (any, error) {
	if r.query.Get("order_by") == "" {
		// Ids are not unique over volumes, so pages begin at an offset.
		r.query.Set("order_by", "id")
	}
	return s.all().list(r)
}

// every does a change to the qtrees that a query selects.
func (s qtreeCalls) every(do handler) handler {
	return func(r *call) (any, error) {
		c := s.all()
		c.records = slices.DeleteFunc(c.records, func(x record) bool { return x.text("id") == "0" })
		return c.each(r, func(x record) map[string]string {
			return map[string]string{"volume.uuid": x.text("volume.uuid"), "id": x.text("id")}
		}, do)
	}
}

// of are the qtrees of the path's volume.
func (s qtreeCalls) of(r *call) collection {
	c := s.all()
	c.records = slices.DeleteFunc(c.records, func(x record) bool { return x.text("volume.uuid") != r.vars["volume.uuid"] })
	return c
}

func (s qtreeCalls) get(r *call) (any, error) {
	if _, err := volumeCalls(s).present(r.vars["volume.uuid"]); err != nil {
		return nil, noVolume(r.vars["volume.uuid"])
	}
	return s.of(r).one(r, r.vars["id"])
}

var qtreeName = regexp.MustCompile(`^[^/\x00]{1,64}$`)

var qtreeRules = map[string]rule{
	"name": anything, "security_style": oneOf("unix", "ntfs", "mixed"), "unix_permissions": octal,
	"export_policy.name": anything, "export_policy.id": anything,
	"svm.name": anything, "svm.uuid": anything, "volume.name": anything, "volume.uuid": anything,
}

// place finds the volume that a body names, with its content, online.
func (s qtreeCalls) place(body record) (record, error) {
	uuid, name, svm, svmUUID := body.text("volume.uuid"), body.text("volume.name"), body.text("svm.name"), body.text("svm.uuid")
	switch {
	case uuid == "" && name == "":
		return nil, fail(http.StatusBadRequest, "918232", "volume", "Either \"volume.name\" or \"volume.uuid\" must be provided.")
	case svm == "" && svmUUID == "":
		return nil, fail(http.StatusBadRequest, "2621707", "svm", "No SVM was specified. Either \"svm.name\" or \"svm.uuid\" must be supplied.")
	}
	if svm != "" && !slices.Contains(s.svms(), svm) {
		return nil, fail(http.StatusNotFound, "2621462", "svm.name", "The specified SVM does not exist.")
	}
	for _, v := range volumeCalls(s).volumes().records {
		switch {
		case svm != "" && v.text("svm.name") != svm, svmUUID != "" && v.text("svm.uuid") != svmUUID:
		case uuid != "" && v.text("uuid") == uuid && name != "" && v.text("name") != name:
			return nil, fail(http.StatusBadRequest, "918236", "volume", "The specified \"volume.uuid\" and \"volume.name\" refer to different volumes.")
		case uuid != "" && v.text("uuid") != uuid, name != "" && v.text("name") != name:
		default:
			s.mu.Lock()
			dir := s.dirOf(v.text("uuid"))
			s.mu.Unlock()
			if dir == nil {
				return nil, fail(http.StatusBadRequest, "5242886", "volume", "Failed to create qtree: the simulator holds no content of this volume.")
			}
			return v, s.online(v)
		}
	}
	return nil, fail(http.StatusNotFound, "917927", "volume", "The specified volume was not found.")
}

func (s *Simulator) online(v record) error {
	if v.text("state") != "online" {
		return fail(http.StatusBadRequest, "9437885", "volume", "The volume is not online.")
	}
	return nil
}

// policies resolves the export policy of a change. It takes mu.
func (s qtreeCalls) policies(set map[string]any) error {
	named := map[string]any{}
	for _, part := range []string{"name", "id"} {
		if value, ok := set["export_policy."+part]; ok {
			named["nas.export_policy."+part] = value
			delete(set, "export_policy."+part)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := volumeCalls(s).namesPolicies(named); err != nil {
		return err
	}
	if id, ok := named["nas.export_policy.id"]; ok {
		set["export_policy.id"] = id
	}
	return nil
}

func (s qtreeCalls) create(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(qtreeSchema)
	if err != nil {
		return nil, err
	}
	set, err := obey(body, qtreeRules)
	if err != nil {
		return nil, err
	}
	name := body.text("name")
	v, err := s.place(body)
	switch {
	case err != nil:
		return nil, err
	case !body.has("name"):
		return nil, fail(http.StatusBadRequest, "5242953", "name", "Qtree name must be provided.")
	case name == "":
		return nil, fail(http.StatusBadRequest, "5242894", "name", "Qtree with empty name \"\" is not allowed, as that is reserved for the default qtree.")
	case !qtreeName.MatchString(name) || name == "." || name == ".." || name == ".snapshot":
		return nil, fail(http.StatusBadRequest, "5242886", "name", "Failed to create qtree %q.", name)
	}
	if err := s.policies(set); err != nil {
		return nil, err
	}
	for _, known := range []string{"name", "svm.name", "svm.uuid", "volume.name", "volume.uuid"} {
		delete(set, known)
	}
	uuid := v.text("uuid")
	return startMaking(s.Simulator, r, "/api/storage/qtrees/?volume.uuid="+uuid+"&name="+name, rec("name", name, "volume.uuid", uuid), func() error {
		if err := s.makeDir(uuid, name, set["unix_permissions"]); err != nil {
			return fail(http.StatusConflict, "5242886", "name", "Failed to create qtree %q: %v.", name, fromDir(err).message)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		id := int64(1)
		for _, q := range s.world.Qtrees {
			if q.Volume == uuid {
				id = max(id, q.ID+1)
			}
		}
		s.world.Qtrees = append(s.world.Qtrees, &qtree{Volume: uuid, ID: id, Name: name, Set: set})
		return s.save()
	})
}

// makeDir makes the directory of a qtree, or sets its mode. It takes mu.
func (s *Simulator) makeDir(volume, name string, mode any) error {
	s.mu.Lock()
	dir := s.dirOf(volume)
	s.mu.Unlock()
	bits := uint64(0o755)
	if digits, ok := mode.(int64); ok {
		bits, _ = strconv.ParseUint(strconv.FormatInt(digits, 10), 8, 12) // checked by its rule
	}
	return dir.MakeQtree(name, uint32(bits))
}

func (s qtreeCalls) find(r *call) (record, error) {
	all := s.of(r).records
	if len(all) == 0 {
		return nil, fail(http.StatusNotFound, "918235", "volume.uuid", "A volume with UUID %q was not found.", strings.ToValidUTF8(r.vars["volume.uuid"], "?"))
	}
	for _, x := range all {
		if x.text("id") == r.vars["id"] {
			return x, nil
		}
	}
	return nil, fail(http.StatusNotFound, "5242956", "id", "Failed to obtain a qtree with ID %q.", r.vars["id"])
}

func (s qtreeCalls) patch(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(qtreeSchema)
	if err != nil {
		return nil, err
	}
	for _, place := range []string{"svm", "volume"} {
		if body.has(place) {
			return nil, notSettable(place)
		}
	}
	set, err := obey(body, qtreeRules)
	if err != nil {
		return nil, err
	}
	is, err := s.find(r)
	switch {
	case err != nil:
		return nil, err
	case is.text("id") == "0":
		return nil, fail(http.StatusBadRequest, "5242945", "id", "Failed to modify qtree: the default qtree has its volume's settings.")
	}
	if err := s.policies(set); err != nil {
		return nil, err
	}
	old, uuid := is.text("name"), r.vars["volume.uuid"]
	name, renamed := set["name"].(string)
	delete(set, "name")
	renamed = renamed && name != old
	switch {
	case renamed && (!qtreeName.MatchString(name) || name == "." || name == ".." || name == ".snapshot"):
		return nil, fail(http.StatusBadRequest, "5242958", "name", "Failed to rename the qtree to %q.", name)
	case renamed && s.isQtree(uuid, name):
		return nil, fail(http.StatusConflict, "5242972", "name", "Cannot rename qtree to %q as that name already exists.", name)
	}
	return s.start(r, "", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		q := s.qtree(uuid, old)
		if q == nil {
			return fail(http.StatusNotFound, "5242927", "id", "Unable to find qtree.")
		}
		if mode, ok := set["unix_permissions"].(int64); ok {
			bits, _ := strconv.ParseUint(strconv.FormatInt(mode, 10), 8, 12) // checked by its rule
			if err := s.dirOf(uuid).ChmodAt(old, uint32(bits)); err != nil {
				return err
			}
		}
		if renamed {
			if err := s.dirOf(uuid).Rename(old, name); err != nil {
				return fail(http.StatusConflict, "5242958", "name", "Failed to rename the qtree: %v", fromDir(err).message)
			}
			q.Name = name
			for _, rule := range s.world.Quotas {
				if rule.Volume == uuid && rule.Qtree == old {
					rule.Qtree = name
				}
			}
		}
		if q.Set == nil {
			q.Set = settings{}
		}
		for field, value := range set {
			q.Set[field] = value
		}
		return s.save()
	})
}

func (s qtreeCalls) delete(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	is, err := s.find(r)
	switch {
	case err != nil:
		return nil, err
	case is.text("id") == "0":
		return nil, fail(http.StatusBadRequest, "5242894", "id", "The default qtree cannot be deleted.")
	}
	uuid, name := r.vars["volume.uuid"], is.text("name")
	return s.start(r, "", func() error {
		s.mu.Lock()
		dir := s.dirOf(uuid)
		s.mu.Unlock()
		if err := dir.Remove(name, true); err != nil {
			return fail(http.StatusInternalServerError, "5242957", "id", "Failed to delete the qtree: %v.", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.world.Qtrees = slices.DeleteFunc(s.world.Qtrees, func(q *qtree) bool { return q.Volume == uuid && q.Name == name })
		s.world.Quotas = slices.DeleteFunc(s.world.Quotas, func(q *quotaRule) bool { return q.Volume == uuid && q.Qtree == name })
		return s.save()
	})
}

// quotaCalls answers for quota rules and reports. Only tree quotas are played.
type quotaCalls struct{ *Simulator }

// named is a volume's and its SVM's place in another record.
func named(v record) record {
	return rec("svm", v["svm"], "volume.name", v["name"], "volume.uuid", v["uuid"])
}

func (s quotaCalls) rules() collection {
	volumes := volumeCalls(s).volumes().records
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: quotaSchema, key: "uuid", defaults: []string{"svm", "volume", "type", "qtree"}, self: hrefOf(quotaSchema)}
	for _, v := range volumes {
		for _, q := range s.world.Quotas {
			if q.Volume != v.text("uuid") {
				continue
			}
			x := named(v)
			x.set("uuid", q.UUID)
			x.set("type", "tree")
			x.set("qtree.name", q.Qtree)
			if tree := s.qtree(q.Volume, q.Qtree); tree != nil {
				x.set("qtree.id", tree.ID)
			}
			q.Limits.show(x)
			c.records = append(c.records, x)
		}
	}
	return c
}

func (s quotaCalls) list(r *call) (any, error) { return s.rules().list(r) }

// every does a change to the rules that a query selects.
func (s quotaCalls) every(do handler) handler {
	return func(r *call) (any, error) { return s.rules().each(r, byUUID, do) }
}

func (s quotaCalls) get(r *call) (any, error) {
	s.mu.Lock()
	there := s.find(r.vars["uuid"]) != nil
	s.mu.Unlock()
	if !there {
		return nil, noRule
	}
	return s.rules().one(r, r.vars["uuid"])
}

var limitRules = map[string]rule{
	"space.hard_limit": between(-1, 1<<60).or("5308574"), "space.soft_limit": between(-1, 1<<60).or("5308574"),
	"files.hard_limit": between(-1, 1<<50).or("5308574"), "files.soft_limit": between(-1, 1<<50).or("5308574"),
}

// limits reads the limits of a body. A space limit is rounded up to KiB; a soft
// limit above the hard one is refused.
func limits(set map[string]any) (settings, error) {
	out := settings{}
	for name := range limitRules {
		n, ok := set[name].(int64)
		if !ok || n == -1 { // no limit
			continue
		}
		if strings.HasPrefix(name, "space") {
			n = (n + 1023) / 1024 * 1024
		}
		out[name] = n
	}
	return out, out.inOrder()
}

func (x settings) inOrder() error {
	for _, what := range []string{"space", "files"} {
		hard, _ := x[what+".hard_limit"].(int64)
		soft, _ := x[what+".soft_limit"].(int64)
		if hard > 0 && soft > hard {
			return fail(http.StatusBadRequest, "5308575", what+".soft_limit", "Input value is incorrectly larger than listed field. Field \"%s.soft_limit\", listed field \"%s.hard_limit\".", what, what)
		}
	}
	return nil
}

func (s quotaCalls) create(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(quotaSchema)
	if err != nil {
		return nil, err
	}
	allowed := map[string]rule{"type": oneOf("tree"), "qtree.name": anything,
		"svm.name": anything, "svm.uuid": anything, "volume.name": anything, "volume.uuid": anything}
	for name, x := range limitRules {
		allowed[name] = x
	}
	set, err := obey(body, allowed)
	if err != nil {
		return nil, err
	}
	v, err := qtreeCalls(s).place(body)
	switch {
	case err != nil:
		return nil, err
	case !body.has("type"):
		return nil, missing("type")
	case !body.has("qtree.name"):
		return nil, fail(http.StatusBadRequest, "5308564", "qtree.name", "qtree.name is a required input for creating a tree rule and users and group are not allowed.")
	}
	q := &quotaRule{UUID: s.drawUUID(), Volume: v.text("uuid"), Qtree: body.text("qtree.name")}
	if q.Limits, err = limits(set); err != nil {
		return nil, err
	}
	if q.Qtree != "" && !s.isQtree(q.Volume, q.Qtree) {
		return nil, fail(http.StatusNotFound, "5242927", "qtree.name", "Unable to find qtree %q.", q.Qtree)
	}
	return startMaking(s.Simulator, r, "/api/storage/quota/rules/"+q.UUID, rec("uuid", q.UUID), func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if slices.ContainsFunc(s.world.Quotas, func(o *quotaRule) bool { return o.Volume == q.Volume && o.Qtree == q.Qtree }) {
			return fail(http.StatusConflict, "1", "qtree.name", "duplicate entry")
		}
		s.world.Quotas = append(s.world.Quotas, q)
		return s.save()
	})
}

// find is a rule, nil if there is none. The caller holds mu.
func (s quotaCalls) find(uuid string) *quotaRule {
	for _, q := range s.world.Quotas {
		if q.UUID == uuid {
			return q
		}
	}
	return nil
}

var noRule = fail(http.StatusNotFound, "5308545", "uuid", "The specified quota rule UUID is invalid.")

func (s quotaCalls) patch(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(quotaSchema)
	if err != nil {
		return nil, err
	}
	set, err := obey(body, limitRules)
	if err != nil {
		return nil, err
	}
	return s.change(r, func(q *quotaRule) error {
		fresh := settings{}
		for name, value := range q.Limits {
			fresh[name] = value
		}
		for name, value := range set {
			fresh[name] = value
		}
		changed, err := limits(fresh)
		if err == nil {
			q.Limits = changed
		}
		return err
	})
}

func (s quotaCalls) delete(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	return s.change(r, func(q *quotaRule) error {
		s.world.Quotas = slices.DeleteFunc(s.world.Quotas, func(o *quotaRule) bool { return o == q })
		return nil
	})
}

// change runs do on the path's rule in a job, with mu held.
func (s quotaCalls) change(r *call, do func(*quotaRule) error) (any, error) {
	s.mu.Lock()
	there := s.find(r.vars["uuid"]) != nil
	s.mu.Unlock()
	if !there {
		return nil, noRule
	}
	return s.start(r, "", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		q := s.find(r.vars["uuid"])
		if q == nil {
			return noRule
		}
		if err := do(q); err != nil {
			return err
		}
		return s.save()
	})
}

// reports counts the qtrees of the volumes whose quotas are on and that have a
// rule. The default rule counts for a qtree without one of its own; byDefault
// shows it too, as the qtree *.
func (s quotaCalls) reports(byDefault bool) collection {
	volumes := volumeCalls(s).volumes().records
	s.mu.Lock()
	qtrees, quotas := slices.Clone(s.world.Qtrees), slices.Clone(s.world.Quotas)
	s.mu.Unlock()
	c := collection{schema: reportSchema, key: "index", defaults: []string{"svm", "volume", "type", "qtree"},
		self: func(x record) string {
			return "/api/storage/quota/reports/" + x.text("volume.uuid") + "/" + x.text("index")
		}}
	for _, v := range volumes {
		if v.text("quota.state") != "on" {
			continue
		}
		for _, q := range quotas {
			if q.Volume == v.text("uuid") && q.Qtree == "" && byDefault {
				x := named(v)
				x.set("index", 0)
				x.set("type", "tree")
				x.set("qtree.name", "*")
				x.set("space.used.total", 0)
				x.set("files.used.total", 0)
				q.Limits.show(x)
				c.records = append(c.records, x)
			}
		}
		for _, tree := range qtrees {
			if tree.Volume != v.text("uuid") {
				continue
			}
			var own, all settings
			for _, q := range quotas {
				switch {
				case q.Volume == tree.Volume && q.Qtree == tree.Name:
					own = q.Limits
				case q.Volume == tree.Volume && q.Qtree == "":
					all = q.Limits
				}
			}
			if own == nil {
				own = all
			}
			if own == nil {
				continue
			}
			s.mu.Lock()
			dir := s.dirOf(tree.Volume)
			s.mu.Unlock()
			sum, err := dir.Sum(tree.Name)
			if err != nil {
				continue // it is gone
			}
			x := named(v)
			x.set("index", tree.ID)
			x.set("type", "tree")
			x.set("qtree.name", tree.Name)
			x.set("qtree.id", tree.ID)
			for what, used := range map[string]int64{"space": sum.Bytes, "files": sum.Files + sum.Directories + 1} {
				x.set(what+".used.total", used)
				for _, kind := range []string{"hard_limit", "soft_limit"} {
					if limit, _ := own[what+"."+kind].(int64); limit > 0 {
						x.set(what+"."+kind, limit)
						x.set(what+".used."+kind+"_percent", 100*used/limit)
					}
				}
			}
			c.records = append(c.records, x)
		}
	}
	return c
}

func (s quotaCalls) reportList(r *call) (any, error) {
	shown := orString(r.query.Get("show_default_records"), "true")
	if err := boolean("show_default_records", shown); err != nil {
		return nil, err
	}
	return s.reports(shown == "true").list(r)
}

func (s quotaCalls) reportGet(r *call) (any, error) {
	c := s.reports(true)
	c.records = slices.DeleteFunc(c.records, func(x record) bool { return x.text("volume.uuid") != r.vars["volume.uuid"] })
	return c.one(r, r.vars["index"])
}
