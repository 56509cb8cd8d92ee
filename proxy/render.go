package proxy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"text/template"
)

// A File is a file that Render makes.
type File struct {
	Name string // below the directory, with slashes
	Data []byte
}

// manifest is the name of the file that lists the others with their sums, as
// sha256sum(1) does. It is written last, so that apply.sh notices an incomplete
// copy of the directory.
const manifest = "manifest"

//go:embed site.conf.tmpl
var siteText string

var siteTemplate = template.Must(template.New("site").Parse(siteText))

// Render makes one include per site, and the manifest of these and of the files that
// are kept as the last file. Every node of the swarm answers on every published port,
// so every site lists all nodes.
func Render(sites []Site, nodes []netip.Addr, kept ...File) []File {
	nodes = slices.Compact(slices.SortedFunc(slices.Values(nodes), netip.Addr.Compare))
	files := slices.Clone(kept)
	for _, s := range sites {
		var ways []netip.AddrPort
		for _, n := range nodes {
			ways = append(ways, netip.AddrPortFrom(n, s.Port))
		}
		var text bytes.Buffer
		if err := siteTemplate.Execute(&text, struct {
			Site
			Nodes []netip.AddrPort
		}{s, ways}); err != nil {
			panic(err) // the template and its data are both ours
		}
		files = append(files, File{s.File(), text.Bytes()})
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	var sums bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(f.Data), f.Name)
	}
	return append(files, File{manifest, sums.Bytes()})
}
