package uml

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/ontap"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/netapp"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// A Versions is work on versions by the plugin's own packages, beside the
// server, without Docker.
type Versions struct {
	URL      string
	Filer    string // address of its API; "" for none
	Config   string // directory with its password and ca.pem
	Volume   string // to be made first, if it is not there
	Snapshot string // to be made first, "" for none
	Restore  snapshot.RestoreRequest
}

// Restored is what came of it.
type Restored struct {
	Engine  string
	Bytes   int64 // of the version
	Seconds float64
	Wire    int64 // bytes that went over the network, both ways
	Error   string
}

// Versions does the work.
func (a *Agent) Versions(j Versions, out *Restored) error {
	ctx := context.Background()
	target, err := nfs.ParseTarget(j.URL)
	if err != nil {
		return err
	}
	store := volume.New(volume.Config{URL: j.URL, Node: "room", Boot: "boot", LeaseTTL: 9 * time.Second,
		Open: func(ctx context.Context) (tree.FS, error) { return tree.OpenWire(ctx, target, nil) }})
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		store.Run(ctx)
	}()
	defer func() {
		stop()
		<-ended
		store.Close()
	}()
	var filer *netapp.Filer
	if j.Filer != "" {
		client, err := ontap.New(ontap.Config{Address: j.Filer, User: "berth", PasswordFile: j.Config + "/password", CAFile: j.Config + "/ca.pem"})
		if err != nil {
			return err
		}
		defer client.Close()
		filer = netapp.New(client, "svm1", target.Host, target.Path)
	}
	v := snapshot.New(snapshot.Config{Volumes: store, Tuning: snapshot.Tuning{Filer: filer}})
	if j.Volume != "" {
		return store.Create(ctx, j.Volume, nil)
	}
	if j.Snapshot != "" {
		_, err := v.Create(ctx, snapshot.CreateRequest{Name: j.Snapshot})
		return err
	}
	if err := restore(ctx, v, j.Restore, out); err != nil {
		out.Error = err.Error()
	}
	return nil
}

// restore is what the command line does.
func restore(ctx context.Context, v *snapshot.Versions, r snapshot.RestoreRequest, out *Restored) error {
	p, err := v.Plan(ctx, r)
	if err != nil {
		return err
	}
	out.Engine, out.Bytes = string(p.Engine), p.Items[0].Bytes
	began, before := time.Now(), wireBytes()
	job, err := v.Prepare(ctx, p, snapshot.Stopped{})
	if err != nil {
		return err
	}
	if err := v.Start(ctx, job.ID); err != nil {
		return err
	}
	got, err := v.Wait(ctx, job.ID)
	for ; err == nil && !got.Over; got, err = v.Wait(ctx, job.ID) {
	}
	out.Seconds, out.Wire = time.Since(began).Seconds(), wireBytes()-before
	if endErr := v.End(ctx, job.ID); err == nil {
		err = endErr
	}
	return err
}

// wireBytes is what the loopback has carried.
func wireBytes() (n int64) {
	text, _ := os.ReadFile("/proc/net/dev")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "lo:"); ok {
			_, _ = fmt.Sscan(rest, &n)
		}
	}
	return n
}
