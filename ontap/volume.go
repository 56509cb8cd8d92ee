package ontap

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/casit/berth/several"
)

// Volume is a FlexVol, or a FlexGroup, which has the Style flexgroup.
type Volume struct {
	Ref
	SVM   Ref    `json:"svm"`
	Style string `json:"style"` // flexvol, flexgroup, flexgroup_constituent
	NAS   struct {
		Path          string `json:"path"`           // junction path; "" if not mounted
		SecurityStyle string `json:"security_style"` // unix, ntfs, mixed, unified
		ExportPolicy  struct {
			Name string `json:"name"`
			ID   int64  `json:"id"`
		} `json:"export_policy"`
	} `json:"nas"`
	Space struct {
		Size      int64 `json:"size"`      // bytes
		Available int64 `json:"available"` // bytes
		Snapshot  struct {
			Used           *int64 `json:"used"`               // bytes
			ReservePercent *int64 `json:"reserve_percent"`    // of size
			Autodelete     *bool  `json:"autodelete_enabled"` // ONTAP deletes snapshots when space runs out
		} `json:"snapshot"`
	} `json:"space"`
	SnapshotPolicy Ref `json:"snapshot_policy"`

	// SnapshotDirectory is false if clients do not see .snapshot.
	SnapshotDirectory *bool `json:"snapshot_directory_access_enabled"`

	SnapshotLocking *bool  `json:"snapshot_locking_enabled"` // snapshots may be locked until a time
	SnapshotCount   *int64 `json:"snapshot_count"`

	// Analytics is File System Analytics, which counts the bytes below each
	// directory. State is on, off, initializing, initialization_paused or unknown.
	Analytics struct {
		State     string `json:"state"`
		Supported *bool  `json:"supported"`
	} `json:"analytics"`

	// AntiRansomware watches for encryption by malware. State is enabled, paused,
	// dry_run, disabled or one of their transitions; AttackProbability is none,
	// low, moderate or high.
	AntiRansomware struct {
		State             string    `json:"state"`
		AttackProbability string    `json:"attack_probability"`
		Suspects          []Suspect `json:"suspect_files"`
	} `json:"anti_ransomware"`
}

// Suspect is a kind of file that anti-ransomware found suspicious.
type Suspect struct {
	Count  *int64 `json:"count"` // files
	Format string `json:"format"`
}

// VolumeGet reads one volume (GET /storage/volumes/{uuid}, 9.6).
func (c *Client) VolumeGet(ctx context.Context, uuid string) (Volume, error) {
	return getBy(ctx, c, "/storage/volumes/"+segment(uuid), uuid, func(v Volume) string { return v.UUID })
}

// VolumeGetByName reads one volume of an SVM (GET /storage/volumes, 9.6).
func (c *Client) VolumeGetByName(ctx context.Context, svmUUID, name string) (Volume, error) {
	const path = "/storage/volumes"
	all, err := list[Volume](ctx, c, path, where("svm.uuid", svmUUID, "name", exactly(name)))
	if err != nil {
		return Volume{}, err
	}
	return only(all, path, "volume "+name, func(v Volume) bool { return v.Name == name && v.SVM.UUID == svmUUID })
}

// Export is the place of an NFS export on the cluster.
type Export struct {
	SVM    SVM
	Volume Volume
	Sub    string // the part of the path below the junction, e.g. "sub/dir", or ""
}

// ExportGet finds the FlexVol and SVM behind an export path by its junction
// path. An svm of "" means any SVM with that junction path; of several, the SVM
// that serves NFS on one of addrs. An SVM that a MetroCluster switchover has
// renamed to NAME-mc is found by NAME. ExportGet uses
// GET /storage/volumes?nas.path= (9.6), and GET /network/ip/interfaces or
// GET /svm/svms (9.6) only where several SVMs or none have the path.
//
// If no FlexVol has the path, the error matches fs.ErrNotExist and lists the
// junction paths that exist. For a FlexGroup it matches errors.ErrUnsupported.
func (c *Client) ExportGet(ctx context.Context, svm string, addrs []netip.Addr, exportPath string) (Export, error) {
	var out Export
	clean := path.Clean("/" + exportPath)
	candidates, err := c.volumesAt(ctx, svm, clean)
	if err != nil {
		return out, err
	}
	if len(candidates) == 0 && svm != "" {
		if err := c.svmExists(ctx, svm); err != nil {
			return out, err
		}
	}
	if out.Volume, err = c.choose(ctx, candidates, svm, addrs, clean); err != nil {
		return out, err
	}
	if out.Volume.Style != "flexvol" {
		return out, exportError(errors.ErrUnsupported, clean+" is volume "+out.Volume.Name+" of style "+out.Volume.Style+"; berth needs a FlexVol")
	}
	out.Sub = strings.TrimPrefix(strings.TrimPrefix(clean, out.Volume.NAS.Path), "/")
	out.SVM = SVM{Ref: out.Volume.SVM}
	return out, nil
}

// switched is what MetroCluster appends to an SVM's name on the cluster that has
// taken the SVM over.
const switched = "-mc"

