// Package integration tests berth against the real world: Docker engines of
// its own (package lab), the managed plugin as `make plugin` builds it, a swarm
// of three managers.
//
// Every test is named for what it proves. What a machine lacks is said in the
// skip; with BERTH_REQUIRE=all a skip is a failure.
package integration
