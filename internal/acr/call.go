package acr

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

const (
	// defaultTimeout bounds a call whose context has no deadline.
	defaultTimeout = 10 * time.Second
	// maxBody bounds an answer; a real one has less than a thousandth.
	maxBody = 1 << 20
)

// call is one request to the OpenAPI.
type call struct {
	action, version, method, path string
	query                         map[string]string
}

// call signs and sends r once and decodes the answer.
func (c *Client) call(ctx context.Context, key credential.AccessKey, i Instance, r call, answer any) error {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	fail := &Error{Action: r.action, Instance: i}
	req, err := c.request(ctx, key, i, r)
	if err != nil {
		fail.cause = err
		return fail
	}
	resp, err := c.http().Do(req)
	if err != nil {
		fail.cause, fail.kind = err, KindUnavailable
		return fail
	}
	defer func() { _ = resp.Body.Close() }()
	fail.Status = resp.StatusCode
	fail.RequestID = printable(resp.Header.Get("X-Acs-Request-Id"))
	fail.ServerTime, _ = http.ParseTime(resp.Header.Get("Date"))
	fail.RetryAfter = retryAfter(resp.Header, c.now())
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		fail.cause, fail.kind = fmt.Errorf("the answer breaks off: %w", err), KindUnavailable
		return fail
	case len(body) > maxBody:
		fail.Message, fail.kind = "the answer is longer than 1 MiB", KindUnavailable
		return fail
	}
	return fail.read(body, key, answer)
}

// http returns a client that follows no redirect: a signed request is meant
// for the host that it names.
func (c *Client) http() *http.Client {
	h := http.Client{}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}

func (c *Client) request(ctx context.Context, key credential.AccessKey, i Instance, r call) (*http.Request, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	base, err := c.endpoint(i)
	if err != nil {
		return nil, err
	}
	m := message{method: r.method, path: r.path, query: r.query, header: map[string]string{
		"host":                  base.Host,
		"x-acs-action":          r.action,
		"x-acs-version":         r.version,
		"x-acs-date":            stamp(c.now()),
		"x-acs-signature-nonce": c.nonce(),
		"x-acs-content-sha256":  emptyHash,
	}}
	if !key.SessionToken.Empty() {
		m.header["x-acs-accesskey-id"] = key.ID
		m.header["x-acs-security-token"] = key.SessionToken.Reveal()
	}
	target := url.URL{Scheme: base.Scheme, Host: base.Host, Path: r.path, RawQuery: m.rawQuery()}
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	for name, value := range m.header {
		if name != "host" { // sent from the URL
			req.Header.Set(name, value)
		}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", m.authorization(key))
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	return req, nil
}

func (c *Client) nonce() string {
	if c.Nonce != nil {
		return c.Nonce()
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

// endpoint returns the address of the OpenAPI for i. The region becomes part
// of a host name, so only what looks like a region may.
func (c *Client) endpoint(i Instance) (*url.URL, error) {
	switch {
	case !regionForm.MatchString(i.Region):
		return nil, fmt.Errorf("%q is not a region", i.Region)
	case i.ID != "" && !instanceForm.MatchString(i.ID):
		return nil, fmt.Errorf("%q is not the id of an Enterprise instance", i.ID)
	}
	template := c.Endpoint
	if template == "" {
		template = DefaultEndpoint
	}
	u, err := url.Parse(strings.ReplaceAll(template, "{region}", i.Region))
	switch {
	case err != nil || u.Host == "" || *u != (url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}) || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("the endpoint %q is not a URL of a scheme and a host alone", template)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, fmt.Errorf("the endpoint %q is neither https nor on a loopback address, and the answer holds a password", template)
	}
	return u, nil
}

// IsRegion tells whether s is written as a region id.
func IsRegion(s string) bool { return regionForm.MatchString(s) }

// CheckEndpoint tells what is wrong with an endpoint before anybody is asked.
func CheckEndpoint(template string) error {
	_, err := (&Client{Endpoint: template}).endpoint(Instance{Region: "cn-hangzhou"})
	return err
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// checkKey refuses a key that would make a broken header or a signature that
// cannot be right; most often a file was read with its last line break.
func checkKey(key credential.AccessKey) error {
	odd := func(s string) bool {
		return strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' })
	}
	switch {
	case key.ID == "" || key.Secret.Empty():
		return errors.New("the access key has no id or no secret")
	case odd(key.ID):
		return errors.New("the access key id holds a blank, a line break or another sign that no id has")
	case odd(key.Secret.Reveal()):
		return errors.New("the access key secret holds a blank, a line break or another sign that no secret has")
	case odd(key.SessionToken.Reveal()):
		return errors.New("the session token holds a blank, a line break or another sign that no token has")
	}
	return nil
}
