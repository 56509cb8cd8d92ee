// Package tree works on directory trees of an export through one filesystem
// interface, FS, whatever lies below: a local directory here, our NFSv3 client
// on the wire elsewhere. It knows neither Docker nor the filer.
package tree
