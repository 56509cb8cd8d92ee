package dashboard

import (
	"context"
	"io"

	"github.com/casit/berth/docker"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/df"
	"github.com/casit/berth/volume"
)

// Berth is what the page asks the plugin. Errors that the plugin names are
// *plugin.Failure. All methods may be called concurrently.
type Berth interface {
	About(ctx context.Context) (plugin.About, error)
	// Volumes describes the named volumes, or all. size walks them.
	Volumes(ctx context.Context, names []string, size bool) ([]*volume.Info, error)
	Users(ctx context.Context) (plugin.Users, error)
	Newest(ctx context.Context) (plugin.Newest, error)
	Usage(ctx context.Context) (df.Usage, error)
	Snapshots(ctx context.Context, volume string) (snapshot.Listing, error)
	Browse(ctx context.Context, r snapshot.BrowseRequest) (snapshot.Browsed, error)
	Diff(ctx context.Context, r snapshot.DiffRequest, fn func(snapshot.Diff) error) error
	Cat(ctx context.Context, r plugin.RefRequest, w io.Writer) error
}

// Docker is what the page asks the Docker engine.
type Docker interface {
	// Running says what runs: on a manager in the whole swarm, elsewhere on
	// this engine.
	Running(ctx context.Context) (docker.Cluster, error)
}
