package ontap

import (
	"context"
	"net/url"
	"slices"
	"strings"
)

// SVM is a storage virtual machine.
type SVM struct {
	Ref
	State   string `json:"state"`   // starting, running, stopping, stopped, deleting
	Subtype string `json:"subtype"` // default, dp_destination, sync_source, sync_destination
	NFS     struct {
		Enabled bool `json:"enabled"`
	} `json:"nfs"`
}

const svmFields = "name,uuid,state,subtype,nfs.enabled"

// SvmList reads all SVMs that the user may see (GET /svm/svms, 9.6).
func (c *Client) SvmList(ctx context.Context) ([]SVM, error) {
	return list[SVM](ctx, c, "/svm/svms", fields(svmFields))
}

// SvmGetByName reads one SVM (GET /svm/svms, 9.6).
func (c *Client) SvmGetByName(ctx context.Context, name string) (SVM, error) {
	const path = "/svm/svms"
	all, err := list[SVM](ctx, c, path, fields(svmFields, "name", exactly(name)))
	if err != nil {
		return SVM{}, err
	}
	return only(all, path, "SVM "+name)
}

// Interface is a logical network interface (LIF).
type Interface struct {
	Ref
	IP struct {
		Address string `json:"address"`
	} `json:"ip"`
	State    string `json:"state"` // up or down
	SVM      Ref    `json:"svm"`
	Location struct {
		Node     Ref  `json:"node"`
		HomeNode Ref  `json:"home_node"`
		IsHome   bool `json:"is_home"`
	} `json:"location"`
}

// NetInterfaceGetDataLIFs reads the LIFs that serve NFS, up or down; an empty
// svmUUID asks for those of all SVMs (GET /network/ip/interfaces, 9.6).
func (c *Client) NetInterfaceGetDataLIFs(ctx context.Context, svmUUID string) ([]Interface, error) {
	query := fields("name,uuid,ip.address,state,svm,location.node,location.home_node,location.is_home",
		"services", "data_nfs")
	if svmUUID != "" {
		query.Set("svm.uuid", svmUUID)
	}
	return list[Interface](ctx, c, "/network/ip/interfaces", query)
}

// NFSService has the settings of an SVM's NFS service that decide whether clients
// see snapshots and whether locks work.
type NFSService struct {
	Enabled  bool   `json:"enabled"`
	State    string `json:"state"` // online or offline
	SVM      Ref    `json:"svm"`
	Protocol struct {
		V3Enabled  bool `json:"v3_enabled"`
		V3ID64     bool `json:"v3_64bit_identifiers_enabled"`
		V3Features struct {
			HideSnapshot  bool `json:"hide_snapshot_enabled"` // .snapshot is hidden from NFSv3
			FSIDChange    bool `json:"fsid_change"`           // .snapshot has an fsid of its own
			MountRootOnly bool `json:"mount_root_only"`       // MOUNT only from ports below 1024
			EJukebox      bool `json:"ejukebox_enabled"`
		} `json:"v3_features"`
	} `json:"protocol"`
}

// NFSServiceGet reads an SVM's NFS service
// (GET /protocols/nfs/services/{svm.uuid}).
func (c *Client) NFSServiceGet(ctx context.Context, svmUUID string) (NFSService, error) {
	return get[NFSService](ctx, c, "/protocols/nfs/services/"+segment(svmUUID),
		fields("enabled,state,svm,protocol.v3_enabled,protocol.v3_64bit_identifiers_enabled,protocol.v3_features"))
}

// ExportRule is one rule of an export policy; the first that matches counts.
type ExportRule struct {
	Index   int `json:"index"`
	Clients []struct {
		Match string `json:"match"` // address, network, host, .domain or @netgroup
	} `json:"clients"`
	Protocols           []string `json:"protocols"` // any, nfs, nfs3, nfs4, cifs, flexcache
	ROrule              []string `json:"ro_rule"`   // any, none, never, sys, krb5, krb5i, krb5p, ntlm
	RWrule              []string `json:"rw_rule"`
	Superuser           []string `json:"superuser"`      // for which flavours root stays root; none squashes root
	AnonymousUser       string   `json:"anonymous_user"` // the user that a squashed user becomes
	ChownMode           string   `json:"chown_mode"`     // restricted or unrestricted
	AllowSUID           bool     `json:"allow_suid"`
	AllowDeviceCreation bool     `json:"allow_device_creation"`
}

// ExportRuleList reads the rules of an export policy by its id, in the order in
// which they apply (GET /protocols/nfs/export-policies/{policy.id}/rules, 9.6).
func (c *Client) ExportRuleList(ctx context.Context, policyID int64) ([]ExportRule, error) {
	query := fields("index,clients,protocols,ro_rule,rw_rule,superuser,anonymous_user,chown_mode,allow_suid,allow_device_creation",
		"order_by", "index")
	return list[ExportRule](ctx, c, "/protocols/nfs/export-policies/"+itoa(policyID)+"/rules", query)
}

// Lock is a lock on a file, as NLM, NFSv4 or SMB clients hold it.
type Lock struct {
	UUID          string `json:"uuid"`
	Path          string `json:"path"` // from the SVM's root, junctions included
	Protocol      string `json:"protocol"`
	Type          string `json:"type"`  // byte_range, share_level, op_lock, delegation
	State         string `json:"state"` // granted, waiting, ...
	OwnerID       string `json:"owner_id"`
	ClientAddress string `json:"client_address"`
	Volume        Ref    `json:"volume"`
	ByteLock      struct {
		Offset    int64 `json:"offset"`
		Length    int64 `json:"length"` // bytes; huge means to the end
		Exclusive bool  `json:"exclusive"`
	} `json:"byte_lock"`
}

// LockList reads the locks on path, which begins at the SVM's root, and on
// everything below it (GET /protocols/locks, 9.10.1). "" means the whole FlexVol.
// It asks for all locks of the FlexVol: ONTAP does not document which wildcards a
// query may mix with quoted text.
func (c *Client) LockList(ctx context.Context, svmUUID, volumeUUID, path string) ([]Lock, error) {
	all, err := list[Lock](ctx, c, "/protocols/locks", fields("uuid,path,protocol,type,state,owner_id,client_address,volume,byte_lock",
		"svm.uuid", svmUUID, "volume.uuid", volumeUUID))
	path = strings.TrimSuffix(path, "/")
	return slices.DeleteFunc(all, func(l Lock) bool {
		return path != "" && l.Path != path && !strings.HasPrefix(l.Path, path+"/")
	}), err
}

// LockBreak takes one lock away from a client without telling the client
// (DELETE /protocols/locks?uuid=, 9.10.1).
func (c *Client) LockBreak(ctx context.Context, svmUUID string, lock Lock) error {
	if lock.UUID == "" {
		// Without the uuid the query would mean all locks of the SVM.
		return &Error{Op: "DELETE /protocols/locks", Message: "lock has no uuid"}
	}
	_, err := change[struct{}](ctx, c, request{method: "DELETE", path: "/protocols/locks",
		query: url.Values{"svm.uuid": {svmUUID}, "uuid": {exactly(lock.UUID)}}})
	return err
}
