// Command judge runs gosec over what berth is made of, and holds its findings to the
// judgements in .ci/gosec: a finding that nobody has judged is an error, and so is a
// judgement whose finding is gone.
//
//	go run ./integration/judge             # in the project's root; 'make gosec'
//	go run ./integration/judge -unjudged   # prints the rows that are missing
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	gosec = "github.com/securego/gosec/v2/cmd/gosec@v2.30.0"
	file  = ".ci/gosec"
)

// tests are directories of which nothing is in the binary.
var tests = []string{"integration", "demo", "nfs/nfstest", "nfs/ganeshatest", "tree/treetest", "problem/problemtest", "docker/dockertest",
	"ontap/simulator", "ontap/internal", "cmd/ontap-simulator"}

func main() {
	unjudged := flag.Bool("unjudged", false, "print rows for the findings that are not judged")
	flag.Parse()
	if err := run(*unjudged); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func run(unjudged bool) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	judged, err := parse(string(text))
	if err != nil {
		return err
	}
	found, err := look()
	if err != nil {
		return err
	}
	missing, gone := compare(found, judged)
	if unjudged {
		for _, f := range missing {
			fmt.Printf("%s | %s | %s | \n", f.Rule, f.File, f.Source)
		}
		return nil
	}
	for _, f := range missing {
		fmt.Fprintf(os.Stderr, "not judged: %s %s: %s: %s\n", f.Rule, f.File, f.Details, f.Source)
	}
	for _, f := range gone {
		fmt.Fprintf(os.Stderr, "judged and gone: %s %s: %s\n", f.Rule, f.File, f.Source)
	}
	if len(missing)+len(gone) > 0 {
		return fmt.Errorf("mend what is found, or judge it in %s; remove the rows of what is gone", file)
	}
	fmt.Printf("gosec: %d kinds of findings, all judged in %s\n", len(judged), file)
	return nil
}

// finding is a line of code that a rule of gosec is about. Lines that read the same
// in one file are one finding.
type finding struct{ Rule, File, Source string }

// found is a finding and what gosec says.
type found struct {
	finding
	Details string
}

// parse reads judgements: "RULE | FILE | SOURCE | why it is as it should be".
func parse(text string) (map[finding]string, error) {
	judged := map[finding]string{}
	for i, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		rule, rest, _ := strings.Cut(line, " | ")
		name, rest, _ := strings.Cut(rest, " | ")
		end := strings.LastIndex(rest, " | ")
		if end < 0 || strings.TrimSpace(rest[end+3:]) == "" {
			return nil, fmt.Errorf("%s:%d: want RULE | FILE | SOURCE | WHY", file, i+1)
		}
		judged[finding{rule, name, rest[:end]}] = rest[end+3:]
	}
	return judged, nil
}

// compare returns the findings that are not judged, and the judgements of nothing.
func compare(all []found, judged map[finding]string) (missing []found, gone []finding) {
	there := map[finding]bool{}
	for _, f := range all {
		if _, ok := judged[f.finding]; !ok && !there[f.finding] {
			missing = append(missing, f)
		}
		there[f.finding] = true
	}
	for f := range judged {
		if !there[f] {
			gone = append(gone, f)
		}
	}
	slices.SortFunc(gone, func(a, b finding) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return missing, gone
}

// look runs gosec.
func look() ([]found, error) {
	args := []string{"run", gosec, "-quiet", "-no-fail", "-fmt", "json"}
	for _, dir := range tests {
		args = append(args, "-exclude-dir", dir)
	}
	cmd := exec.Command("go", append(args, "./...")...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, talk.Bytes())
	}
	var report struct {
		Issues []struct {
			Rule    string `json:"rule_id"`
			Details string `json:"details"`
			File    string `json:"file"`
			Line    string `json:"line"`
		}
		Errors map[string]any `json:"Golang errors"`
		Stats  struct{ Files int }
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return nil, err
	}
	if len(report.Errors) > 0 || report.Stats.Files == 0 {
		return nil, fmt.Errorf("gosec read %d files, errors: %v", report.Stats.Files, report.Errors)
	}
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	var all []found
	for _, i := range report.Issues {
		name, err := filepath.Rel(root, i.File)
		if err != nil {
			return nil, err
		}
		first, _, _ := strings.Cut(i.Line, "-")
		source, err := line(name, first)
		if err != nil {
			return nil, err
		}
		all = append(all, found{finding{i.Rule, name, source}, i.Details})
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return all, nil
}

// line is one line of a file, counted from 1.
func line(name, number string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(number)
	lines := strings.Split(string(text), "\n")
	if err != nil || n < 1 || n > len(lines) {
		return "", errors.Join(err, fmt.Errorf("%s has no line %s", name, number))
	}
	return strings.TrimSpace(lines[n-1]), nil
}
