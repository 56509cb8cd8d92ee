package ontap

import "context"

// SVM is a storage virtual machine.
type SVM struct {
	Ref
}

// SvmList reads all SVMs that the user may see (GET /svm/svms, 9.6).
func (c *Client) SvmList(ctx context.Context) ([]SVM, error) {
	return list[SVM](ctx, c, "/svm/svms", nil)
}

// SvmGetByName reads one SVM (GET /svm/svms, 9.6).
func (c *Client) SvmGetByName(ctx context.Context, name string) (SVM, error) {
	const path = "/svm/svms"
	all, err := list[SVM](ctx, c, path, where("name", exactly(name)))
	if err != nil {
		return SVM{}, err
	}
	return only(all, path, "SVM "+name, func(s SVM) bool { return s.Name == name })
}

// Interface is a logical network interface (LIF).
type Interface struct {
	IP struct {
		Address string `json:"address"`
	} `json:"ip"`
	SVM Ref `json:"svm"`
}

// NetInterfaceGetDataLIFs reads the LIFs that serve NFS, up or down; an empty
// svmUUID asks for those of all SVMs (GET /network/ip/interfaces, 9.6).
func (c *Client) NetInterfaceGetDataLIFs(ctx context.Context, svmUUID string) ([]Interface, error) {
	query := where("services", "data_nfs")
	if svmUUID != "" {
		query.Set("svm.uuid", svmUUID)
	}
	return list[Interface](ctx, c, "/network/ip/interfaces", query)
}

// NFSService has the setting of an SVM's NFS service that decides whether clients
// see snapshots.
type NFSService struct {
	Protocol struct {
		V3Features struct {
			// HideSnapshot is true if .snapshot is hidden from NFSv3. Releases before
			// 9.13.1 do not tell, and leave nil.
			HideSnapshot *bool `json:"hide_snapshot_enabled"`
		} `json:"v3_features"`
	} `json:"protocol"`
}

// NFSServiceGet reads an SVM's NFS service
// (GET /protocols/nfs/services/{svm.uuid}, 9.6).
func (c *Client) NFSServiceGet(ctx context.Context, svmUUID string) (NFSService, error) {
	return get[NFSService](ctx, c, "/protocols/nfs/services/"+segment(svmUUID), nil)
}

// ExportRule is one rule of an export policy; the first that matches counts.
type ExportRule struct {
	Clients []struct {
		Match string `json:"match"` // address, network, host, .domain or @netgroup
	} `json:"clients"`
	Superuser []string `json:"superuser"` // for which flavours root stays root; none squashes root
}

// ExportRuleList reads the rules of an export policy by its id, in the order in
// which they apply (GET /protocols/nfs/export-policies/{policy.id}/rules, 9.6).
func (c *Client) ExportRuleList(ctx context.Context, policyID int64) ([]ExportRule, error) {
	return list[ExportRule](ctx, c, "/protocols/nfs/export-policies/"+itoa(policyID)+"/rules", where("order_by", "index"))
}
