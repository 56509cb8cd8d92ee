package ontap

import (
	"context"
	"net/netip"
)

// Status describes the cluster behind an export, for people. A part that the
// cluster did not tell is zero, and Problems says why.
type Status struct {
	Cluster Cluster
	Export  Export
	Policy  SnapshotPolicy
	NFS     NFSService
	Rules   []ExportRule // of the FlexVol's export policy

	// Hidden says why clients do not see .snapshot; empty if nothing hides it.
	Hidden []string

	DirectoryRestore bool // this release has directory-restore

	Identity Identity
	Missing  []Need // privileges that the user lacks; see Privilege.Grant

	Problems []Problem
}

// Problem is a part of a Status that the cluster did not tell.
type Problem struct {
	Part string // e.g. "snapshot policy"
	Err  error
}

// Status asks for all parts at once and goes on where a part fails, since a role
// may lack one privilege and have the others. It fails only if the cluster
// answers nothing at all. The arguments are those of ExportGet.
func (c *Client) Status(ctx context.Context, svm string, addrs []netip.Addr, exportPath string) (Status, error) {
	var s Status
	var err error
	note := func(part string, err error) bool {
		if err != nil {
			s.Problems = append(s.Problems, Problem{part, err})
		}
		return err == nil
	}
	s.Cluster, err = c.ClusterInfo(ctx)
	if !note("cluster", err) && !lacksPrivilege(err) && s.Cluster.UUID == "" {
		return s, err
	}
	s.Identity, s.Missing, err = c.MissingPrivileges(ctx)
	note("privileges", err)
	s.DirectoryRestore, err = c.DirectoryRestoreSupported(ctx)
	note("directory restore", err)
	if s.Export, err = c.ExportGet(ctx, svm, addrs, exportPath); !note("export", err) {
		return s, nil
	}
	if uuid := s.Export.Volume.SnapshotPolicy.UUID; uuid != "" {
		s.Policy, err = c.SnapshotPolicyGet(ctx, uuid)
		note("snapshot policy", err)
	}
	s.NFS, err = c.NFSServiceGet(ctx, s.Export.SVM.UUID)
	note("nfs service", err)
	s.Hidden = s.Export.Volume.Visibility(s.NFS)
	s.Rules, err = c.ExportRuleList(ctx, s.Export.Volume.NAS.ExportPolicy.ID)
	note("export rules", err)
	return s, nil
}

// lacksPrivilege says that a privilege is missing: the password was right.
func lacksPrivilege(err error) bool {
	_, ok := NeedFor(err)
	return ok
}
