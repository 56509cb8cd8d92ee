package nfs_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"strings"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
)

func Example() {
	server, err := nfstest.Start() // stands in for a filer
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.WriteFile("/site1/index.php", []byte("<?php"))

	ctx := context.Background()
	target, err := nfs.ParseTarget(server.URL("/"))
	if err != nil {
		log.Fatal(err)
	}
	client, err := nfs.Dial(ctx, target, &nfs.Config{Credentials: &nfs.Credentials{}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	_, err = client.Lookup(ctx, client.Root(), "site2")
	fmt.Println(errors.Is(err, fs.ErrNotExist), err)

	site, err := client.Lookup(ctx, client.Root(), "site1")
	if err != nil {
		log.Fatal(err)
	}
	made, err := client.Create(ctx, site.Object, "robots.txt", nfs.Guarded, nfs.SetAttr{Set: nfs.SetMode, Mode: 0o644})
	if err != nil {
		log.Fatal(err)
	}
	text := strings.NewReader("User-agent: *\n")
	if _, err := client.Store(ctx, made.Object, text, nfs.Range{Length: text.Size()}); err != nil {
		log.Fatal(err)
	}
	err = client.List(ctx, site.Object, func(e *nfs.Entry) error {
		fmt.Println(e.Name, e.Attr.Size)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// true lookup site2: no such file or directory (NFS3ERR_NOENT)
	// index.php 5
	// robots.txt 14
}
