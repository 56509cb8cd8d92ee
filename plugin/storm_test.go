package plugin

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// try is post without a judgement.
func (s *served) try(route, body string) (string, error) {
	r, err := s.http.Post("http://x/"+route, contentType, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	return string(data), err
}

// Three nodes get all verbs at once, on three names. The race detector looks on; no
// request panics, each has an answer, and afterwards all nodes can use all volumes.
func TestAllVerbsAtOnceOnThreeNodes(t *testing.T) {
	export := t.TempDir()
	var nodes []*served
	for i := range 3 {
		nodes = append(nodes, serve(t, map[string]string{"BERTH_EXPORT": "file://" + export, "BERTH_NODE": fmt.Sprintf("n%d", i+1), "BERTH_LEASE_TTL": "9s"}))
	}
	docker := []string{"Create", "Create", "Remove", "Get", "List", "Path", "Mount", "Unmount"}
	operator := map[string]string{
		"VolumeNames": `{}`, "VolumeInspect": `{"size":true}`, "VolumeUsers": `{"late":true}`, "Audit": `{}`, "Doctor": `{}`, "JobList": `{}`,
		"VolumeSet": `{"name":"NAME","options":{"on-remove":"trash"}}`, "VolumeRelease": `{"name":"NAME","dry_run":true}`, "VolumeRepair": `{"name":"NAME","dry_run":true}`,
		"TrashList": `{}`, "TrashRestore": `{"which":"NAME"}`, "TrashPurge": `{"older_ns":1}`, "Usage": `{"trash":true}`, "ImportConvoy": `{"dry_run":true}`,
		"SnapshotList": `{"volumes":["NAME"]}`, "SnapshotCreate": `{"volumes":["NAME"]}`, "SnapshotNewest": `{}`, "RestorePlan": `{"refs":["NAME@latest"]}`,
		"SnapshotBrowse": `{"ref":"NAME@latest"}`, "SnapshotDiff": `{"ref":"NAME@latest"}`, "VolumeTakeover": `{"name":"NAME","from":"n1"}`, "JobFind": `{"volume":"NAME"}`,
		"SnapshotClone": `{"ref":"NAME@latest","as":"copy-NAME"}`, "Version": `{}`, "ONTAPStatus": `{}`,
	}
	var routes []string
	for route := range operator {
		routes = append(routes, route)
	}
	var callers sync.WaitGroup
	for _, n := range nodes {
		for w := range 6 {
			callers.Go(func() {
				for range 60 {
					name := fmt.Sprintf("v%d", rand.IntN(3))
					route := "VolumeDriver." + docker[rand.IntN(len(docker))]
					body := fmt.Sprintf(`{"Name":%q,"ID":"c%d","Opts":{}}`, name, w)
					if rand.IntN(2) == 0 {
						route = routes[rand.IntN(len(routes))]
						body = strings.ReplaceAll(operator[route], "NAME", name)
						route = "Berth." + route
					}
					answer, err := n.try(route, body)
					if err != nil || strings.Contains(answer, "berth has a bug") || route != "Berth.SnapshotDiff" && !json.Valid([]byte(answer)) {
						t.Errorf("%s %s: %v %s", route, body, err, answer)
					}
				}
			})
		}
	}
	callers.Wait()
	for v := range 3 {
		name := fmt.Sprintf("v%d", v)
		for _, n := range nodes {
			n.ok("Create", map[string]any{"Name": name})
			at := n.ok("Mount", map[string]any{"Name": name, "ID": "last"})["Mountpoint"].(string)
			require.NoError(t, os.WriteFile(filepath.Join(at, n.env["BERTH_NODE"]), nil, 0o644))
			n.ok("Unmount", map[string]any{"Name": name, "ID": "last"})
			require.NotContains(t, n.log.String(), "panicked")
		}
		for _, n := range nodes {
			require.FileExists(t, filepath.Join(export, name, n.env["BERTH_NODE"]))
		}
	}
}
