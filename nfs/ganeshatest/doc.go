// Package ganeshatest runs nfs-ganesha for tests, in namespaces of their own.
//
//	func TestX(t *testing.T) {
//		if why := ganeshatest.Missing(); why != "" {
//			treetest.Skip(t, why)
//		}
//		if !ganeshatest.Inside(t) {
//			return // this process has run the test in another one
//		}
//		os.Mkdir("/run/export", 0o755)
//		server := ganeshatest.Start(t, ganeshatest.Export{Dir: "/run/export"})
//		client, err := nfs.Dial(ctx, server.Target("/run/export"), nil)
//		...
//	}
//
// The network there is a loopback of its own, /run an empty tmpfs. Processes
// and mounts end with the test, however it ends. Locks need StartStatd. It does
// not promise UDP or NFSv4, and needs root and Linux.
package ganeshatest
