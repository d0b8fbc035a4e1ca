package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pullkey/pullkey/internal/credential"
)

func TestASecretThatIsSentBackIsNotShownInAnySpelling(t *testing.T) {
	t.Parallel()
	const secret = `abc"def<ghi&j k\l`
	quoted, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 190) + secret
	for _, c := range []struct{ name, sent string }{
		{"as it is", "your password is " + secret},
		{"as JSON writes it", fmt.Sprintf(`{"errors":[{"code":"DENIED","message":%s}]}`, quoted)},
		{"as JSON writes it in a text", fmt.Sprintf(`{"details":"got %s"}`, strings.Trim(string(quoted), `"`))},
		{"where the text is cut off", fmt.Sprintf(`{"details":%q}`, long)},
		{"with signs between that are not shown", "your password is abc\u200b\"def<ghi&j k\\l"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var steps []Step
			o := openOffice(t, setting{token: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Www-Authenticate", `Basic realm="`+strings.Repeat("x", 483)+secret+`"`)
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte(c.sent))
			}})
			client := o.client(t, Options{
				Login: credential.Login{Username: user, Password: credential.NewSecret(secret)},
				Trace: func(s Step) { steps = append(steps, s) },
			})
			_, err := get(client)
			told, _ := json.Marshal(steps)
			for _, text := range []string{fmt.Sprint(err), string(told)} {
				if strings.Contains(text, "abc") || strings.Contains(text, "ghi") {
					t.Errorf("shown: %s", text)
				}
			}
		})
	}
}

func TestAShortSecretDoesNotMakeTheTextUnreadable(t *testing.T) {
	t.Parallel()
	var s scrubber
	s.add(credential.NewSecret("a"))
	if got := s.scrub("a registry answers"); got != "a registry answers" {
		t.Errorf("got %q", got)
	}
}

func TestAQueryIsShownOnlyWhereItIsHarmless(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"scope=repository%3Aa%3Apull&service=s": "scope=repository:a:pull&service=s",
		"X-Amz-Signature=SECRET&digest=1":       "X-Amz-Signature=[redacted]&digest=1",
		"SECRET":                                "[redacted]",
		"digest=1;sig=SECRET":                   "[redacted]",
		"SECRET&scope=a":                        "[redacted]&scope=a",
	} {
		if got := showURL(&url.URL{Scheme: "https", Host: "a.io", Path: "/x", RawQuery: query}); got != "https://a.io/x?"+want {
			t.Errorf("%s is shown as %s", query, got)
		}
	}
}
