// Package plugin is Docker's view of berth: the VolumeDriver verbs and the
// operator's routes on one unix socket, the settings, and the node's one mount
// of the export.
//
//	srv := plugin.New(plugin.Config{Socket: "/run/docker/plugins/berth.sock", Version: "1.0"})
//	err := srv.Run(ctx)
//
// The server listens first: dockerd disables a plugin for good if the plugin does
// not answer within seconds at boot. A wrong setting or an absent filer never
// ends the process; every verb then says what is wrong.
//
// A session is one export, opened with one identity. Settings of the class
// tuning change within a session; another identity is another session.
//
// Every verb may arrive twice, with an empty body, or after a crash. Each verb
// has a deadline that is shorter than dockerd's. Package volume decides what a
// verb does; this package adds the path below the node's mount.
package plugin
