// Package export is the opened and identified export: the server's directory
// that holds the volumes, and berth's own files below .berth in it.
//
// NFSv3 has no append and no exchange, so every control file has one writer,
// or is made by LINK of a fully written private file (Publish), or is replaced
// by RENAME of a private one (Replace). Nothing else is relied on.
package export
