package simulator

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/casit/berth/ontap"
)

// Typed is one line that Paste has typed, and what the cluster's shell said.
type Typed struct {
	Line    int // from 1
	Command string
	Output  string
	Err     error // a refusal, as the shell words it
}

// Paste types lines into the cluster's shell, as an administrator pastes a file
// there: a refused line does not stop the next one. Empty lines and lines that
// begin with # are passed over. Password is typed wherever one is asked for.
func (s *Simulator) Paste(lines io.Reader, password string) ([]Typed, error) {
	var out []Typed
	scanner := bufio.NewScanner(lines)
	for n := 1; scanner.Scan(); n++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		said, err := s.Shell(line, password)
		out = append(out, Typed{Line: n, Command: line, Output: said, Err: err})
	}
	return out, scanner.Err()
}

// command is one command of the cluster's shell. Its options are those that it
// knows; the first of them must be given. Do says what the shell prints.
type command struct {
	must []string
	may  []string
	do   func(*shell) (string, error)
}

// shell is one line on its way.
type shell struct {
	gate
	options  map[string]string
	password string // typed where it is asked for
}

// commands are those that berth, its documents and its role file tell to type.
var commands map[string]command

func init() { // the handlers name the table, so it cannot be initialized in place
	of := func(words string) []string { return strings.Fields(words) }
	commands = map[string]command{
		"security login rest-role create":    {of("-role -api -access"), of("-vserver"), (*shell).roleCreate},
		"security login rest-role modify":    {of("-role -api -access"), of("-vserver"), (*shell).roleModify},
		"security login rest-role delete":    {of("-role -api"), of("-vserver"), (*shell).roleDelete},
		"security login rest-role show":      {nil, of("-vserver -role -api -access"), (*shell).roleShow},
		"security login create":              {of("-user-or-group-name -application -authentication-method"), of("-vserver -role -comment"), (*shell).loginCreate},
		"security login modify":              {of("-user-or-group-name -application -authentication-method"), of("-vserver -role -comment"), (*shell).loginModify},
		"security login delete":              {of("-user-or-group-name -application -authentication-method"), of("-vserver"), (*shell).loginDelete},
		"security login password":            {of("-username"), of("-vserver"), (*shell).loginPassword},
		"security login unlock":              {of("-username"), of("-vserver"), (*shell).loginUnlock},
		"security login show":                {nil, of("-vserver -user-or-group-name -application"), (*shell).loginShow},
		"vserver services web access create": {of("-name -role"), of("-vserver"), (*shell).webCreate},
		"vserver services web access delete": {of("-name -role"), of("-vserver"), (*shell).webDelete},
		"vserver services web access show":   {nil, of("-vserver -name -role"), (*shell).webShow},
		"vserver nfs modify":                 {of("-vserver"), of("-v3 -v3-hide-snapshot"), (*shell).nfsModify},
		"vserver export-policy rule modify":  {of("-vserver -policyname -ruleindex"), of("-superuser -rorule -rwrule -clientmatch"), (*shell).ruleModify},
		"volume modify":                      {of("-vserver -volume"), of("-snapdir-access -snapshot-policy -comment -percent-snapshot-space -snapshot-locking-enabled"), (*shell).volumeModify},
		"volume analytics on":                {of("-vserver -volume"), nil, (*shell).analyticsOn},
		"volume analytics off":               {of("-vserver -volume"), nil, (*shell).analyticsOff},
		"volume quota on":                    {of("-vserver -volume"), nil, (*shell).quotaOn},
		"volume quota off":                   {of("-vserver -volume"), nil, (*shell).quotaOff},
		"volume snapshot policy modify":      {of("-policy"), of("-vserver -enabled -comment"), (*shell).policyModify},
		"network interface show":             {nil, of("-vserver -services"), (*shell).interfaceShow},
	}
}

// Shell runs one line of the cluster's shell as its administrator, and returns what
// it prints; the error is a refusal as the shell words it. A release refuses the
// lines that name what it lacks. Password is typed, twice, where it is asked for.
func (s *Simulator) Shell(line, password string) (string, error) {
	words, err := wordsOf(line)
	if err != nil {
		return "", err
	}
	n := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "-") })
	if n < 0 {
		n = len(words)
	}
	name := strings.Join(words[:n], " ")
	known, ok := commands[name]
	if !ok {
		return "", said("%q is not a recognized command", name)
	}
	run := &shell{gate: gate{s}, options: map[string]string{}, password: password}
	for words = words[n:]; len(words) > 0; words = words[2:] {
		option := words[0]
		switch {
		case !slices.Contains(known.must, option) && !slices.Contains(known.may, option):
			return "", said("invalid argument %q", option)
		case len(words) == 1:
			return "", said("Missing value for %s.", option)
		case run.options[option] != "":
			return "", said("%s was specified twice.", option)
		}
		run.options[option] = words[1]
	}
	for _, option := range known.must {
		if run.options[option] == "" {
			return "", said("Missing value for %s.", option)
		}
	}
	if svm := run.options["-vserver"]; svm != "" && svm != "cluster1" && !slices.Contains(s.svms(), svm) {
		return "", said("command failed: The SVM %q does not exist.", svm)
	}
	out, err := known.do(run)
	var refused *failure
	if errors.As(err, &refused) {
		return "", said("command failed: %s", refused.message)
	}
	return out, err
}

