// Command berth is the plugin and its operator's command line in one binary:
// `berth serve` is the entrypoint of the managed plugin, every other command
// asks a running one over its socket.
//
//	$ berth volume ls
//	$ berth trash restore blog
//
// It makes and removes no volumes: that is `docker volume create` and `rm`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/text"
)

// version is the release that this is, or becomes.
const version = "0.1.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes, the same for every command.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitInUse       = 4
	exitUnreachable = 5
	exitNothing     = 6
)

const exitHelp = `exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 in use, 5 export unreachable, 6 nothing to do`

// run is the command line without the process around it: stdout is data,
// stderr is talk.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	data, talk := &text.Writer{W: stdout}, &text.Writer{W: stderr}
	defer talk.Close()
	defer data.Close()
	a := &app{stdin: stdin, stdout: data, stderr: talk}
	root := commands(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if v := (*verdict)(nil); errors.As(err, &v) {
		fmt.Fprintln(a.stdout, text.Line(v.line))
		return v.code
	}
	if d := (*differs)(nil); errors.As(err, &d) {
		return exitFailed
	}
	if e := (*examined)(nil); errors.As(err, &e) {
		return e.code
	}
	code, reason, hint := judge(err)
	fmt.Fprintf(a.stderr, "berth: %s\n", text.Message(reason))
	if hint != "" {
		fmt.Fprintf(a.stderr, "berth: hint: %s\n", text.Message(hint))
	}
	return code
}

// usageError is a command line that cannot be right.
type usageError struct{ reason, hint string }

func (e *usageError) Error() string { return e.reason }

// judge turns an error into an exit code and the words for it.
func judge(err error) (code int, reason, hint string) {
	if u := (*usageError)(nil); errors.As(err, &u) {
		return exitUsage, u.reason, u.hint
	}
	f := failureOf(err)
	codes := map[problem.Kind]int{problem.Invalid: exitUsage, problem.NotFound: exitNotFound, problem.InUse: exitInUse,
		problem.Unreachable: exitUnreachable, problem.Nothing: exitNothing}
	if code = codes[f.Kind]; code == 0 {
		code = exitFailed
	}
	return code, f.Reason, f.Hint
}

// commands is the command tree.
func commands(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "berth",
		Short: "Docker volumes on one export, with a way back",
		Long: `berth maps Docker volumes onto the directories of one export, the same on every node.
Volumes are made and removed with 'docker volume create -d berth NAME' and 'docker volume rm NAME'.

` + exitHelp,
		PersistentPreRunE: checkGiven,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.NoArgs,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.socket, "socket", "", "the plugin's socket (default: found by itself)")
	flags.BoolVar(&a.json, "json", false, "print JSON")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print names or ids only")
	flags.BoolVar(&a.utc, "utc", false, "read and print times in UTC")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{err.Error(), fmt.Sprintf("'%s --help' shows the flags", c.CommandPath())}
	})
	for _, c := range []*cobra.Command{
		serveCommand(a),
		volumeCommand(a),
		snapshotCommand(a),
		trashCommand(a),
		importCommand(a),
		stackCommand(a),
		dfCommand(a),
		auditCommand(a),
		doctorCommand(a),
		ontapCommand(a),
		proxyCommand(a),
		dashboardCommand(a),
		versionCommand(a),
		manCommand(a),
	} {
		root.AddCommand(c)
	}
	for of, aliases := range map[string][]*cobra.Command{
		"volume":   {volumeLsCommand(a), psCommand(a)},
		"snapshot": {versionsCommand(a), undoCommand(a), checkCommand(a)},
	} {
		for _, alias := range aliases {
			alias.Short += fmt.Sprintf(" (short for 'berth %s %s')", of, alias.Name())
			root.AddCommand(alias)
		}
	}
	root.AddCommand(&cobra.Command{
		Use: "rm", Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return &usageError{"berth does not remove volumes", "type 'docker volume rm NAME'; 'berth trash restore NAME' brings it back"}
		},
	})
	usageErrors(root)
	return root
}

// usageErrors makes every command's complaint about its arguments a usage
// error, and a group without a verb too.
func usageErrors(c *cobra.Command) {
	c.SuggestionsMinimumDistance = 2
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				hint := fmt.Sprintf("'%s --help' shows how", c.CommandPath())
				if len(args) > 0 {
					if near := c.SuggestionsFor(args[0]); len(near) > 0 {
						hint = "did you mean '" + c.CommandPath() + " " + near[0] + "'?"
					}
				}
				return &usageError{err.Error(), hint}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usageErrors(sub)
	}
}

// group is a command that only has verbs below it.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		return &usageError{fmt.Sprintf("'%s' needs a verb", c.CommandPath()), fmt.Sprintf("'%s --help' lists the verbs", c.CommandPath())}
	}}
	c.AddCommand(verbs...)
	return c
}