// aliases are the names that an SVM may have, the given one first.
func aliases(svm string) []string {
	if base, ok := strings.CutSuffix(svm, switched); ok {
		return []string{svm, base}
	}
	return []string{svm, svm + switched}
}

// svmExists is an error that matches fs.ErrNotExist if no SVM has one of the names.
func (c *Client) svmExists(ctx context.Context, svm string) error {
	_, err := c.SvmGetByName(ctx, svm)
	if errors.Is(err, fs.ErrNotExist) {
		if _, other := c.SvmGetByName(ctx, aliases(svm)[1]); other == nil {
			return nil
		}
	}
	return err
}

// ofSVM selects the records of an SVM, by all names that it may have.
func ofSVM(query url.Values, svm string) {
	if svm == "" {
		return
	}
	var names []string
	for _, name := range aliases(svm) {
		names = append(names, exactly(name))
	}
	query.Set("svm.name", strings.Join(names, "|"))
}

// volumesAt lists the volumes with the longest junction path that is clean or
// above it. The SVM's root volume is meant only by "/".
func (c *Client) volumesAt(ctx context.Context, svm, clean string) ([]Volume, error) {
	var paths []string
	for p := clean; p != "/"; p = path.Dir(p) {
		paths = append(paths, exactly(p))
	}
	if clean == "/" {
		paths = []string{"/"}
	}
	query := where("nas.path", strings.Join(paths, "|"))
	ofSVM(query, svm)
	all, err := list[Volume](ctx, c, "/storage/volumes", query)
	for _, v := range all {
		if !slices.Contains(paths, exactly(v.NAS.Path)) {
			return nil, exportError(nil, "the answer is about another object than "+clean)
		}
	}
	// The given name counts before the other one.
	if slices.ContainsFunc(all, func(v Volume) bool { return v.SVM.Name == svm }) {
		all = slices.DeleteFunc(all, func(v Volume) bool { return v.SVM.Name != svm })
	}
	longest := 0
	for _, v := range all {
		longest = max(longest, len(v.NAS.Path))
	}
	return slices.DeleteFunc(all, func(v Volume) bool { return len(v.NAS.Path) < longest }), err
}

func (c *Client) choose(ctx context.Context, found []Volume, svm string, addrs []netip.Addr, clean string) (Volume, error) {
	if len(found) > 1 && len(addrs) > 0 {
		lifs, err := c.NetInterfaceGetDataLIFs(ctx, "")
		if err != nil {
			return Volume{}, err
		}
		found = slices.DeleteFunc(found, func(v Volume) bool { return !serves(lifs, v.SVM.UUID, addrs) })
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Volume{}, exportError(fs.ErrNotExist, "no FlexVol is mounted at "+clean+" or above it; there are: "+c.junctions(ctx, svm))
	}
	var names []string
	for _, v := range found {
		names = append(names, v.SVM.Name)
	}
	slices.Sort(names)
	return Volume{}, exportError(nil, clean+" is a junction path of several SVMs, "+several.Join(names, ", ")+"; name one")
}

func serves(lifs []Interface, svmUUID string, addrs []netip.Addr) bool {
	return slices.ContainsFunc(lifs, func(l Interface) bool {
		addr, err := netip.ParseAddr(l.IP.Address)
		return err == nil && l.SVM.UUID == svmUUID && slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap() == addr.Unmap() })
	})
}

// mounted is a volume of which only the junction path counts.
type mounted struct {
	NAS struct {
		Path string `json:"path"`
	} `json:"nas"`
}

// junctions lists junction paths for an error message.
func (c *Client) junctions(ctx context.Context, svm string) string {
	query := where("nas.path", "/*")
	ofSVM(query, svm)
	all, err := list[mounted](ctx, c, "/storage/volumes", query)
	if err != nil || len(all) == 0 {
		return "none"
	}
	var paths []string
	for _, v := range all {
		paths = append(paths, v.NAS.Path)
	}
	slices.Sort(paths)
	if len(paths) > 20 {
		paths = append(paths[:20], "...")
	}
	return strings.Join(paths, " ")
}

func exportError(kind error, message string) *Error {
	return &Error{Op: "GET /storage/volumes", HTTP: http.StatusOK, Message: message, err: kind}
}

// Visibility lists the reasons why a client of the export cannot see .snapshot.
// An empty list means that the cluster does not hide .snapshot.
func (v Volume) Visibility(nfs NFSService) []string {
	var why []string
	if v.SnapshotDirectory != nil && !*v.SnapshotDirectory {
		why = append(why, "the FlexVol hides it; run: volume modify -vserver "+v.SVM.Name+" -volume "+v.Name+" -snapdir-access true")
	}
	if hide := nfs.Protocol.V3Features.HideSnapshot; hide != nil && *hide {
		why = append(why, "the NFS service hides it; run: vserver nfs modify -vserver "+v.SVM.Name+" -v3-hide-snapshot disabled")
	}
	return why
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// isUnsupported says that the cluster does not have the call of a probe.
func isUnsupported(err error) bool { return errors.Is(err, errors.ErrUnsupported) }
