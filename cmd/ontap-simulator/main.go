// Command ontap-simulator runs an ONTAP over a directory, for trying berth
// without a filer and for tests.
//
//	ontap-simulator --listen 127.0.0.1:0 --svm svm1 --volume docker_vols --junction /docker_vols \
//	    --root /srv/export --user admin --password-file pw --ca-out ca.pem
//
// It prints its address as the first line on standard output, then one line
// per request on standard error, and ends on SIGINT or SIGTERM; snapshots stay.
// It does not promise to be a filer: package ontap/simulator says what it is not.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
)

const help = `Usage: ontap-simulator --root DIR --svm NAME --volume NAME --junction PATH --user NAME --password-file FILE [flags]

Runs an ONTAP REST API over DIR, which plays the FlexVol. The address is the
first line on standard output. --version is the release that it plays: what a
release lacks, it refuses.

Faults are asked for while it runs:

  curl -u admin:PASSWORD --cacert ca.pem https://ADDRESS/simulator/faults \
      -d '{"method":"POST","path":"/storage/volumes/*/snapshots","times":1,"job":"fail"}'

with method, path (a pattern below /api), skip, times, latency (ns), status,
code, message, retry_after, drop, drop_answer, body, truncate, empty_page, held
(200 without a job: other administrators must approve) and job (fail, stick or
vanish); GET lists them, DELETE takes them away.

What else happens to a filer is asked for in the same way, by POST:

  /simulator/shell       {"line": "volume modify -vserver svm1 -volume v -snapdir-access false"}
                         types a line into the cluster's shell; "password" is
                         typed where one is asked for
  /simulator/schedules   {"schedule": "hourly"}: the policy takes its snapshots now
  /simulator/autodelete  {"count": 3}: space runs out, the oldest snapshots go
  /simulator/owners      {"snapshot": "a", "owners": ["snapmirror"]}
  /simulator/busy        {"snapshot": "a", "busy": true}
  /simulator/locks       {"path": "/docker_vols/site1/lock"}: a client holds a lock
  /simulator/failover    {"silent": 3, "forgetful": 2}: connections are cut, 3
                         requests get no answer, and 2 questions for a job find none
  /simulator/switchover  {"over": true}: MetroCluster, the SVM is called NAME-mc

--paste types a file, e.g. a role, into the shell at the start, line by line;
refused lines are told on standard error.

Exit status: 0 ended by a signal, 1 failed, 2 usage.

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	var usage usageError
	switch {
	case errors.As(err, &usage):
		if usage != "" {
			fmt.Fprintln(os.Stderr, "ontap-simulator:", usage)
		}
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "ontap-simulator:", err)
		os.Exit(1)
	}
}

// usageError is a command line that makes no sense; "" if flag has said so.
type usageError string

func (e usageError) Error() string { return string(e) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var cfg simulator.Config
	var listen, caOut, roleFile, pasteFile, others string
	var quiet bool
	flags := flag.NewFlagSet("ontap-simulator", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, help); flags.PrintDefaults() }
	flags.StringVar(&listen, "listen", "127.0.0.1:0", "address to serve HTTPS on")
	flags.StringVar(&cfg.Root, "root", "", "directory that is the FlexVol")
	flags.StringVar(&cfg.SVM, "svm", "", "name of the SVM")
	flags.StringVar(&cfg.Volume, "volume", "", "name of the FlexVol")
	flags.StringVar(&cfg.Junction, "junction", "", "junction path of the FlexVol")
	flags.StringVar(&cfg.User, "user", "", "user who may log in")
	flags.StringVar(&cfg.PasswordFile, "password-file", "", "file with the password, read for each request")
	flags.StringVar(&cfg.Version, "version", "9.16.1", "ONTAP release to play: "+strings.Join(simulator.Releases, ", "))
	flags.StringVar(&cfg.LockLengths, "lock-lengths", "", "string or number: how locks' lengths are shown; by default as the release does")
	flags.StringVar(&cfg.StateFile, "state", "", "file that keeps uuids and snapshot records")
	flags.StringVar(&cfg.Address, "address", "127.0.0.1", "IP address of the SVM's NFS interface")
	flags.StringVar(&cfg.Style, "style", "flexvol", "flexvol or flexgroup")
	flags.StringVar(&others, "other-svms", "", "names of further SVMs, with commas")
	flags.StringVar(&caOut, "ca-out", "", "file to write the certificate authority to")
	flags.StringVar(&roleFile, "role", "", "file with security login rest-role lines, the role of --user; without it the user may do everything")
	flags.StringVar(&pasteFile, "paste", "", "file with lines for the cluster's shell; accounts made there get the password of --password-file")
	flags.StringVar(&cfg.WebAccess, "web-access", "", "explicit: a custom role logs in only after 'vserver services web access create'")
	flags.IntVar(&cfg.MaxFailedLogins, "max-failed-logins", 0, "wrong passwords in a row that lock an account made in the shell; 0 is any number")
	flags.StringVar(&cfg.ClientCAFile, "client-ca", "", "file with the authorities of clients' certificates, for accounts of -authentication-method cert")
	flags.StringVar(&cfg.RestoreSpelling, "restore-spelling", "", "vserver or svm: which body directory-restore takes (default vserver)")
	flags.BoolVar(&cfg.Immutable, "immutable", false, "make the files of copied snapshots immutable")
	flags.BoolVar(&quiet, "quiet", false, "no line per request")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return usageError("")
	}
	if flags.NArg() > 0 {
		return usageError("unexpected argument " + flags.Arg(0))
	}
	if others != "" {
		cfg.OtherSVMs = strings.Split(others, ",")
	}
	var err error
	if cfg.Role, err = readRole(roleFile); err != nil {
		return err
	}
	if !quiet {
		cfg.Log = logTo(stderr)
	}
	sim, err := simulator.New(cfg)
	if err != nil {
		return err
	}
	defer sim.Close()
	if err := paste(sim, pasteFile, cfg.PasswordFile, stderr); err != nil {
		return err
	}
	if err := sim.Listen(listen, caOut); err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	fmt.Fprintln(out, sim.Address())
	if err := out.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "ontap-simulator: ONTAP %s on https://%s, snapshots by %s\n", cfg.Version, sim.Address(), sim.Engine())
	<-ctx.Done()
	return sim.Close()
}

// paste types a file into the cluster's shell and tells what was refused.
func paste(sim *simulator.Simulator, file, passwordFile string, stderr io.Writer) error {
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	password, err := os.ReadFile(passwordFile)
	if err != nil {
		return err
	}
	typed, err := sim.Paste(f, strings.TrimRight(string(password), "\r\n"))
	for _, x := range typed {
		if x.Err != nil {
			fmt.Fprintf(stderr, "%s:%d: %s\n  %v\n", file, x.Line, x.Command, x.Err)
		}
	}
	return err
}

func readRole(file string) ([]ontap.Privilege, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return simulator.ParseRole(f)
}

// logTo prints one line per request.
func logTo(w io.Writer) func(simulator.Entry) {
	var mu sync.Mutex // guards w
	return func(e simulator.Entry) {
		note := ""
		if e.Note != "" {
			note = " # " + e.Note
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "%d %s %s %s%s\n", e.Status, e.Method, e.URI, e.Took.Round(1000), note)
	}
}
