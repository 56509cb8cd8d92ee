package main

import (
	"os"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
)

// settingsFile can be moved by tests and by several servers on one host.
func settingsFile() string {
	if f := os.Getenv("BERTH_SETTINGS"); f != "" {
		return f
	}
	return plugin.SettingsFile
}

func serveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the plugin: answer Docker on a socket until stopped",
		Example: `  BERTH_EXPORT=file:///srv/volumes berth serve
  BERTH_EXPORT=file:///srv/volumes BERTH_NODE=n2 berth serve --socket /run/docker/plugins/n2.sock`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log := logrus.New()
			log.SetOutput(a.stderr)
			log.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true})
			socket := a.socket
			if socket == "" {
				// A wrong setting must not keep the socket from being there.
				settings, _ := plugin.LoadSettings(settingsFile(), os.Getenv)
				socket = settings.Socket
			}
			if socket == "" {
				socket = defaultSocket
			}
			return plugin.New(plugin.Config{Socket: socket, Version: version, SettingsFile: settingsFile(), Log: log}).Run(c.Context())
		},
	}
}
