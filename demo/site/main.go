// Command site is the demo's web site: one page and the plugins that it is made
// of, all in its volume.
//
//	site            serve on port 80 from /data, where it installs itself first
//	site get        what a browser would get
//	site update     an update that goes wrong
//	site cat FILE   print a file
//
// get asks the site itself, for engines that publish no port.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const (
	root    = "/data"
	index   = root + "/index.php"
	address = "http://127.0.0.1:80/"
	posts   = 412
)

// plugins are the site's, with the number of files that each has.
var plugins = map[string]int{"akismet": 214, "gallery": 96, "contact-form": 31}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 0:
		return serve()
	case args[0] == "get":
		return show(http.Get(address))
	case args[0] == "update":
		return update()
	case args[0] == "cat" && len(args) == 2:
		text, err := os.ReadFile(args[1])
		fmt.Print(string(text))
		return err
	}
	return fmt.Errorf("usage: site [get | update | cat FILE]")
}

// serve ends when it is told to, as a web server does.
func serve() error {
	if err := install(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: ":80", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(index)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(text)
	})}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	err := server.ListenAndServe()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// install fills an empty volume.
func install() error {
	if _, err := os.Stat(index); err == nil {
		return nil
	}
	for plugin, files := range plugins {
		for i := range files {
			if err := write(fmt.Sprintf("plugins/%s/%03d.php", plugin, i), fmt.Sprintf("<?php /* %s, part %d */\n", plugin, i)); err != nil {
				return err
			}
		}
	}
	return write("index.php", fmt.Sprintf("Our blog, %d posts\n", posts))
}

// update is what the demo has to be saved from.
func update() error {
	err := os.RemoveAll(root + "/plugins/akismet")
	return errors.Join(err, write("index.php", "HACKED\n"), write("uploads/x.php", "<?php eval($_POST['x']);\n"))
}

func write(name, text string) error {
	name = filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), 0o644)
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
