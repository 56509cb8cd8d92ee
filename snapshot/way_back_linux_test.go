package snapshot

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
)

// A filer that does not do what it has offered costs a copy, and no restore.
func TestARestoreGoesOnByCopyWhereTheFilerDoesNotDoIt(t *testing.T) {
	if !inFiler(t) {
		return
	}
	for name, c := range map[string]struct {
		fault simulator.Fault
		warns string
		again Engine // of the next restore
	}{
		"the role forbids it":        {simulator.Fault{Status: http.StatusForbidden, Code: ontap.CodePermission}, "Forbidden", EngineCopy},
		"no such API":                {simulator.Fault{Status: http.StatusNotFound, Code: ontap.CodeUnsupported}, "Not Found", EngineCopy},
		"no such method":             {simulator.Fault{Status: http.StatusMethodNotAllowed, Code: ontap.CodeUnsupported}, "Method Not Allowed", EngineCopy},
		"another body":               {simulator.Fault{Status: http.StatusBadRequest, Code: "262245"}, "Bad Request", EngineCopy},
		"its job fails":              {simulator.Fault{Job: "fail"}, "Job failed", EngineCopy},
		"it is busy":                 {simulator.Fault{Status: http.StatusConflict, Code: ontap.CodeInUse}, "Conflict", EngineFiler},
		"the connection breaks":      {simulator.Fault{Drop: true, Times: 1}, "outcome unknown", EngineFiler},
		"its answer is lost":         {simulator.Fault{DropAnswer: true, Times: 1}, "outcome unknown", EngineFiler},
		"its job is gone afterwards": {simulator.Fault{Job: "vanish"}, "outcome unknown", EngineFiler},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFiler(t, 64, restoring(EngineFiler), func(cfg *simulator.Config) { cfg.NoWaiting = c.fault.Job != "" })
			s := size{dirs: 3, perDir: 5}
			f.wordpress("blog", s)
			f.take("nightly")
			f.spoil("blog", s)
			c.fault.Method, c.fault.Path = http.MethodPost, "/storage/directory-restore"
			require.NoError(t, f.sim.Inject(c.fault))

			r := RestoreRequest{Refs: []string{"blog@nightly"}}
			j, err := f.prepare(r)
			require.NoError(t, err)
			require.Equal(t, string(EngineFiler), j.Engine)
			require.NoError(t, f.Start(ctx, j.ID))
			p, err := f.Jobs.Wait(ctx, j.ID)
			for err == nil && !p.Over && len(p.Warnings) == 0 {
				p, err = f.Jobs.Wait(ctx, j.ID)
			}
			require.NoError(t, err)
			for err == nil && !p.Over {
				p, err = f.Jobs.Wait(ctx, j.ID)
			}
			require.NoError(t, err)
			require.Empty(t, p.Error)
			require.Len(t, p.Warnings, 1)
			require.Contains(t, p.Warnings[0], "blog is copied, since the filer has not brought it back: ")
			require.Contains(t, p.Warnings[0], c.warns)
			require.NoError(t, f.Jobs.End(ctx, j.ID))
			f.same(".snapshot/nightly/blog", "blog")

			f.sim.Heal()
			plan, err := f.Plan(ctx, r)
			require.NoError(t, err)
			require.Equal(t, c.again, plan.Engine)
			if c.again == EngineCopy {
				require.Contains(t, plan.Why, "the filer has refused what it offered")
			} else {
				require.Empty(t, plan.Why)
			}
		})
	}
}

// Whether the filer could do it is not known: the plan says so.
func TestAPlanSaysWhyTheFilerDoesNotBringItBack(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 64, restoring(EngineFiler))
	f.wordpress("blog", size{dirs: 1, perDir: 1})
	f.take("nightly")
	require.NoError(t, f.sim.Inject(simulator.Fault{Method: http.MethodOptions, Status: http.StatusForbidden, Code: ontap.CodePermission, Message: "not authorized"}))
	plan, err := f.Plan(ctx, RestoreRequest{Refs: []string{"blog@nightly"}})
	require.NoError(t, err)
	require.Equal(t, EngineCopy, plan.Engine)
	require.Contains(t, plan.Why, "not authorized")
	require.Contains(t, plan.Why, "the role lacks /api/storage/directory-restore")
}
