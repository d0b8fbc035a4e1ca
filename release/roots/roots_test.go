package roots_test

import (
	"crypto/x509"
	"encoding/pem"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/pullkey/pullkey/release/roots"
)

func TestTheListIsMozillasWithoutAuthoritiesThatAFileTrustsTooMuch(t *testing.T) {
	t.Parallel()
	text, err := roots.PEM()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		listed[string(block.Bytes)] = true
	}
	if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(text) {
		t.Error("Go reads no authority from the list")
	}
	if len(listed) < 100 {
		t.Errorf("the list has %d authorities", len(listed))
	}
	for root := range bundle.Roots() {
		if got, want := listed[string(root.Certificate)], root.Constraint == nil; got != want {
			t.Errorf("an authority is listed: %v; trusted without condition: %v", got, want)
		}
	}
}
