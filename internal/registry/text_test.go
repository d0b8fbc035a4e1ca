package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
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
			for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%+v %+v", steps, steps[1].Answer)} {
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
