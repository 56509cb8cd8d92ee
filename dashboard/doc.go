// Package dashboard is the page that shows what runs where: nodes with their
// tasks, the tasks' volumes, the volumes' snapshots, and the snapshots' files.
//
//	d, err := dashboard.New(dashboard.Config{Berth: dashboard.NewClient(find), Docker: engine, Listen: "127.0.0.1:8080"})
//	err = d.Serve(ctx, listener)
//
// It is read-only by construction: its two interfaces have no call that changes
// anything, and every address answers only GET and HEAD. It knows no users:
// everybody who reaches it can read every file of every snapshot.
package dashboard
