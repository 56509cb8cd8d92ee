package tree

// SetNamesAtOnce changes how many names of a directory are in memory at a time, until
// the func that it returns is called.
func SetNamesAtOnce(n int) (restore func()) {
	was := namesAtOnce
	namesAtOnce = n
	return func() { namesAtOnce = was }
}
