package proxy

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

func TestANodeThatIsDown(t *testing.T) {
	t.Parallel() // it waits most of the time
	f := newFarm(t, "proxy1")
	p := f.Host("proxy1")
	f.render(t, service("app", 8081, "site=app.example.edu"))
	f.certify(t, p, "app.example.edu")
	f.mustApply(t, p)
	answers := func(n int, args ...string) map[string]int {
		t.Helper()
		nodes := map[string]int{}
		for range n {
			a := f.get(t, p, "https://app.example.edu/", args...)
			require.Equal(t, 200, a.Status)
			nodes[a.Node]++
		}
		return nodes
	}
	require.Len(t, answers(12), 3, "every node is a way")

	// No power: nothing says that it is gone.
	require.NoError(t, f.Host("node2").Cut())
	require.Zero(t, answers(12, "--max-time", "60")["node2"])
	require.Zero(t, answers(12, "-d", "x=y")["node2"], "also what may change something: it has not been sent")
	require.NoError(t, f.Host("node2").Heal())
	lab.Eventually(t, "node2 is asked again", func() error {
		if answers(6)["node2"] == 0 {
			return fmt.Errorf("not yet")
		}
		return nil
	})

	// A node that goes while it owes an answer: the kernel notices.
	control(t, f.Host("node2"), "mode=hang")
	before := control(t, f.Host("node2"), "count=/")
	waiting := make(chan map[string]int)
	go func() {
		nodes := map[string]int{}
		for range 3 {
			a, err := f.tryGet(p, "https://app.example.edu/", "--max-time", "110")
			if err == nil {
				nodes[a.Node]++
			}
		}
		waiting <- nodes
	}()
	lab.Eventually(t, "a request at node2", func() error {
		if control(t, f.Host("node2"), "count=/") == before {
			return fmt.Errorf("none yet")
		}
		return nil
	})
	require.NoError(t, f.Host("node2").Cut())
	nodes := <-waiting
	require.Equal(t, 3, nodes["node1"]+nodes["node3"], "%v", nodes)
	require.NoError(t, f.Host("node2").Heal())

	// An error page of the application is no node that is down: the site says it
	// for as long as the application does, and not a second longer.
	f.everywhere(t, "fail")
	for range 12 {
		a := f.get(t, p, "https://app.example.edu/")
		require.Equal(t, 503, a.Status)
		require.Equal(t, "out of order\n", a.Body)
	}
	f.everywhere(t, "")
	answers(12)
}

// Nobody has the port, as while a service's only task moves.
func TestNoNodeAnswers(t *testing.T) {
	f := newFarm(t, "proxy1")
	p := f.Host("proxy1")
	f.render(t, service("app", 8081, "site=app.example.edu"))
	f.certify(t, p, "app.example.edu")
	f.mustApply(t, p)
	for _, task := range f.tasks {
		task.Kill()
	}
	require.Equal(t, 502, f.get(t, p, "https://app.example.edu/").Status)
	startBackend(t, f.Host("node3"), "8081")
	lab.Eventually(t, "an answer", func() error {
		a, err := f.tryGet(p, "https://app.example.edu/")
		if err == nil && a.Status != 200 {
			err = fmt.Errorf("%d", a.Status)
		}
		return err
	})
}
