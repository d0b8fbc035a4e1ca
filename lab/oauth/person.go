// Package oauth has a person consent, and shows in its tests the ways of OAuth
// 2.0 with all their parties: the local ACR, pullkey, and a person with a real
// browser. Its one rule: what the guide shows was seen in the run that tests it.
package oauth

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"github.com/pullkey/pullkey/internal/credential"
)

// Person is somebody before a browser.
type Person struct {
	Transport http.RoundTripper // what the browser reaches and trusts
	Name      string
	Password  credential.Secret
}

// What a person does on the page that asks for consent.
const (
	Approve = "approve"
	Deny    = "deny"
)

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]+)">`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
)

// Decide does what the person does in the browser, without one: it opens a page,
// signs in and approves, or does else what do says. It returns where that led.
func (p Person) Decide(ctx context.Context, page, do string) (last string, err error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", fmt.Errorf("make a browser: %w", err)
	}
	browser := http.Client{Transport: p.Transport, Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if last = r.URL.String(); r.URL.Fragment != "" {
			return http.ErrUseLastResponse // nobody listens there
		}
		return nil
	}}
	defer browser.CloseIdleConnections()
	at, err := url.Parse(page)
	if err != nil {
		return "", fmt.Errorf("open the page: %w", err)
	}
	text, err := visit(ctx, &browser, http.MethodGet, page, nil)
	for _, filled := range []url.Values{{"user": {p.Name}, "password": {p.Password.Reveal()}}, {"do": {do}}} {
		if err != nil {
			return "", err
		}
		action := formAction.FindStringSubmatch(text)
		if action == nil {
			return "", fmt.Errorf("the page has no form: %s", text)
		}
		for _, field := range hidden.FindAllStringSubmatch(text, -1) {
			filled.Set(field[1], html.UnescapeString(field[2]))
		}
		text, err = visit(ctx, &browser, http.MethodPost, at.Scheme+"://"+at.Host+action[1], filled)
	}
	return last, err
}

// visit opens a page or sends a form, and returns what is shown then.
func visit(ctx context.Context, browser *http.Client, method, address string, form url.Values) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("open the page: %w", err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := browser.Do(r)
	if err != nil {
		return "", fmt.Errorf("open the page: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // read to its end
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", fmt.Errorf("read the page: %w", err)
	}
	return string(text), nil
}
