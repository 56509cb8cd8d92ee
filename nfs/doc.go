// Package nfs speaks NFSv3 to a server: ONC RPC over TCP (RFC 5531), portmap
// and rpcbind (RFC 1833), MOUNT and NFS version 3 (RFC 1813), with nothing in
// the kernel involved, so that no call can hang where a context does not reach.
//
//	target, err := nfs.ParseTarget("nfs://filer.example.edu/docker_vols")
//	…
//	client, err := nfs.Dial(ctx, target, nil)
//	…
//	defer client.Close()
//	site, err := client.Lookup(ctx, client.Root(), "site1")
//	if errors.Is(err, fs.ErrNotExist) {
//		…
//	}
//	err = client.List(ctx, site.Object, func(e *nfs.Entry) error {
//		fmt.Println(e.Name, e.Attr.Size)
//		return nil
//	})
//
// The methods of Client are the procedures of RFC 1813, one to one and with its
// names; List, ReadAt and Store go through what takes more than one call. Call
// them concurrently: many calls then travel in few packets, over few
// connections. A Client has no state but its connections: handles are the
// caller's to keep.
//
// # Lost connections
//
// A Client connects again by itself and repeats what was not answered, under
// the same xid, so that servers with a reply cache recognize it. If the server
// does not recognize the repetition, its answer may show the effect of the
// first sending: Remove finds nothing, Mkdir and Link find the name taken,
// Rename does not find the old name. Each method treats such answers as its
// comment says; if doubt remains, the Error is Replayed.
//
// # What it does not promise
//
// No caching, no locks but for probes (Locker), no UDP, no Kerberos: the server
// believes what AUTH_SYS says. Two calls that are in flight together are
// carried out in any order. A call whose context ends may still be carried out
// by the server. Names and link targets are bytes; the caller decides what they
// mean, and must not follow symlinks by mistake.
package nfs
