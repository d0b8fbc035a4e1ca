package explain_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/pullkey/pullkey/internal/explain"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The first of the rows of each code and certainty as the document that -o json prints;
// internal/cli holds the text of each.
func TestEveryVerdictIsThatOfTheGoldenFile(t *testing.T) {
	t.Parallel()
	const path = "testdata/verdicts.json"
	all := map[string]explain.Diagnosis{}
	for _, c := range slices.Concat(rows(), ofWords()) {
		name := fmt.Sprintf("%s, %s", c.want, c.sure)
		if _, first := all[name]; first {
			continue
		}
		d, err := explain.Pod(c.facts, "")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		all[name] = d
	}
	var got bytes.Buffer
	encode := json.NewEncoder(&got)
	encode.SetIndent("", " ")
	encode.SetEscapeHTML(false)
	if err := encode.Encode(all); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got.Bytes()) {
		tellsWhich(t, all, want)
		t.Fatalf("%s is not what is said now: make golden writes it", path)
	}
}

// tellsWhich names the verdicts that are not as they were.
func tellsWhich(t *testing.T, all map[string]explain.Diagnosis, want []byte) {
	t.Helper()
	var before map[string]json.RawMessage
	if err := json.Unmarshal(want, &before); err != nil {
		t.Fatal(err)
	}
	for name, d := range all {
		now, _ := json.Marshal(d)
		var then bytes.Buffer
		if json.Compact(&then, before[name]) != nil || then.String() != unescaped(now) {
			t.Errorf("%s: %s", name, now)
		}
	}
}

// unescaped is a document without Go's escapes of what HTML knows.
func unescaped(document []byte) string {
	for sign, escape := range map[string]string{"<": `\u003c`, ">": `\u003e`, "&": `\u0026`} {
		document = bytes.ReplaceAll(document, []byte(escape), []byte(sign))
	}
	return string(document)
}
