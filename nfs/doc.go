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
// names; List, ReadAt and Store go through what takes more than one call. All
// may be called concurrently and should be: many calls travel in few packets,
// over few connections. A Client has no state but its connections: handles are
// the caller's to keep.
//
// # Lost connections
//
// A Client connects again by itself and repeats what was not answered, under
// the same xid, so that servers with a reply cache recognize it. Where the
// server does not, the answer to a repetition may be the trace of its first
// sending: Remove finds nothing, Mkdir and Link find the name taken, Rename
// finds the old name gone. Each method reads such answers as its comment says;
// what stays in doubt is an Error that is Replayed.
//
// # What it does not promise
//
// No caching, no locks but for probes (Locker), no UDP, no Kerberos: the server believes what
// AUTH_SYS says. Two calls that are in flight together are carried out in any
// order. A call whose context ends may still be carried out by the server.
// Names and link targets are bytes; what they mean is up to the caller, and so
// is not to follow a symlink.
package nfs
