package openapi

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// parameterSignature is where the RPC style has the signature.
const parameterSignature = "Signature"

// maxBody bounds an answer; a real one has less than a thousandth.
const maxBody = 1 << 20

// Times that bound the parts of a request.
const (
	dialTimeout   = 3 * time.Second
	tlsTimeout    = 5 * time.Second
	headerTimeout = 10 * time.Second
)

// Transport returns a transport in which nothing waits for ever. roots may be
// nil for the system's authorities, proxy for none.
func Transport(roots *x509.CertPool, proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	return &http.Transport{
		Proxy: proxy, DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, TLSHandshakeTimeout: tlsTimeout,
		ResponseHeaderTimeout: headerTimeout, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
}

// ask asks one endpoint once and decodes the answer.
func (c *Client) ask(ctx context.Context, key credential.AccessKey, endpoint string, r Request, answer any) *Error {
	fail := &Error{Action: r.Action, About: r.About, Endpoint: endpoint}
	// The id is no secret, and yet nobody's but its owner's.
	secrets := append([]credential.Secret{key.Secret, key.SessionToken, credential.NewSecret(key.ID)}, r.Secrets...)
	req, err := c.request(ctx, key, endpoint, r)
	if err != nil {
		fail.cause = err
		return fail
	}
	if signature := req.URL.Query().Get(parameterSignature); signature != "" { // one in a header is long enough to be seen
		secrets = append(secrets, credential.NewSecret(signature))
	}
	asked := c.Time()
	resp, err := c.http().Do(req)
	if err != nil {
		fail.cause, fail.kind = shown(unquoted(err), secrets), KindUnavailable
		return fail
	}
	defer func() { _ = resp.Body.Close() }()
	fail.Status = resp.StatusCode
	fail.RequestID = Printable(hide(resp.Header.Get("X-Acs-Request-Id"), secrets))
	fail.ServerTime, _ = http.ParseTime(resp.Header.Get("Date"))
	fail.RetryAfter = retryAfter(resp.Header, c.Time())
	c.noteSkew(asked, c.Time(), fail.ServerTime)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		fail.cause, fail.kind = shown(fmt.Errorf("the answer breaks off: %w", err), secrets), KindUnavailable
		return fail
	case len(body) > maxBody:
		fail.Message, fail.kind = "the answer is longer than 1 MiB", KindUnavailable
		return fail
	}
	return fail.read(body, secrets, answer)
}

// unquoted is the error of a request without its URL, whose query is signed and
// may hold a session token; the host stays.
func unquoted(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		where := "the endpoint"
		if u, err := url.Parse(e.URL); err == nil {
			where = u.Scheme + "://" + u.Host
		}
		return fmt.Errorf("%s: %w", where, e.Err)
	}
	return err
}

// http returns a client that follows no redirect: a signed request is meant
// for the host that it names.
func (c *Client) http() *http.Client {
	var h http.Client
	if c.HTTP != nil {
		h = *c.HTTP
	} else {
		c.once.Do(func() { c.own = Transport(nil, http.ProxyFromEnvironment) })
		h.Transport = c.own
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}

func (c *Client) request(ctx context.Context, key credential.AccessKey, endpoint string, r Request) (*http.Request, error) {
	base, err := parseEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	if r.Style != Unsigned {
		if err := CheckKey(key); err != nil {
			return nil, err
		}
	}
	body := encode(r.Form)
	m := message{method: r.Method, path: r.Path, query: r.Query, form: r.Form, body: body, header: map[string]string{"host": base.Host}}
	if r.Form != nil {
		m.header["content-type"] = "application/x-www-form-urlencoded"
	}
	switch r.Style {
	case RPC:
		m.query = c.rpcQuery(key, r)
		m.query[parameterSignature] = m.rpcSignature(key)
	case Unsigned:
		m.query = merged(r.Query, map[string]string{"Action": r.Action, "Version": r.Version, "Format": "JSON", "Timestamp": stamp(c.Time())})
	default:
		c.acs3Headers(m.header, key, r, body)
	}
	target := url.URL{Scheme: base.Scheme, Host: base.Host, Path: r.Path, RawQuery: m.rawQuery()}
	req, err := http.NewRequestWithContext(ctx, r.Method, target.String(), strings.NewReader(body))
	if err != nil {
		return nil, unquoted(err)
	}
	req.Close = true // on a kept connection that ends, net/http would repeat a GET, nonce and all
	for name, value := range m.header {
		if name != "host" { // sent from the URL
			req.Header.Set(name, value)
		}
	}
	req.Header.Set("Accept", "application/json")
	if r.Style == ACS3 {
		req.Header.Set("Authorization", m.authorization(key))
	}
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	return req, nil
}

// acs3Headers adds the headers that are signed.
func (c *Client) acs3Headers(header map[string]string, key credential.AccessKey, r Request, body string) {
	hash := sha256.Sum256([]byte(body))
	header["x-acs-action"] = r.Action
	header["x-acs-version"] = r.Version
	header["x-acs-date"] = stamp(c.Time())
	header["x-acs-signature-nonce"] = c.nonce()
	header["x-acs-content-sha256"] = hex.EncodeToString(hash[:])
	if !key.SessionToken.Empty() {
		header["x-acs-accesskey-id"] = key.ID
		header["x-acs-security-token"] = key.SessionToken.Reveal()
	}
}

// rpcQuery is the query of a request that is signed there.
func (c *Client) rpcQuery(key credential.AccessKey, r Request) map[string]string {
	query := merged(r.Query, map[string]string{
		"Action": r.Action, "Version": r.Version, "Format": "JSON", "Timestamp": stamp(c.Time()), "AccessKeyId": key.ID,
		"SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0", "SignatureNonce": c.nonce(),
	})
	if !key.SessionToken.Empty() {
		query["SecurityToken"] = key.SessionToken.Reveal()
	}
	return query
}

// parseEndpoint reads an endpoint. Only one on loopback may be without TLS: the
// answers hold passwords.
func parseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err == nil && u.User != nil:
		return nil, errors.New("the endpoint holds a user name, and is not a URL of a scheme and a host alone")
	case err != nil || u.Host == "" || *u != (url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}) || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("the endpoint %q is not a URL of a scheme and a host alone", endpoint)
	case u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(u.Hostname())):
		return nil, fmt.Errorf("the endpoint %q is neither https nor on a loopback address, and the answer holds a password", endpoint)
	}
	return u, nil
}

// CheckEndpoint tells what is wrong with an endpoint before anybody is asked.
func CheckEndpoint(endpoint string) error {
	_, err := parseEndpoint(endpoint)
	return err
}

// regionForm is that of a region id such as cn-hangzhou. Two letters come
// first, so that the name of an OSS bucket, at registry.oss-cn-hangzhou, is not
// taken for a registry's region.
var regionForm = Lazily(`^[a-z]{2}(?:-[a-z0-9]+)+$`)

// IsRegion tells whether s is written as a region id. It becomes part of host
// names.
func IsRegion(s string) bool { return regionForm().MatchString(s) }

// IsLoopback tells whether a host is this machine.
func IsLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// CheckKey refuses a key that would make a broken header or a signature that
// cannot be right; most often a file was read with its last line break.
func CheckKey(key credential.AccessKey) error {
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
