// Package conformance_test runs the OCI's conformance suite for registries on
// the local ACR. Its one rule: what is switched off is named with its reason,
// and all else passes, with tokens for exactly what is done.
package conformance_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/document"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/program"
)

const (
	root = "../.."
	page = root + "/docs/reference/conformance.md"
)

var update = flag.Bool("update", false, "write the result into the document anew")

// suite is the program of the OCI.
func suite() program.Program {
	const module = "github.com/opencontainers/distribution-spec/conformance"
	return program.Program{Name: "conformance", Folder: "lab/conformance/suite", Package: module, Module: module}
}

// switches are those that are not as the suite has them by default for version
// 1.1 of the specification.
func switches() []struct{ name, value, why string } {
	const noReferrers = "distribution v3.1.2, the registry inside the local ACR, has no referrers API"
	return []struct{ name, value, why string }{
		{"OCI_API_REFERRER", "false", noReferrers},
		{"OCI_DATA_SUBJECT", "false", noReferrers + ": it answers no OCI-Subject"},
		{"OCI_DATA_SUBJECT_MISSING", "false", "the same"},
		{"OCI_DATA_SUBJECT_LIST", "false", "the same"},
		{"OCI_DATA_SHA512", "false", "distribution v3.1.2 answers what is pushed under a sha512 digest with its sha256"},
		{"OCI_API_BLOBS_DIGEST_HEADER", "true", "not asked for by default; docker's header Docker-Content-Digest is there"},
		{"OCI_API_MANIFESTS_DIGEST_HEADER", "true", "the same"},
		{"OCI_API_BLOBS_UPLOAD_CANCEL", "true", "not asked for by default; an upload can be cancelled"},
	}
}

func TestTheLocalACRPassesTheConformanceSuite(t *testing.T) {
	t.Parallel()
	path, err := suite().Build(t.Context(), program.Options{Root: root, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	acr, err := localacr.Start(t.Context(), localacr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = acr.Close() })
	out, err := run(t, path, acr)
	if err != nil {
		t.Fatalf("the suite ends with %v:\n%s", err, out)
	}
	_, result, found := strings.Cut(out, "OCI Conformance Result:")
	if !found || !strings.HasPrefix(result, " Pass\n") {
		t.Errorf("the result is not Pass:\n%s", out)
	}
	everyAnswerHadAToken(t, acr)
	measured := describe(t, result)
	if *update {
		if err := document.SetPart(page, "conformance", measured); err != nil {
			t.Fatal(err)
		}
	}
	written, err := document.Part(page, "conformance")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written, measured); diff != "" {
		t.Errorf("%s says otherwise; write it with -update (-written +measured):\n%s", page, diff)
	}
}

func run(t *testing.T, path string, acr *localacr.ACR) (string, error) {
	t.Helper()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, acr.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	user, password := acr.Owner()
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "OCI_") }),
		"OCI_REGISTRY="+acr.Instances()[0].Hosts[0], "OCI_USERNAME="+user, "OCI_PASSWORD="+password.Reveal(),
		"OCI_RESULTS_DIR="+dir, "OCI_VERSION=1.1", "OCI_TLS=enabled", // "insecure" does not trust the authority
	)
	cmd.Env = append(cmd.Env, lab.Trusting(ca)...)
	for _, s := range switches() {
		cmd.Env = append(cmd.Env, s.name+"="+s.value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// everyAnswerHadAToken looks at the access log: the suite passed through the
// token authentication and not around it.
func everyAnswerHadAToken(t *testing.T, acr *localacr.ACR) {
	t.Helper()
	granted := map[string]int{}
	for _, e := range acr.AccessLog().Entries() {
		switch {
		case e.Server == localacr.ServerRegistry && e.Status < http.StatusBadRequest && e.User == "":
			t.Errorf("nobody was answered %d at %s %s", e.Status, e.Method, e.Path)
		case e.Server == localacr.ServerAuth:
			for _, scope := range e.Granted {
				granted[scope[strings.LastIndexByte(scope, ':')+1:]]++
			}
		}
	}
	t.Logf("tokens by what they grant: %v", granted)
	for _, actions := range []string{"pull", "pull,push", "delete"} {
		if granted[actions] == 0 {
			t.Errorf("no token was granted for %s alone: %v", actions, granted)
		}
	}
}

// describe is what the document says.
func describe(t *testing.T, result string) string {
	t.Helper()
	version, err := suite().Version(root)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Suite: `%s` %s\n\n| switch | | why |\n|---|---|---|\n", suite().Module, version)
	for _, s := range switches() {
		state := "off"
		if s.value == "true" {
			state = "on"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.name, state, s.why)
	}
	fmt.Fprintf(&b, "\n```\nOCI Conformance Result:%s\n```\n", strings.TrimRight(result, "\n "))
	return b.String()
}
