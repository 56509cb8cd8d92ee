package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/casit/berth/dashboard"
	"github.com/casit/berth/docker"
)

func dashboardCommand(a *app) *cobra.Command {
	cfg := dashboard.Config{Berth: dashboard.NewClient(func() (string, error) { return findSocket(a.socket) }), Docker: engineRuns{}, Version: version}
	c := &cobra.Command{
		Use:   "dashboard",
		Short: "Serve a page that shows what runs where; it changes nothing",
		Long: `Serve a page that shows nodes, their tasks, the tasks' volumes, the volumes' snapshots and what is in them.
The page changes nothing. It has no login: anybody who reaches it can read every file of every snapshot,
also passwords in configuration files. So it listens on loopback; from another machine go through ssh:

  ssh -L 8080:127.0.0.1:8080 NODE

or put it behind a proxy that admits the right people (deploy/stacks/dashboard.yml). The command runs until it is stopped.`,
		Example: "  berth dashboard --listen 127.0.0.1:8080\n" +
			"  berth dashboard --listen 10.1.2.3:8443 --tls-cert cert.pem --tls-key key.pem --host berth.example.edu\n" +
			"  berth dashboard --listen :8080 --plain-http-behind-proxy --host berth.example.edu",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg.Zone, _ = a.zone()
			return runDashboard(c.Context(), a, cfg)
		},
	}
	flags := c.Flags()
	flags.StringVar(&cfg.Listen, "listen", "127.0.0.1:8080", "address to listen on; port 0 takes a free one; unix:PATH is a socket for you alone")
	flags.StringArrayVar(&cfg.Hosts, "host", nil, "name by which browsers may ask for the page; may be repeated")
	flags.StringVar(&cfg.Cert, "tls-cert", "", "certificate, PEM; needed where --listen is not loopback")
	flags.StringVar(&cfg.Key, "tls-key", "", "its key, PEM")
	flags.BoolVar(&cfg.BehindProxy, "plain-http-behind-proxy", false, "speak plain HTTP on any address: a proxy on the same network speaks TLS")
	flags.DurationVar(&cfg.Every, "every", 3*time.Second, "how often berth and Docker are asked while somebody watches")
	flags.BoolVar(&cfg.NoDownload, "no-download", false, "show names and differences, but no file's content")
	return c
}

func runDashboard(ctx context.Context, a *app, cfg dashboard.Config) error {
	d, err := dashboard.New(cfg)
	if u := (*dashboard.UsageError)(nil); errors.As(err, &u) {
		return &usageError{u.Reason, u.Hint}
	}
	if err != nil {
		return err
	}
	l, err := dashboard.Listen(cfg.Listen)
	if err != nil {
		return &usageError{err.Error(), "choose another address: --listen 127.0.0.1:8081"}
	}
	url := d.URL(l.Addr())
	switch {
	case a.json:
		err = a.printJSON(map[string]string{"url": url})
	default:
		a.say("the dashboard is on the address below until Ctrl-C; it only reads")
		_, err = fmt.Fprintln(a.stdout, url)
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return d.Serve(ctx, l)
}

// engineRuns is what the Docker engine of this node says runs, for the dashboard.
type engineRuns struct{}

// Running asks the engine: lists, and nothing else.
func (engineRuns) Running(ctx context.Context) (docker.Cluster, error) { return docker.Running(ctx) }
