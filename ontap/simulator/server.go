package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/casit/berth/ontap"
)

// handler answers one call. An error of another type than *failure is an internal
// error.
type handler func(*call) (any, error)

// route has the handlers of a template, by method.
type route map[string]handler

// wire takes a request apart and finds who answers it.
type wire struct{ *Simulator }

// ServeHTTP answers one request as ONTAP would. It checks in ONTAP's order: the
// path, the login, the API, the privilege, and then the rest.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	began := time.Now()
	r := &call{Request: req, header: w.Header(), status: http.StatusOK, schemas: s.schemas, plays: s.cfg.plays}
	defer func() {
		if s.cfg.Log != nil {
			s.cfg.Log(Entry{Method: req.Method, URI: req.RequestURI, Status: r.status, Note: r.note, Took: time.Since(began)})
		}
	}()
	for name, value := range map[string]string{
		"Server": "libzapid-httpd", "X-Content-Type-Options": "nosniff", "Content-Type": "application/hal+json",
		"Cache-Control": "no-cache,no-store,must-revalidate", "Content-Security-Policy": "default-src 'self'",
	} {
		r.header.Set(name, value)
	}
	answer, err := (wire{s}).serve(r)
	send(w, r, answer, err)
}

func (s wire) serve(r *call) (any, error) {
	if dots(r.RequestURI) {
		r.note = "un-encoded dot segment refused; a real filer would have resolved it, and destroyed the volume if this were a DELETE of files/.."
		return nil, fail(http.StatusBadRequest, ontap.CodeInvalidValue, "path", "The path holds an un-encoded %q or %q segment.", ".", "..")
	}
	if path, isAPI := strings.CutPrefix(r.URL.EscapedPath(), "/api"); isAPI {
		if fault := s.fault(r.Method, path); fault != nil {
			if answer, done, err := controls(s).suffer(r, fault); done {
				return answer, err
			}
		}
	}
	return s.afterFaults(r)
}

func (s wire) afterFaults(r *call) (any, error) {
	path, isAPI := strings.CutPrefix(r.URL.EscapedPath(), "/api")
	who, refused := gate(s).login(r)
	if refused != nil {
		if refused.status == http.StatusUnauthorized {
			r.header.Set("WWW-Authenticate", `Basic realm="ONTAP"`)
		}
		return nil, refused
	}
	r.user = who
	if !isAPI {
		return controls(s).control(r)
	}
	found := s.find(r, path)
	if found == nil {
		return nil, apiNotFound
	}
	if r.Method != http.MethodOptions && found[getForHead(r.Method)] == nil {
		return nil, notSupported
	}
	s.mu.Lock()
	access := ontap.Effective(who.privileges, "/api"+path)
	r.pageSize = s.pageSize
	s.mu.Unlock()
	if !access.Allows(r.Method) {
		return nil, notAllowed
	}
	return s.dispatch(r, found)
}

func (s wire) dispatch(r *call, found route) (any, error) {
	var err error
	if r.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return nil, fail(http.StatusBadRequest, "262248", "", "The query string is invalid.")
	}
	if r.Method == http.MethodOptions {
		allow := []string{"OPTIONS"}
		for _, m := range []string{"GET", "HEAD", "POST", "PATCH", "DELETE"} {
			if found[m] != nil || m == "HEAD" && found["GET"] != nil {
				allow = append(allow, m)
			}
		}
		r.header.Set("Allow", strings.Join(allow, ", "))
		return nil, nil
	}
	method := getForHead(r.Method)
	if (method == http.MethodGet || method == http.MethodDelete) && r.ContentLength > 0 {
		return nil, fail(http.StatusBadRequest, "262198", "", "A request body is not allowed on %s.", method)
	}
	return found[method](r)
}

// getForHead is the method that answers: HEAD is GET without the body.
func getForHead(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}

