// Package dashboard is the page that shows what runs where: nodes with their
// tasks, the tasks' volumes, the volumes' snapshots, and what is in them.
//
//	d, err := dashboard.New(dashboard.Config{Berth: dashboard.NewClient(find), Docker: engine, Listen: "127.0.0.1:8080"})
//	err = d.Serve(ctx, listener)
//
// It is read-only by construction: the two interfaces it is handed have no
// call that changes anything, and every address answers GET and HEAD alone.
// What it does not promise: it knows no users. Whoever reaches it reads every
// file that a snapshot has.
package dashboard
