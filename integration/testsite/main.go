// Command testsite is the one program in the integration tests' image: it
// writes and reads a volume the way a site does, and says what it saw.
//
//	testsite append FILE     go on with the numbered records of FILE until told to stop
//	testsite stamp FILE      the same, each on stable storage before it is printed
//	testsite write FILE TEXT replace FILE
//	testsite cat FILE        print FILE
//	testsite ls DIR          print the names in DIR
//	testsite serve DIR       serve DIR by HTTP on port 80; PUT writes
//
// append and stamp hold their file open all the time, as databases do. A record is
// "HOST NUMBER"; the first number follows the last one found, so a successor's
// records prove that it read its predecessor's.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testsite:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: testsite append|stamp|write|cat|ls|serve PATH [TEXT]")
	}
	verb, path := args[0], args[1]
	switch verb {
	case "append":
		return appendRecords(path, 20*time.Millisecond, nil)
	case "stamp":
		return appendRecords(path, 100*time.Millisecond, os.Stdout)
	case "write":
		return write(path, []byte(args[len(args)-1]+"\n"))
	case "cat":
		text, err := os.ReadFile(path)
		os.Stdout.Write(text)
		return err
	case "ls":
		entries, err := os.ReadDir(path)
		for _, e := range entries {
			fmt.Println(e.Name())
		}
		return err
	case "serve":
		return http.ListenAndServe(":80", site(path))
	}
	return fmt.Errorf("unknown verb %q", verb)
}

// appendRecords writes a record now and then until SIGTERM. With acks, each is
// on stable storage before the next, and is then printed there.
func appendRecords(path string, pause time.Duration, acks io.Writer) error {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	last, err := lastNumber(path)
	if err != nil {
		return err
	}
	fmt.Println("found", last)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	for next := last + 1; ; next++ {
		if _, err := fmt.Fprintf(f, "%s %d\n", host, next); err != nil {
			return err
		}
		if acks != nil {
			if err := f.Sync(); err != nil {
				return err
			}
			fmt.Fprintf(acks, "%s %d\n", host, next)
		}
		select {
		case <-stop.Done():
			return f.Sync()
		case <-time.After(pause):
		}
	}
}

// lastNumber is the number of the last record, 0 for none.
func lastNumber(path string) (int, error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	last := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var host string
		if _, err := fmt.Sscan(lines.Text(), &host, &last); err != nil {
			return 0, fmt.Errorf("record %q: %w", lines.Text(), err)
		}
	}
	return last, nil
}

func write(path string, text []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.Sync()
}

// site serves the files of dir and replaces them on PUT.
func site(dir string) http.Handler {
	files := http.FileServer(http.Dir(dir))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			files.ServeHTTP(w, r)
			return
		}
		text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err == nil {
			err = write(filepath.Join(dir, filepath.Base(r.URL.Path)), text)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
