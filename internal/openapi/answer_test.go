package openapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestAnswersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	const undocumented, long = "the answer is not what the API documents", "the answer is longer than 1 MiB"
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"a page of a proxy", 502, "<html>\r\n<head><title>502\x00 Bad\x1b[31m Gateway</title></head>\n", "the answer is not JSON: <html> <head><title>502 Bad [31m Gateway</title></head>"},
		{"a page of a portal", 200, "<html>Log in</html>", "the answer is not JSON: <html>Log in</html>"},
		{"nothing", 200, "", "the answer is not JSON: "},
		{"nothing, as an error", 503, "", "the answer is not JSON: "},
		{"a list", 200, `["` + password + `"]`, undocumented},
		{"half an answer", 200, `{"AuthorizationToken":"` + password, undocumented},
		{"half an error", 400, `{"Code":"Throttling.User","Message":"Req`, undocumented},
		{"an answer in a frame", 200, `callback({"AuthorizationToken":"` + password + `"})`, undocumented},
		{"an answer of other types", 200, `{"IsSuccess":true,"Name":{"x":"` + password + `"}}`, undocumented},
		{"two answers", 200, `{"Name":"a"}{"Name":"b"}`, undocumented},
		{"a success that is none", 200, `{"IsSuccess":false,"Name":"` + password + `"}`, "the answer says that it is no success"},
		{"1 MiB and a byte", 200, `{"Name":"` + strings.Repeat("x", maxBody-10) + `"}`, long},
		{"20 MB", 200, strings.Repeat("x", 20<<20), long},
		{"20 MB, as an error", 500, `{"Code":"` + strings.Repeat("x", 20<<20) + `"}`, long},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var answer struct{ Name string }
			err := client().Call(t.Context(), stsKey, []string{newCloud(t, writes(c.status, c.body)).URL}, question, &answer)
			e := asError(t, err)
			if want := fmt.Sprintf("AskThing for thing 1: %s (HTTP status %d, request HEADER-ID)", c.want, c.status); err.Error() != want {
				t.Errorf("got  %q\nwant %q", err, want)
			}
			if e.Kind() != KindUnavailable || !e.Temporary() || e.Status != c.status || e.Hint() == "" {
				t.Errorf("%v, temporary %v, status %d, hint %q", e.Kind(), e.Temporary(), e.Status, e.Hint())
			}
			if said := fmt.Sprintf("%v %+v %q", err, *e, e.Hint()); strings.Contains(said, password[:20]) {
				t.Errorf("the error shows a password: %s", said)
			}
		})
	}
}

func TestTheLongestAnswerIsStillRead(t *testing.T) {
	t.Parallel()
	var answer struct{ Name string }
	srv := newCloud(t, writes(200, `{"Name":"`+strings.Repeat("x", maxBody-11)+`"}`))
	if err := client().Call(t.Context(), stsKey, []string{srv.URL}, question, &answer); err != nil || len(answer.Name) != maxBody-11 {
		t.Errorf("%v, %d characters", err, len(answer.Name))
	}
}

func TestAnAnswerThatBreaksOffIsNoneAndFinal(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"Name":"`)
	})
	next := newCloud(t, func(http.ResponseWriter, *http.Request) { t.Error("the next endpoint was asked") })
	err := client().Call(t.Context(), stsKey, []string{srv.URL, next.URL}, question, &struct{}{})
	if e := asError(t, err); !errors.Is(err, io.ErrUnexpectedEOF) || e.Kind() != KindUnavailable || e.Status != 200 || !strings.Contains(err.Error(), "the answer breaks off") {
		t.Errorf("%v (%v)", err, e.Kind())
	}
}

func TestAnExcerptIsShortAndPrintable(t *testing.T) {
	t.Parallel()
	for _, body := range []string{strings.Repeat("x ", 5000), strings.Repeat("字 ", 300), "\xff\xfe\x00" + strings.Repeat("\xffz ", 300), strings.Repeat("a\u202e\u200b ", 300)} {
		err := ask(t, staticKey, newCloud(t, writes(502, body)).URL, question)
		text, _ := strings.CutPrefix(asError(t, err).Message, "the answer is not JSON: ")
		if n := len([]rune(text)); n != 203 || !strings.HasSuffix(text, "...") || strings.ContainsAny(text, "\u202e\u200b\x00\n") {
			t.Errorf("%d characters: %q", n, text)
		}
	}
}

// No answer makes the client panic, or show what may be a password.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"Name":"`+password+`","IsSuccess":true}`))
	f.Add(200, []byte(`{"data":{"authorizationToken":"`+password+`"}}`))
	f.Add(400, []byte(`{"Code":"Throttling.User","Message":"x"}`))
	f.Add(502, []byte("<html>\xff"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		e := &Error{Action: question.Action, About: question.About, Status: status}
		var answer struct{ Name string }
		err := e.read(body, secretsOf(stsKey), &answer)
		if (err == nil) && status != 200 {
			t.Errorf("status %d is taken for a success", status)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\n\x00\x1b") || len([]rune(e.Message)) > 230 || e.Hint() == "" && e.Kind() != KindOther) {
			t.Errorf("%q (%v)", err, e.Kind())
		}
	})
}
