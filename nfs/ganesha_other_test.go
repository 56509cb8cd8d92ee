//go:build !linux

package nfs_test

import "testing"

func benchmarkGanesha(b *testing.B) { b.Skip("nfs-ganesha in a namespace needs Linux") }
