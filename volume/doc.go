// Package volume says what a volume is: a plain directory at the root of the
// export, with its options, its users and its history kept in files under
// .berth on the same export. That export is the only database: there is no
// leader and no lock service, so a Store on each node sees the same volumes.
//
//	s := volume.New(volume.Config{Open: openExport, URL: "file:///export", Node: "node1"})
//	go s.Run(ctx)
//	err := s.Create(ctx, "site1", map[string]string{"uid": "33"})
//	m, err := s.Mount(ctx, "site1", "id-from-dockerd", 1)
//
// # What the export is asked to do
//
// NFSv3 has no append and no exchange, so every control file has one writer,
// or is made by LINK of a fully written private file, or is replaced by RENAME
// of a temporary one. Operations on a name hold .berth/locks/NAME; a Mount
// writes its lease first and looks for a lock afterwards, an operation takes
// the lock first and reads the leases afterwards. One of the two always sees
// the other.
//
// # What it does not promise
//
// The lock keeps berth's own operations apart. It does not keep an
// administrator on the filer from moving a directory, and access=shared
// volumes may be written by every node at once: that is what shared means.
package volume
