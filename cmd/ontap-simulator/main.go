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
first line on standard output. Faults are asked for while it runs:

  curl -u admin:PASSWORD --cacert ca.pem https://ADDRESS/simulator/faults \
      -d '{"method":"POST","path":"/storage/volumes/*/snapshots","times":1,"job":"fail"}'

with method, path (a pattern below /api), skip, times, latency (ns), status,
code, message, retry_after, drop, drop_answer, body, truncate, empty_page and
job (fail, stick or vanish); GET lists them, DELETE takes them away.

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
	var listen, caOut, roleFile, others string
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
	flags.StringVar(&roleFile, "role", "", "file with security login rest-role create lines; without it the user may do everything")
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
