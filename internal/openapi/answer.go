package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
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
func (e *Error) read(body []byte, secrets []credential.Secret, answer any) *Error {
	var f failure
	notJSON := json.Unmarshal(body, &f)
	if notJSON == nil && f.RequestID != "" {
		e.RequestID = Printable(hide(f.RequestID, secrets))
	}
	refused := e.Status != http.StatusOK || !f.success()
	if notJSON == nil && !refused && json.Unmarshal(body, answer) == nil {
		return nil
	}
	switch {
	case notJSON == nil && refused:
		e.Code = Printable(hide(f.Code, secrets))
		e.Message = Printable(hide(f.Message, secrets))
		if strings.EqualFold(e.Code, "success") {
			e.Code = ""
		}
		if e.Code == "" && e.Message == "" {
			e.Message = "the answer says that it is no success"
		}
	case looksSecret(body):
		e.Message = "the answer is not what the API documents"
	default:
		e.Message = "the answer is not JSON: " + Printable(hide(string(body), secrets))
	}
	e.kind = kindOf(e.Status, e.Code)
	return e
}

// fields are those of answers that hold secrets, in small letters.
var fields = [][]byte{[]byte("authorizationtoken"), []byte("accesskeysecret"), []byte("securitytoken")}

// looksSecret tells whether an answer that cannot be read may hold a password:
// what begins as JSON, or names such a field.
func looksSecret(body []byte) bool {
	text := bytes.TrimLeft(body, " \t\r\n\xef\xbb\xbf")
	small := bytes.ToLower(text)
	return len(text) > 0 && (text[0] == '{' || text[0] == '[') || bytes.Contains(text, []byte("eyJ")) ||
		slices.ContainsFunc(fields, func(f []byte) bool { return bytes.Contains(small, f) })
}
