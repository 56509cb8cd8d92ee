package ontap

import "context"

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
			// HideSnapshot is true if .snapshot is hidden from NFSv3. Releases before
			// 9.13.1 do not tell, and leave nil.
			HideSnapshot *bool `json:"hide_snapshot_enabled"`
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
