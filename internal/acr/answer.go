package acr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/pullkey/pullkey/internal/credential"
)

// failure is how both editions report an error, in any status.
type failure struct {
	Code      string
	Message   string
	RequestID string
	IsSuccess *bool
}

// success tells whether a 200 is one. Not every answer has IsSuccess, nor a
// Code; where there is one, the documentation writes "success".
func (f failure) success() bool {
	if f.IsSuccess != nil {
		return *f.IsSuccess
	}
	switch strings.ToLower(f.Code) {
	case "", "success", "ok", "200":
		return true
	}
	return false
}

// UnmarshalJSON reads Code as a text whatever its type.
func (f *failure) UnmarshalJSON(data []byte) error {
	var raw struct {
		Code      any
		Message   any
		RequestID any
		IsSuccess *bool
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	text := func(v any) string {
		if v == nil {
			return ""
		}
		return fmt.Sprint(v)
	}
	*f = failure{text(raw.Code), text(raw.Message), text(raw.RequestID), raw.IsSuccess}
	return nil
}

// read decodes the answer to a call, or makes e say what is wrong with it.
func (e *Error) read(body []byte, key credential.AccessKey, answer any) error {
	var f failure
	notJSON := json.Unmarshal(body, &f)
	if notJSON == nil && f.RequestID != "" {
		e.RequestID = printable(f.RequestID)
	}
	refused := e.Status != http.StatusOK || !f.success()
	if notJSON == nil && !refused && json.Unmarshal(body, answer) == nil {
		return nil
	}
	switch {
	case notJSON == nil && refused:
		e.Code = printable(hide(f.Code, key))
		e.Message = printable(hide(f.Message, key))
		if strings.EqualFold(e.Code, "success") {
			e.Code = ""
		}
		if e.Code == "" && e.Message == "" {
			e.Message = "the answer says that it is no success"
		}
	case looksSecret(body):
		e.Message = "the answer is not what the API documents"
	default:
		e.Message = "the answer is not JSON: " + printable(hide(string(body), key))
	}
	e.kind = kindOf(e.Status, e.Code)
	return e
}

// looksSecret tells whether an answer that cannot be read may hold a
// password: what begins as JSON, or names the field.
func looksSecret(body []byte) bool {
	text := bytes.TrimLeft(body, " \t\r\n\xef\xbb\xbf")
	return len(text) > 0 && (text[0] == '{' || text[0] == '[') ||
		bytes.Contains(bytes.ToLower(text), []byte("authorizationtoken")) || bytes.Contains(text, []byte("eyJ"))
}

// hide takes our own secrets out of a text: the cloud quotes the request,
// session token included, when a signature does not match.
func hide(text string, key credential.AccessKey) string {
	for _, s := range []credential.Secret{key.Secret, key.SessionToken} {
		if !s.Empty() {
			text = strings.ReplaceAll(text, s.Reveal(), s.String())
			text = strings.ReplaceAll(text, escape(s.Reveal()), s.String())
		}
	}
	return longRun.ReplaceAllString(text, credential.Secret{}.String())
}

// longRun matches what may be a token or a signature, whole or in part, in
// whatever way a page escaped the rest of it. A request id is shorter.
var longRun = regexp.MustCompile(`[A-Za-z0-9+/=_-]{40,}`)
