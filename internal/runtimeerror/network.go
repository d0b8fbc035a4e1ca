package runtimeerror

import "strings"

// ends are how a connection of Go's can fail, once the addresses are taken off.
func ends() []means {
	return []means{
		{"connect: connection refused", Refused, "", ""},
		{"i/o timeout", Timeout, "", ""},
		{"connect: connection timed out", Timeout, "", ""},
		{"connect: no route to host", Timeout, "", ""},
		{"connect: network is unreachable", Timeout, "", ""},
		{"read: connection timed out", Timeout, "", ""},
		{"read: connection reset by peer", Reset, "", ""},
		{"write: connection reset by peer", Reset, "", ""},
		{"connect: connection reset by peer", Reset, "", ""},
		{"write: broken pipe", Reset, "", ""},
		{"connection reset by peer", Reset, "", ""},
		{"net/http: TLS handshake timeout", Reset, "", ""},
		{"net/http: timeout awaiting response headers", Timeout, "", ""},
		{"net/http: request canceled (Client.Timeout exceeded", Timeout, "", ""},
		{"net/http: request canceled while waiting for connection (Client.Timeout exceeded", Timeout, "", ""},
		{"EOF", Reset, "", ""},
		{"stream error: ", Reset, "", ""},
		{"http2: server sent GOAWAY", Reset, "", ""},
		{"http: server gave HTTP response to HTTPS client", PlainHTTP, "", ""},
		{"remote error: tls: certificate required", ClientCertificate, "", ""},
		{"remote error: tls: bad certificate", ClientCertificate, "", ""},
		// crypto/x509. The names that follow are the certificate's, so whoever made it chose them.
		{"x509: certificate signed by unknown authority", TLSUnknownCA, "", ""},
		{"x509: certificate is valid for ", TLSName, "", ""},
		{"x509: certificate is not valid for any names", TLSName, "", ""},
		{"x509: certificate relies on legacy Common Name field", TLSName, "", ""},
		{"x509: cannot validate certificate for ", TLSName, "", ""},
		{"x509: certificate has expired or is not yet valid", TLSExpired, "", ""},
		{"context canceled", Cancelled, "", ""},
		{"operation was canceled", Cancelled, "", ""},
	}
}

// network reads what Go says of a connection.
func (r *reading) network() bool {
	switch {
	case r.dialled():
	case r.proxied():
		return true
	case r.ended():
	case begins(r.rest, "unsupported protocol scheme ") && r.err.Realm:
		r.err.Kind = ChallengeBroken
		return true
	case r.said(ends()):
	default:
		return false
	}
	switch r.err.Kind {
	case Cancelled, Truncated, "":
	default:
		if r.err.Realm && !r.err.Proxy {
			r.err.Because, r.err.Kind = r.err.Kind, TokenUnreachable
		}
	}
	return true
}

// dialled reads `dial tcp ADDRESS: …`, `read tcp FROM->TO: …` and a name that was looked up.
func (r *reading) dialled() bool {
	if begins(r.rest, "dial tcp: lookup ") || begins(r.rest, "lookup ") {
		name, _, _ := strings.Cut(r.rest[strings.Index(r.rest, "lookup ")+len("lookup "):], ": ")
		name, _, _ = strings.Cut(name, " on ")
		if r.err.Host == "" {
			r.err.Host = name
		}
		r.err.Kind = DNS
		return true
	}
	for _, words := range [...]string{"dial tcp ", "read tcp ", "write tcp "} {
		address, rest, ok := cutName(r.rest, words)
		if !ok {
			continue
		}
		if _, to, both := strings.Cut(address, "->"); both {
			address = to
		}
		if r.err.Host == "" {
			r.err.Host = address
		}
		if r.rest = rest; !r.ended() {
			r.said(ends())
		}
		return true
	}
	return false
}

// ended reads the two ends that depend on what was going on.
func (r *reading) ended() bool {
	switch {
	case begins(r.rest, "unexpected EOF") && (r.err.Stage == Blob || r.err.Stage == Unpack):
		r.err.Kind = Truncated
	case begins(r.rest, "unexpected EOF"):
		r.err.Kind = Reset
	case begins(r.rest, "context deadline exceeded") && r.err.Host != "":
		r.err.Kind = Timeout
	case begins(r.rest, "context deadline exceeded"):
		r.err.Kind = Cancelled
	default:
		return false
	}
	return true
}

// proxied reads the refusal of a proxy, which Go tells by the phrase of the status alone.
func (r *reading) proxied() bool {
	if r.err.Host == "" {
		return false
	}
	switch r.rest {
	case "Proxy Authentication Required":
		r.err.Kind, r.err.Status = Unauthorized, 407
	case "Forbidden":
		r.err.Kind, r.err.Status = Forbidden, 403
	case "Bad Gateway":
		r.err.Kind, r.err.Status = ServerError, 502
	case "Service Unavailable":
		r.err.Kind, r.err.Status = ServerError, 503
	case "Gateway Timeout":
		r.err.Kind, r.err.Status = ServerError, 504
	default:
		return false
	}
	ofProxy(r, "")
	r.err.Realm = false
	return true
}