// find is the route of a path below /api; it fills the call's variables.
func (s wire) find(r *call, path string) route {
	// ONTAP accepts a trailing slash, and clients send one.
	have := strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	for template, found := range s.routes() {
		want := strings.Split(strings.TrimPrefix(template, "/"), "/")
		if len(want) != len(have) {
			continue
		}
		vars, ok := map[string]string{}, true
		for i, w := range want {
			value, err := url.PathUnescape(have[i])
			if strings.HasPrefix(w, "{") {
				vars[strings.Trim(w, "{}")] = value
				ok = ok && err == nil && value != ""
			} else {
				ok = ok && w == have[i]
			}
		}
		if ok {
			r.template, r.vars = template, vars
			return s.cfg.released(template, found)
		}
	}
	return nil
}

// dots says whether a request's path has a segment . or .. that is not wholly
// escaped. An escaped slash does not hide one.
func dots(uri string) bool {
	path, _, _ := strings.Cut(uri, "?")
	path = strings.NewReplacer("%2F", "/", "%2f", "/", `%5C`, "/", `%5c`, "/", `\`, "/").Replace(path)
	for _, segment := range strings.Split(path, "/") {
		plain := strings.NewReplacer("%2E", ".", "%2e", ".").Replace(segment)
		if (plain == "." || plain == "..") && strings.Contains(segment, ".") {
			return true
		}
	}
	return false
}

// send writes an answer: a failure's envelope, nothing, JSON, or the text of a
// fault.
func send(w http.ResponseWriter, r *call, answer any, err error) {
	var spoiled *spoiled
	if errors.As(err, &spoiled) {
		spoiled.write(w, r)
		return
	}
	var endless *endless
	if errors.As(err, &endless) {
		endless.write(w, r)
		return
	}
	if err != nil {
		f := fromDir(err)
		r.status = f.status
		answer = f.envelope()
	}
	if answer == nil && r.status == http.StatusOK && r.Method != http.MethodOptions {
		answer = record{}
	}
	var text []byte
	if answer != nil {
		text = encode(answer)
	}
	w.WriteHeader(r.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(text) // an error means that the client has left
	}
}

// encode writes JSON as ONTAP does, with < > & as they are.
func encode(answer any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(answer); err != nil {
		panic("simulator: answer cannot be JSON: " + err.Error()) // a bug of ours; net/http drops the connection
	}
	return out.Bytes()
}

// routes are all endpoints of this cluster.
func (s *Simulator) routes() map[string]route {
	var (
		has   = inventory{s}
		files = fileCalls{s}
		jobs  = jobCalls{s}
		locks = lockCalls{s}
	)
	all := map[string]route{
		"/cluster":                      {"GET": has.cluster},
		"/cluster/jobs":                 {"GET": jobs.list},
		"/cluster/jobs/{uuid}":          {"GET": jobs.get, "PATCH": jobs.patch},
		"/cluster/nodes":                {"GET": has.nodes().list},
		"/cluster/schedules":            {"GET": has.schedules().list},
		"/cluster/schedules/{uuid}":     {"GET": has.schedules().oneBy("uuid")},
		"/svm/svms":                     {"GET": has.svmRecords().list},
		"/svm/svms/{uuid}":              {"GET": has.svmRecords().oneBy("uuid")},
		"/svm/peers":                    {"GET": has.peers().list},
		"/network/ip/interfaces":        {"GET": has.interfaces().list},
		"/network/ip/interfaces/{uuid}": {"GET": has.interfaces().oneBy("uuid")},
		"/storage/aggregates":           {"GET": has.aggregates().list},
		"/storage/directory-restore":    {"POST": files.directoryRestore},
		"/protocols/locks":              {"GET": locks.list, "DELETE": locks.delete},
		"/protocols/locks/{uuid}":       {"GET": locks.get, "DELETE": locks.deleteOne},
		"/security/login/whoami":        {"GET": has.whoami},
		"/support/ems/application-logs": {"POST": has.emsLog},
	}
	maps.Copy(all, s.storageRoutes())
	maps.Copy(all, gate{s}.securityRoutes())
	return all
}

// oneBy answers GET on the record that the path's variable names.
func (c collection) oneBy(variable string) handler {
	return func(r *call) (any, error) { return c.one(r, r.vars[variable]) }
}
