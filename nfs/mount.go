package nfs

import (
	"context"
	"fmt"
	"path"
	"slices"
)

// MOUNT's procedures (RFC 1813 §5.2).
const (
	procMnt    = 1
	procExport = 5
)

// Bounds of what MOUNT's lists may have.
const (
	maxFlavours = 64
	maxExports  = 10000
	maxGroups   = 100000
)

// Export is one entry of a server's export list (RFC 1813 §5.2.5).
type Export struct {
	Path   string
	Groups []string // who may mount it, in the server's words; empty for everybody
}

// mnt is MNT (RFC 1813 §5.2.1): the handle of a directory that is exported.
func mnt(ctx context.Context, cfg transportConfig, dir string) (Handle, error) {
	var h Handle
	var status Status
	err := oneCall(ctx, cfg, procMnt,
		func(k *call) { k.head = appendOpaque(k.head, dir) },
		func(d *decoder) { h, status = d.mountRes() })
	if err != nil || status != StatusOK {
		return Handle{}, &Error{Op: "mnt", Name: dir, Status: status, Err: err}
	}
	return h, nil
}

// mountRes is mountres3. An export without AUTH_SYS is refused.
func (d *decoder) mountRes() (h Handle, status Status) {
	if status = Status(d.uint32()); status != StatusOK || d.err != nil {
		return h, status
	}
	h = d.handle()
	n := d.uint32()
	if n > maxFlavours {
		d.fail("%d authentication flavours", n)
		return h, status
	}
	var flavours []uint32
	for range n {
		flavours = append(flavours, d.uint32())
	}
	if d.err == nil && n > 0 && !slices.Contains(flavours, authSys) {
		return Handle{}, StatusAcces
	}
	return h, status
}

// mountDeep mounts dir. If the server mounts nothing below an export's root, it
// mounts the longest part of dir that the server does mount; the caller looks
// the rest up.
func mountDeep(ctx context.Context, cfg transportConfig, dir string) (h Handle, rest []string, err error) {
	var first error
	for {
		h, err = mnt(ctx, cfg, dir)
		switch StatusOf(err) {
		case StatusNoEnt, StatusAcces, StatusNotDir, StatusInval:
			if first == nil {
				first = err
			}
			if dir != "/" {
				rest = append(rest, path.Base(dir))
				dir = path.Dir(dir)
				continue
			}
			return Handle{}, nil, first
		}
		slices.Reverse(rest)
		return h, rest, err
	}
}

// exports is EXPORT's answer.
func (d *decoder) exports() []Export {
	var list []Export
	groups := 0
	for d.bool() {
		e := Export{Path: d.string(maxPath)}
		for d.bool() {
			e.Groups = append(e.Groups, d.string(maxName))
			if groups++; groups > maxGroups {
				d.fail("more than %d groups", maxGroups)
			}
		}
		list = append(list, e)
		if len(list) > maxExports {
			d.fail("more than %d exports", maxExports)
		}
	}
	return list
}

// Exports asks the target's server what it exports (EXPORT, RFC 1813 §5.2.5).
// The target's path is not used. Many servers do not list all their exports.
func Exports(ctx context.Context, target Target, cfg *Config) ([]Export, error) {
	c := cfg.complete()
	d := c.dialer()
	var list []Export
	err := eachAddress(ctx, target.Host, func(host string) error {
		port := target.MountPort
		if port == 0 {
			var err error
			if port, err = getPort(ctx, d, host, progMount, version3, c.transport()); err != nil {
				return fmt.Errorf("ask rpcbind at %s for MOUNT: %w", hostPort(host, portPortmap), err)
			}
		}
		t, err := c.mountTransport(ctx, d, hostPort(host, port))
		if err != nil {
			return err
		}
		return oneCall(ctx, t, procExport, nil, func(d *decoder) { list = d.exports() })
	})
	if err != nil {
		return nil, &Error{Op: "export", Name: target.Host, Err: err}
	}
	return list, nil
}
