package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/df"
	"github.com/casit/berth/volume"
)

// routes are the routes that a Client may ask: they only read, and leave no
// trace but a line in a debug log.
var routes = []string{
	"Berth.Version", "Berth.VolumeInspect", "Berth.VolumeUsers", "Berth.Usage",
	"Berth.SnapshotNewest", "Berth.SnapshotList", "Berth.SnapshotBrowse", "Berth.SnapshotDiff", "Berth.SnapshotCat",
}

// Client is a Berth over a plugin's socket.
type Client struct {
	find func() (socket string, err error)

	mu   sync.Mutex // guards last
	last *plugin.Client
}

// NewClient returns a Client of the plugin whose socket find names. It calls
// find for each request, because an upgraded plugin has another socket.
func NewClient(find func() (socket string, err error)) *Client { return &Client{find: find} }

var _ Berth = (*Client)(nil)

// to is the connection for a route, if the route is allowed.
func (c *Client) to(route string) (*plugin.Client, error) {
	if !slices.Contains(routes, route) {
		return nil, fmt.Errorf("the dashboard only reads, and does not ask %s", route)
	}
	socket, err := c.find()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil || c.last.Socket != socket {
		c.last = plugin.NewClient(socket, "dashboard")
	}
	return c.last, nil
}

func call[Resp any](ctx context.Context, c *Client, route string, req any) (resp Resp, err error) {
	p, err := c.to(route)
	if err != nil {
		return resp, err
	}
	return resp, p.Call(ctx, route, req, &resp)
}

// About describes the plugin and its export.
func (c *Client) About(ctx context.Context) (plugin.About, error) {
	return call[plugin.About](ctx, c, "Berth.Version", plugin.Empty{})
}

// Volumes describes the named volumes, or all.
func (c *Client) Volumes(ctx context.Context, names []string, size bool) ([]*volume.Info, error) {
	got, err := call[plugin.Volumes](ctx, c, "Berth.VolumeInspect", plugin.InspectRequest{Names: names, Size: size})
	return got.Volumes, err
}

// Users lists the users of volumes, and what is under way.
func (c *Client) Users(ctx context.Context) (plugin.Users, error) {
	return call[plugin.Users](ctx, c, "Berth.VolumeUsers", plugin.UsersRequest{})
}

// Newest is the export's newest snapshot.
func (c *Client) Newest(ctx context.Context) (plugin.Newest, error) {
	return call[plugin.Newest](ctx, c, "Berth.SnapshotNewest", plugin.Empty{})
}

// Usage says what takes the export's space; it walks the trash.
func (c *Client) Usage(ctx context.Context) (df.Usage, error) {
	return call[df.Usage](ctx, c, "Berth.Usage", plugin.UsageRequest{Trash: true})
}

// Snapshots lists the versions of a volume.
func (c *Client) Snapshots(ctx context.Context, name string) (snapshot.Listing, error) {
	got, err := call[plugin.Listings](ctx, c, "Berth.SnapshotList", snapshot.ListRequest{Volume: name})
	if err != nil || len(got.Volumes) == 0 {
		return snapshot.Listing{}, err
	}
	return got.Volumes[0], nil
}

// Browse looks at a name of a version.
func (c *Client) Browse(ctx context.Context, r snapshot.BrowseRequest) (snapshot.Browsed, error) {
	return call[snapshot.Browsed](ctx, c, "Berth.SnapshotBrowse", r)
}

// Cat writes a file of a version to w.
func (c *Client) Cat(ctx context.Context, r plugin.RefRequest, w io.Writer) error {
	p, err := c.to("Berth.SnapshotCat")
	if err != nil {
		return err
	}
	return p.Stream(ctx, "Berth.SnapshotCat", r, w)
}

// Diff calls fn with what a comparison says. An error of fn ends it.
func (c *Client) Diff(ctx context.Context, r snapshot.DiffRequest, fn func(snapshot.Diff) error) error {
	p, err := c.to("Berth.SnapshotDiff")
	if err != nil {
		return err
	}
	in, out := io.Pipe()
	asked := make(chan error, 1)
	go func() {
		err := p.Stream(ctx, "Berth.SnapshotDiff", r, out)
		out.CloseWithError(err)
		asked <- err
	}()
	for lines := json.NewDecoder(in); ; {
		var d snapshot.Diff
		if err = lines.Decode(&d); err != nil {
			break
		}
		if err = fn(d); err != nil {
			break
		}
	}
	in.CloseWithError(err)
	if failed := <-asked; err == io.EOF {
		return failed
	}
	return err
}
