// Package job carries plans out that exchange trees of volumes: a restore, an undo,
// a takeover, a clone. A job outlives the request that began it, and a crash of its
// node: its journal is on the export, beside the trees that it makes.
//
//	j := &job.Job{Op: cluster.OpRestore, Engine: "copy", Items: []job.Item{{Volume: "blog", Dest: "blog", Trash: id}}}
//	err := jobs.Prepare(ctx, j)
//	run, err := jobs.Start(ctx, j, job.Work{Fill: makeTheTrees})
//	progress, err := jobs.Wait(ctx, j.ID)
//
// The states of a job, and who moves it on:
//
//	           Start               every tree is made
//	prepared ─────────► copying ──────────────────────► swapping ───────► swapped
//	                     │   ▲                             │                 │
//	             an error│   │Start (--resume)             │the node died:   │End
//	                     ▼   │                             │any node         ▼
//	                    failed ─── End, Abort ──► gone     └──► swapped     gone
//
// Up to swapping, the volumes are as they were, but for files that a live restore has
// replaced; a job whose node dies is interrupted then: Start goes on with it, Abort
// ends it. From swapping on, the job goes forward only: whoever finds the locks of the
// dead node completes the swap. The end of a job is one value with its error: a job
// that has swapped its trees is done, and every other end has an error. A panic is the
// failure of its job.
//
// The package does not know what a volume is: what it has to know is asked through
// Volumes. It does not promise that a job that ended is remembered: End and Abort
// forget it.
package job
