// Package plugin is Docker's view of berth: the VolumeDriver verbs and the
// operator's routes on one unix socket, the settings, and the node's one mount
// of the export.
//
//	srv := plugin.New(plugin.Config{Socket: "/run/docker/plugins/berth.sock", Version: "1.0"})
//	err := srv.Run(ctx)
//
// The socket listens before anything else is tried: dockerd disables a plugin
// for good that does not answer within seconds at boot (engine: plugin start).
// A wrong setting or an absent filer never ends the process; every verb then
// says what is wrong.
//
// Every verb may arrive twice, with an empty body, or after a crash; each has a
// deadline of its own below dockerd's. What a verb means is package volume's
// business; this package adds the path below the node's mount.
package plugin
