// Command site is the demo's web site, a guest book in one file of its volume:
// GET / reads it, POST / adds a line.
//
//	site            serve on port 80, with the guest book in /data
//	site get        what a browser would get
//	site post TEXT  sign the guest book
//
// get and post ask the site itself, for engines that publish no port.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
)

const (
	book    = "/data/guestbook.txt"
	address = "http://127.0.0.1:80/"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 0:
		return http.ListenAndServe(":80", &site{})
	case args[0] == "get":
		return show(http.Get(address))
	case args[0] == "post" && len(args) == 2:
		return show(http.Post(address, "text/plain", strings.NewReader(args[1])))
	}
	return fmt.Errorf("usage: site [get | post TEXT]")
}

// site serves the guest book. The lock keeps two visitors' lines apart.
type site struct{ mu sync.Mutex }

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if r.Method == http.MethodPost {
		err = sign(http.MaxBytesReader(w, r.Body, 1<<10))
	}
	text, readErr := os.ReadFile(book)
	if errors.Is(readErr, fs.ErrNotExist) {
		text, readErr = []byte("(nobody was here yet)\n"), nil
	}
	if err = errors.Join(err, readErr); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(text)
}

// sign adds one line and has it on the disk before the visitor is thanked.
func sign(body io.Reader) error {
	line, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(book, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s\n", strings.TrimSpace(string(line))); err != nil {
		return err
	}
	return f.Sync()
}

func show(answer *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}
