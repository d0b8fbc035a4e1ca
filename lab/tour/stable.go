package tour

import (
	"regexp"
	"strings"
)

// stable is what was printed as it stands in a page: what differs from run to run
// are letters there.
func stable(text string) string {
	text = strings.ReplaceAll(text, home, "~")
	for _, v := range varying() {
		text = v.pattern.ReplaceAllString(text, v.with)
	}
	return text
}

type differs struct {
	pattern *regexp.Regexp
	with    string
}

func varying() []differs {
	var all []differs
	for _, v := range [][2]string{
		// Of a login in the browser.
		{`(state|code_challenge)=[A-Za-z0-9_-]{43}`, "$1=[redacted]"},
		{`127\.0\.0\.1(:|%3A)\d{4,5}`, "127.0.0.1${1}PORT"},
		// Moments, and how long something took or is old.
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "YYYY-MM-DDTHH:MM:SSZ"},
		{`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`, "YYYY-MM-DD HH:MM:SS"},
		{`after (less than 1|\d+) ms`, "after N ms"},
		{`after \d+(\.\d+)? s\b`, "after N s"},
		{`\b(\d+[hms])+ ago\b`, "Ns ago"},
		{`\bin (\d+[hms])+\b`, "in Nm"},
		{`(?m)( )\d+[smh](\d+s)?$`, "${1}Ns"},
		// Who wrote what in the cluster: what falls into one second has no order.
		{`(?m)(^  when \(UTC\)\n)(    .*\n)+`, "${1}    …\n"},
		{`resourceVersion \d+ of the ServiceAccount, \d+ of the pod`, "resourceVersion N of the ServiceAccount, N of the pod"},
		{`by controller\s+v\S+`, "by controller VERSION"},
		// Content.
		{`sha256:[0-9a-f]((\n   [>*<]   )?[0-9a-f]){63}`, "sha256:DIGEST"},
		{`\b[0-9a-f]{12}(  config|  layer)( +)[0-9.]+ .?B\b`, "DIGEST$1${2}N B"},
		{`Content-Length: \d+`, "Content-Length: N"},
		{`\d+ bytes in`, "N bytes in"},
		// A pod of a Deployment.
		{`\b(till-[a-z0-9]+-)[a-z0-9]{5}\b`, "${1}xxxxx"},
	} {
		all = append(all, differs{regexp.MustCompile(v[0]), v[1]})
	}
	return all
}
