// Package nfstest is an NFSv3 server to test against: an export in memory with
// the semantics of a real one, that fails on command.
//
//	s := nfstest.New(t) // listens on loopback, is closed with the test
//	s.WriteFile("/site1/index.php", []byte("<?php"))
//	target, _ := nfs.ParseTarget(s.URL("/"))
//	client, _ := nfs.Dial(ctx, target, nil)
//
//	s.On(nfstest.Rename, 1, nfstest.Fault{Close: true}) // done, but not answered
//
// NFS, MOUNT and the portmapper answer on one port, with XDR of this package's
// own, so that a mistake in the client's is not made twice. Handles, file ids,
// cookies, permissions, hard links, holes, unstable writes and their loss in a
// crash (Restart) are what RFC 1813 says. It does not promise speed, and has no
// locks (NLM), no DRC unless asked for (SetReplyCache) and no UDP.
package nfstest