// shellError is a refusal in the shell's own words.
type shellError string

func (e shellError) Error() string { return "Error: " + string(e) }

func said(format string, args ...any) error { return shellError(fmt.Sprintf(format, args...)) }

// wordsOf splits a line at spaces, but not within double quotes.
func wordsOf(line string) ([]string, error) {
	var out []string
	var word strings.Builder
	quoted, begun := false, false
	for _, r := range line {
		switch {
		case r == '"':
			quoted, begun = !quoted, true
		case (r == ' ' || r == '\t') && !quoted:
			if begun {
				out = append(out, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quoted {
		return nil, said("a quote is not closed")
	}
	if begun {
		out = append(out, word.String())
	}
	return out, nil
}

// svm is the SVM of -vserver, "" for the cluster.
func (x *shell) svm() string {
	if x.options["-vserver"] == "cluster1" {
		return ""
	}
	return x.options["-vserver"]
}

// rest makes a REST call as the cluster's administrator, past logins and faults,
// and waits for its job.
func (s gate) rest(method, path string, body record) (any, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(method, "https://cluster1/api"+path, strings.NewReader(string(raw)))
	if err != nil {
		return nil, err
	}
	if body == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	r := &call{Request: req, header: http.Header{}, status: http.StatusOK, schemas: s.schemas, plays: s.cfg.plays}
	below, _, _ := strings.Cut(path, "?")
	found := wire(s).find(r, below)
	if found == nil {
		return nil, apiNotFound
	}
	if found[method] == nil {
		return nil, notSupported
	}
	answer, err := wire(s).dispatch(r, found)
	if answer, ok := answer.(record); ok && err == nil && r.status == http.StatusAccepted {
		return answer, s.await(answer.text("job.uuid"))
	}
	return answer, err
}

// await waits for a job's end.
func (s gate) await(uuid string) error {
	s.mu.Lock()
	i := slices.IndexFunc(s.jobs, func(j *job) bool { return j.uuid == uuid })
	if i < 0 {
		s.mu.Unlock()
		return nil
	}
	j := s.jobs[i]
	s.mu.Unlock()
	select {
	case <-j.done:
	case <-s.closed:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.failure != nil {
		return j.failure
	}
	return nil
}

// roleBase is the path of a role's privileges.
func (x *shell) roleBase() string {
	return "/security/roles/" + x.ownerUUID(x.svm()) + "/" + url.PathEscape(x.options["-role"]) + "/privileges"
}

func (x *shell) rolePath() string { return x.roleBase() + "/" + url.QueryEscape(x.options["-api"]) }

// roleCreate adds a line to a role, and makes the role with its first line.
func (x *shell) roleCreate() (string, error) {
	tuple := record{"path": x.options["-api"], "access": x.options["-access"]}
	x.mu.Lock()
	exists := x.findRole(owned{x.svm(), x.options["-role"]}) != nil
	x.mu.Unlock()
	if exists {
		_, err := x.rest("POST", x.roleBase(), tuple)
		return "", err
	}
	_, err := x.rest("POST", "/security/roles", record{"name": x.options["-role"], "owner": record{"uuid": x.ownerUUID(x.svm())}, "privileges": []record{tuple}})
	return "", err
}

func (x *shell) roleModify() (string, error) {
	_, err := x.rest("PATCH", x.rolePath(), record{"access": x.options["-access"]})
	return "", err
}

func (x *shell) roleDelete() (string, error) {
	_, err := x.rest("DELETE", x.rolePath(), nil)
	return "", err
}

func (x *shell) roleShow() (string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out strings.Builder
	for _, one := range append(builtinRoles(x.svms()), x.world.Security.Roles...) {
		for _, p := range one.Privileges {
			owner := orString(one.SVM, "cluster1")
			if x.picks("-vserver", owner) && x.picks("-role", one.Name) && x.picks("-api", p.Path) && x.picks("-access", string(p.Access)) {
				fmt.Fprintf(&out, "%s %s %s %s\n", owner, one.Name, p.Path, p.Access)
			}
		}
	}
	return orString(out.String(), "There are no entries matching your query.\n"), nil
}

// picks says whether an option is absent or has the value.
func (x *shell) picks(option, value string) bool {
	return x.options[option] == "" || x.options[option] == value
}

// method is REST's name for -authentication-method.
func (x *shell) method() string {
	if m := x.options["-authentication-method"]; m != "cert" {
		return m
	}
	return methodCertificate
}

func (x *shell) accountPath(name string) string {
	return "/security/accounts/" + x.ownerUUID(x.svm()) + "/" + url.PathEscape(name)
}

// account is a copy of the account that a line names. It takes mu.
func (x *shell) account() (account, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if found := x.findAccount(owned{x.svm(), x.options["-user-or-group-name"]}); found != nil {
		return *found, true
	}
	return account{}, false
}

func applicationRecords(all []application) []record {
	out := []record{}
	for _, a := range all {
		out = append(out, record{"application": a.Name, "authentication_methods": a.Methods})
	}
	return out
}

// loginCreate makes an account, or gives one another way to log in.
func (x *shell) loginCreate() (string, error) {
	way := application{x.options["-application"], []string{x.method()}}
	name := x.options["-user-or-group-name"]
	have, exists := x.account()
	if !exists {
		body := record{"name": name, "owner": record{"uuid": x.ownerUUID(x.svm())}, "applications": applicationRecords([]application{way})}
		for option, field := range map[string]string{"-role": "role", "-comment": "comment"} {
			if x.options[option] != "" {
				body[field] = x.options[option]
			}
		}
		if x.method() == methodPassword {
			body["password"] = x.password
		}
		_, err := x.rest("POST", "/security/accounts", body)
		return "", err
	}
	if have.may(way.Name, way.Methods[0]) {
		return "", duplicate("name")
	}
	if x.options["-role"] != "" && x.options["-role"] != have.Role {
		return "", fail(http.StatusConflict, "5636098", "role", "The account %q has the role %q.", name, have.Role)
	}
	merged, added := []application{}, false
	for _, a := range have.Applications {
		if a.Name == way.Name {
			a.Methods, added = append(slices.Clone(a.Methods), way.Methods...), true
		}
		merged = append(merged, a)
	}
	if !added {
		merged = append(merged, way)
	}
	body := record{"applications": applicationRecords(merged)}
	if x.method() == methodPassword && have.Hash == "" {
		body["password"] = x.password
	}
	_, err := x.rest("PATCH", x.accountPath(name), body)
	return "", err
}

func (x *shell) loginModify() (string, error) {
	have, exists := x.account()
	if !exists || !have.may(x.options["-application"], x.method()) {
		return "", entryNotFound("name")
	}
	body := record{}
	for option, field := range map[string]string{"-role": "role", "-comment": "comment"} {
		if x.options[option] != "" {
			body[field] = x.options[option]
		}
	}
	_, err := x.rest("PATCH", x.accountPath(have.Name), body)
	return "", err
}

// loginDelete takes one way to log in away, and the account with its last one.
func (x *shell) loginDelete() (string, error) {
	have, exists := x.account()
	if !exists || !have.may(x.options["-application"], x.method()) {
		return "", entryNotFound("name")
	}
	var left []application
	for _, a := range have.Applications {
		if a.Name == x.options["-application"] {
			a.Methods = slices.DeleteFunc(slices.Clone(a.Methods), func(m string) bool { return m == x.method() })
		}
		if len(a.Methods) > 0 {
			left = append(left, a)
		}
	}
	if len(left) == 0 {
		_, err := x.rest("DELETE", x.accountPath(have.Name), nil)
		return "", err
	}
	_, err := x.rest("PATCH", x.accountPath(have.Name), record{"applications": applicationRecords(left)})
	return "", err
}

func (x *shell) loginPassword() (string, error) {
	_, err := x.rest("PATCH", x.accountPath(x.options["-username"]), record{"password": x.password})
	return "", err
}

func (x *shell) loginUnlock() (string, error) {
	_, err := x.rest("PATCH", x.accountPath(x.options["-username"]), record{"locked": false})
	return "", err
}

func (x *shell) loginShow() (string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out strings.Builder
	for _, a := range x.world.Security.Accounts {
		for _, way := range a.Applications {
			owner := orString(a.SVM, "cluster1")
			if !x.picks("-vserver", owner) || !x.picks("-user-or-group-name", a.Name) || !x.picks("-application", way.Name) {
				continue
			}
			locked := "no"
			if a.Locked {
				locked = "yes"
			}
			fmt.Fprintf(&out, "%s %s %s %s %s %s\n", owner, a.Name, way.Name, strings.Join(way.Methods, ","), a.Role, locked)
		}
	}
	return orString(out.String(), "There are no entries matching your query.\n"), nil
}

// webCreate lets a role use a web service; only rest says anything here.
func (x *shell) webCreate() (string, error) {
	if !slices.Contains([]string{"rest", "security", "spi", "docs-api", "compat", "ontapi", "portal"}, x.options["-name"]) {
		return "", entryNotFound("name")
	}
	id := owned{x.svm(), x.options["-role"]}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.findRole(id) == nil:
		return "", noSuchRole
	case x.options["-name"] != "rest":
		return "", nil
	case slices.Contains(x.world.Security.WebAccess, id):
		return "", duplicate("role")
	}
	x.world.Security.WebAccess = append(x.world.Security.WebAccess, id)
	return "", x.save()
}

func (x *shell) webDelete() (string, error) {
	id := owned{x.svm(), x.options["-role"]}
	x.mu.Lock()
	defer x.mu.Unlock()
	i := slices.Index(x.world.Security.WebAccess, id)
	if i < 0 || x.options["-name"] != "rest" {
		return "", entryNotFound("role")
	}
	x.world.Security.WebAccess = slices.Delete(x.world.Security.WebAccess, i, i+1)
	return "", x.save()
}

func (x *shell) webShow() (string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out strings.Builder
	for _, id := range x.world.Security.WebAccess {
		if owner := orString(id.SVM, "cluster1"); x.picks("-vserver", owner) && x.picks("-name", "rest") && x.picks("-role", id.Name) {
			fmt.Fprintf(&out, "%s rest %s\n", owner, id.Name)
		}
	}
	return orString(out.String(), "There are no entries matching your query.\n"), nil
}

// enabled reads enabled, disabled, true, false, on and off.
func enabled(option, value string) (bool, error) {
	switch value {
	case "enabled", "true", "on":
		return true, nil
	case "disabled", "false", "off":
		return false, nil
	}
	return false, invalid(value, option)
}

// nfsModify sets what the shell has on every release, while REST shows
// hide_snapshot_enabled from 9.13.1 on.
func (x *shell) nfsModify() (string, error) {
	if x.svm() != x.cfg.SVM {
		return "", entryNotFound("vserver")
	}
	if value := x.options["-v3"]; value != "" {
		on, err := enabled("-v3", value)
		if err != nil {
			return "", err
		}
		if !on {
			return "", fail(http.StatusBadRequest, "262196", "-v3", "The simulator always serves NFSv3.")
		}
	}
	if value := x.options["-v3-hide-snapshot"]; value != "" {
		on, err := enabled("-v3-hide-snapshot", value)
		if err != nil {
			return "", err
		}
		return "", x.Set(func(set *Settings) { set.HideSnapshot = on })
	}
	return "", nil
}

// volumePath is the REST path of the volume that a line names.
func (x *shell) volumePath() (string, error) {
	answer, err := x.rest("GET", "/storage/volumes?fields=uuid&svm.name="+url.QueryEscape(x.svm())+"&name="+url.QueryEscape(x.options["-volume"]), nil)
	if err != nil {
		return "", err
	}
	list, _ := answer.(record)["records"].([]record)
	if len(list) != 1 {
		return "", entryNotFound("volume")
	}
	return "/storage/volumes/" + list[0].text("uuid"), nil
}

func (x *shell) patchVolume(body record) (string, error) {
	path, err := x.volumePath()
	if err != nil {
		return "", err
	}
	_, err = x.rest("PATCH", path, body)
	return "", err
}

func (x *shell) volumeModify() (string, error) {
	body := record{}
	for option, field := range map[string]string{"-snapdir-access": "snapshot_directory_access_enabled", "-snapshot-locking-enabled": "snapshot_locking_enabled"} {
		if value := x.options[option]; value != "" {
			on, err := enabled(option, value)
			if err != nil {
				return "", err
			}
			body.set(field, on)
		}
	}
	if value := x.options["-snapshot-policy"]; value != "" {
		body.set("snapshot_policy.name", value)
	}
	if value, ok := x.options["-comment"]; ok {
		body.set("comment", value)
	}
	if value := x.options["-percent-snapshot-space"]; value != "" {
		body.set("space.snapshot.reserve_percent", json.Number(value))
	}
	if len(body) == 0 {
		return "", missing("-snapdir-access")
	}
	return x.patchVolume(body)
}

func (x *shell) analyticsOn() (string, error) {
	return x.patchVolume(record{"analytics": record{"state": "on"}})
}

func (x *shell) analyticsOff() (string, error) {
	return x.patchVolume(record{"analytics": record{"state": "off"}})
}

func (x *shell) quotaOn() (string, error) {
	return x.patchVolume(record{"quota": record{"enabled": true}})
}

func (x *shell) quotaOff() (string, error) {
	return x.patchVolume(record{"quota": record{"enabled": false}})
}

func (x *shell) ruleModify() (string, error) {
	answer, err := x.rest("GET", "/protocols/nfs/export-policies?fields=id&name="+url.QueryEscape(x.options["-policyname"]), nil)
	if err != nil {
		return "", err
	}
	list, _ := answer.(record)["records"].([]record)
	if len(list) != 1 {
		return "", entryNotFound("policyname")
	}
	body := record{}
	for option, field := range map[string]string{"-superuser": "superuser", "-rorule": "ro_rule", "-rwrule": "rw_rule"} {
		if value := x.options[option]; value != "" {
			body[field] = strings.Split(value, ",")
		}
	}
	if value := x.options["-clientmatch"]; value != "" {
		body["clients"] = []record{{"match": value}}
	}
	_, err = x.rest("PATCH", "/protocols/nfs/export-policies/"+list[0].text("id")+"/rules/"+url.PathEscape(x.options["-ruleindex"]), body)
	return "", err
}

func (x *shell) policyModify() (string, error) {
	answer, err := x.rest("GET", "/storage/snapshot-policies?fields=uuid&name="+url.QueryEscape(x.options["-policy"]), nil)
	if err != nil {
		return "", err
	}
	list, _ := answer.(record)["records"].([]record)
	if len(list) != 1 {
		return "", entryNotFound("policy")
	}
	body := record{}
	if value := x.options["-enabled"]; value != "" {
		if body["enabled"], err = enabled("-enabled", value); err != nil {
			return "", err
		}
	}
	if value, ok := x.options["-comment"]; ok {
		body["comment"] = value
	}
	_, err = x.rest("PATCH", "/storage/snapshot-policies/"+list[0].text("uuid"), body)
	return "", err
}

func (x *shell) interfaceShow() (string, error) {
	var out strings.Builder
	services := strings.ReplaceAll(x.options["-services"], "-", "_")
	for _, one := range (inventory{x.Simulator}).interfaces().records {
		if x.picks("-vserver", one.text("svm.name")) && (services == "" || slices.Contains(one.values("services"), services)) {
			fmt.Fprintf(&out, "%s %s %s/%s\n", one.text("svm.name"), one.text("name"), one.text("ip.address"), one.text("state"))
		}
	}
	return orString(out.String(), "There are no entries matching your query.\n"), nil
}

// Commands are the commands that Shell knows, sorted.
func Commands() []string { return slices.Sorted(maps.Keys(commands)) }

// ParseRole reads the role that the lines of a file make, `security login
// rest-role create`, modify and delete, whatever release may refuse of them. Empty
// lines, comments with # and other commands are passed over. Paste instead types
// the lines as a release takes them.
func ParseRole(r io.Reader) ([]ontap.Privilege, error) {
	role := []ontap.Privilege{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		words, err := wordsOf(strings.TrimSpace(lines.Text()))
		if err != nil || len(words) < 4 || strings.Join(words[:3], " ") != "security login rest-role" {
			continue
		}
		options := map[string]string{}
		for i := 4; i+1 < len(words); i += 2 {
			options[words[i]] = words[i+1]
		}
		p := ontap.Privilege{Path: options["-api"], Access: ontap.Access(options["-access"])}
		at := slices.IndexFunc(role, func(have ontap.Privilege) bool { return have.Path == p.Path })
		if !strings.HasPrefix(p.Path, "/api") || words[3] != "delete" && p.Access != ontap.AccessNone && !p.Access.Allows("GET") {
			return nil, fmt.Errorf("role: line %d: -api or -access is missing or wrong", n)
		}
		switch {
		case words[3] == "create" && at < 0:
			role = append(role, p)
		case words[3] == "create":
			return nil, fmt.Errorf("role: line %d: %s is there already, so it takes 'modify'", n, p.Path)
		case words[3] == "modify" && at >= 0:
			role[at] = p
		case words[3] == "delete" && at >= 0:
			role = slices.Delete(role, at, at+1)
		case words[3] == "modify" || words[3] == "delete":
			return nil, fmt.Errorf("role: line %d: %s is not there", n, p.Path)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("role: %w", err)
	}
	return role, nil
}
