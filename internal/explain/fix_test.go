package explain_test

import (
	"strings"
	"testing"

	"github.com/pullkey/pullkey/internal/explain"
)

// Names in a cluster are an attacker's text.
func TestCommandsQuoteWhatComesFromTheCluster(t *testing.T) {
	t.Parallel()
	f := failing("reg.example.com/a:1", anonymous, named("x.io;rm -rf $HOME'`id`")...)
	d, err := explain.Pod(f, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, fix := range d.Verdict.Fixes {
		outside := fix.Command
		for strings.Contains(outside, "'") {
			before, rest, _ := strings.Cut(outside, "'")
			_, after, _ := strings.Cut(rest, "'")
			outside = before + after
		}
		if strings.ContainsAny(outside, ";`$") {
			t.Errorf("a shell would obey %s", fix.Command)
		}
	}
}

// A login is not proposed for another registry than its own, and a Secret is not
// deleted.
func TestAFixGivesNoLoginAwayAndDeletesNothing(t *testing.T) {
	t.Parallel()
	for _, f := range []*explain.Facts{
		failing("harbor.example.org/a", anonymous, named("quay.io")...),
		failing("registry-vpc.cn-hangzhou.aliyuncs.com/n/a", anonymous, named("registry.cn-shanghai.aliyuncs.com")...),
		failing(host+"/a", anonymous, has("s", "Opaque", "password", "x"), podNames("s")),
		failing(host+"/a", "illegal base64 data at input byte 0", holding(`{"auths":{"quay.io":{"auth":"!!"}}}`), podNames("s")),
	} {
		d, err := explain.Pod(f, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, fix := range d.Verdict.Fixes {
			if strings.Contains(fix.Command, "add-host") || strings.Contains(fix.Command, "delete secret") {
				t.Errorf("%s: %s", d.Verdict.Code, fix.Command)
			}
		}
	}
}
