package registry

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Cause names the part of the conversation that is broken.
type Cause string

// The causes.
const (
	CauseRegistryUnreachable Cause = "registry unreachable" // no answer from the registry
	CauseRealmUnreachable    Cause = "realm unreachable"    // no answer from the token server
	CauseCertificate         Cause = "certificate"          // TLS is not trusted
	CausePlainHTTP           Cause = "plain http"           // the server does not speak TLS
	CauseChallenge           Cause = "challenge"            // the registry's challenge cannot be used
	CauseCredential          Cause = "credential"           // user, password or token were refused
	CauseNobody              Cause = "nobody"               // a credential is needed and there is none
	CauseScope               Cause = "scope"                // the token lacks a right
	CauseDenied              Cause = "denied"               // authenticated, and forbidden
	CauseNotFound            Cause = "not found"            // no such repository, tag or content
	CauseRateLimit           Cause = "rate limit"           // too many requests
	CauseServer              Cause = "server"               // an answer that no client can use
	CausePolicy              Cause = "policy"               // pullkey will not do that
	CauseContent             Cause = "content"              // what came is not what its digest says
	CausePlatform            Cause = "platform"             // the image is not there for the platform
	CauseFolder              Cause = "folder"               // the folder cannot take the image
)

// ErrPage is a page for browsers where an answer should be, and ErrNoToken a token
// server's answer that holds none.
var (
	ErrPage    = errors.New("a page for browsers came")
	ErrNoToken = errors.New("no token came")
)

// Error is why the conversation ended.
type Error struct {
	// Act is what was being done, as "ask for a token at https://…".
	Act string
	// Cause is the broken part.
	Cause Cause
	// Status is the HTTP status that was answered, 0 if none.
	Status int
	// Codes are the error codes of the answer, as "DENIED", "invalid_grant".
	Codes []string
	// Problem is the rest of the sentence.
	Problem string
	// Remedy is what the reader may do, possibly empty.
	Remedy string

	err error
}

// Error returns the sentence.
func (e *Error) Error() string { return e.Act + ": " + e.Problem }

// Hint returns the remedy.
func (e *Error) Hint() string { return e.Remedy }

// Unwrap returns what lies beneath, if anything.
func (e *Error) Unwrap() error { return e.err }

// unreachable explains why no answer came from a server.
func unreachable(act string, cause Cause, host string, err error) *Error {
	e := &Error{Act: act, Cause: cause, err: err}
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		blocked   *blockedError
	)
	switch {
	case viaProxy(err):
		e.Problem = "the proxy on the way to " + host + " gives no connection: " + last(err)
		e.Remedy = "HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment say which proxy is asked, and for what"
	case errors.As(err, &blocked):
		e.Cause, e.Problem = CausePolicy, blocked.Error()
		e.Remedy = "somebody made this name point there; a credential does not go to such addresses"
	case errors.As(err, &authority):
		e.Cause, e.Problem = CauseCertificate, "the certificate of "+host+" is signed by an authority that is not trusted here"
		e.Remedy = "give the authority's certificate with --ca-file FILE; a node needs it too, where its runtime looks"
	case errors.As(err, &name), errors.As(err, &invalid):
		e.Cause, e.Problem = CauseCertificate, "the certificate of "+host+" is not good: "+last(err)
	case speaksNoTLS(err):
		e.Cause, e.Problem = CausePlainHTTP, host+" does not speak TLS"
		e.Remedy = "--plain-http allows to speak to it without TLS; whoever is on the way then reads the password"
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Problem = "there is no host " + dns.Name
		e.Remedy = "check the spelling; a VPC name resolves inside its VPC alone"
	case errors.As(err, &dns):
		e.Problem = "the name " + dns.Name + " could not be looked up: " + dns.Err
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Problem = "nothing listens at " + host + " (connection refused)"
	case isTimeout(err):
		e.Problem = host + " did not answer in time"
		e.Remedy = "a firewall or a missing route looks like this; curl -v shows the same from here"
	default:
		e.Problem = "no answer came from " + host + ": " + last(err)
	}
	if e.Remedy == "" {
		e.Remedy = map[Cause]string{
			CauseRegistryUnreachable: "check the host and the port: is that the registry, and does it run?",
			CauseRealmUnreachable:    "the registry answers; its token server, the realm that it names, is what does not",
		}[e.Cause]
	}
	return e
}

// viaProxy tells that it was the proxy that could not be reached.
func viaProxy(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "proxyconnect"
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// last returns the innermost error's text: those around it repeat the URL.
func last(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return printable(clip(err.Error(), 200))
}

// status says what an HTTP status is, with its number.
func status(code int) string {
	text := http.StatusText(code)
	if text == "" {
		return fmt.Sprintf("HTTP %d", code)
	}
	return fmt.Sprintf("HTTP %d %s", code, text)
}

// said appends what a server said to a sentence.
func said(sentence, message string) string {
	if message = strings.TrimSpace(message); message == "" {
		return sentence
	}
	return sentence + "; it says: " + message
}
