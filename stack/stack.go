// Package stack looks for what ruins data in stack and compose files, and
// compares them with the volumes as they are.
//
//	project, err := stack.Read(ctx, []string{"shop.yml"}, "shop")
//	findings := stack.Check(project, live, "shop")
//
// It reads files and asks nobody. What an image brings itself, such as a
// HEALTHCHECK, is not in a file, so no rule sees it.
package stack

import (
	"context"
	"os"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/casit/berth/problem"
)

// A Finding is one thing about a volume of a stack file. Volume is its name, or
// the directory in the container where it has none.
type Finding struct {
	Volume string `json:"volume"`
	Option string `json:"option,omitempty"`
	File   string `json:"file,omitempty"` // the option's value there
	Live   string `json:"live,omitempty"`
	// Problem is what is wrong, where it is not an option that differs. Note: it
	// is worth a look, and nothing is wrong.
	Problem string `json:"problem,omitempty"`
	Note    bool   `json:"note,omitempty"`
	// Mend is what to type.
	Mend string `json:"mend,omitempty"`
}

// unnamed stands for a stack whose name is not known.
const unnamed = "stack-without-a-name"

// Read parses stack files as one, as 'docker stack deploy -c FILE -c FILE'
// merges them. name is the stack's, "" where it is not known; variables are
// those of the environment. The parser remarks on what is out of date to
// logrus's standard logger.
func Read(ctx context.Context, files []string, name string) (*types.Project, error) {
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			return nil, problem.New(problem.Invalid, "give the files that 'docker stack deploy -c' gets", "%v", err)
		}
	}
	options := func(o *loader.Options) {
		o.Profiles = []string{"*"} // all services, whoever starts them
		o.SkipResolveEnvironment, o.SkipResolveLabels, o.SkipConsistencyCheck = true, true, true
		if name == "" {
			name = unnamed
		}
		o.SetProjectName(name, name != unnamed)
	}
	details, err := loader.LoadConfigFiles(ctx, files, ".", options)
	if err == nil {
		details.Environment = types.NewMapping(os.Environ())
		var project *types.Project
		if project, err = loader.LoadWithContext(ctx, *details, options); err == nil {
			return project, nil
		}
	}
	return nil, problem.New(problem.Invalid, "", "parse %s: %v", strings.Join(files, ", "), err)
}
