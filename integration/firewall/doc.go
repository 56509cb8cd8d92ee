// Package firewall tests docs/ports.md and deploy/firewall: who may talk to
// whom, on hosts of integration/netns that drop everything else, and on
// engines of integration/lab.
//
// The table in the document is the tests' data. A line that no rule lets in, a
// rule that no line asks for, and a rule whose absence nothing notices fail.
package firewall
