package acr

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Kind says what an error means for the next attempt.
type Kind int

// The kinds of errors.
const (
	// KindOther is everything else: wrong input, or a refusal that we do not
	// know.
	KindOther Kind = iota
	// KindThrottled: we ask too often.
	KindThrottled
	// KindUnavailable: no answer, or none that can be used.
	KindUnavailable
	// KindDenied: the access key is not accepted or has no right.
	KindDenied
	// KindNotFound: there is no such instance, or no such user.
	KindNotFound
	// KindClockSkew: our clock and the cloud's do not agree.
	KindClockSkew
)

// String returns the kind in one or two words.
func (k Kind) String() string {
	return [...]string{"other", "throttled", "unavailable", "denied", "not found", "clock skew"}[k]
}

// Error is a call that did not succeed. It is always returned as *Error.
type Error struct {
	Action   string
	Instance Instance
	// Code is the cloud's, empty when there was no answer that had one.
	Code string
	// Message is the cloud's or, without a Code, ours: what is wrong with the
	// answer. It is at most 200 printable characters and holds no secret.
	Message string
	// Status is 0 when there was no answer.
	Status    int
	RequestID string
	// RetryAfter is how long the cloud asks us to wait, 0 when it does not say.
	RetryAfter time.Duration
	// ServerTime is what the cloud's clock said, when it did.
	ServerTime time.Time

	kind  Kind
	cause error
}

// Error says what did not work and why.
func (e *Error) Error() string {
	s := e.Action + " for " + e.Instance.String() + ": "
	switch {
	case e.cause != nil:
		return s + e.cause.Error()
	case e.Code != "" && e.Message != "":
		s += e.Code + ": " + e.Message
	default:
		s += e.Code + e.Message
	}
	s += fmt.Sprintf(" (HTTP status %d", e.Status)
	if e.RequestID != "" {
		s += ", request " + e.RequestID
	}
	return s + ")"
}

// Unwrap returns the cause that lies on our side or on the way.
func (e *Error) Unwrap() error { return e.cause }

// Kind tells what the error means for the next attempt.
func (e *Error) Kind() Kind { return e.kind }

// Temporary tells whether the same call may succeed later with nobody
// changing anything.
func (e *Error) Temporary() bool { return e.kind == KindThrottled || e.kind == KindUnavailable }

// Hint returns what to do about it, or nothing.
func (e *Error) Hint() string {
	hint := meaningOf(e.Code).hint
	if hint == "" {
		hint = kindHints[e.kind]
	}
	if e.kind == KindClockSkew && !e.ServerTime.IsZero() {
		hint += "; the cloud's clock said " + stamp(e.ServerTime)
	}
	return hint
}

var kindHints = map[Kind]string{
	KindThrottled:   "nothing to do: it is tried again later; if it stays, look for another program that calls the API with the same account",
	KindUnavailable: "check that this host reaches the endpoint of ACR's OpenAPI: DNS, proxy, firewall; inside a VPC use the cr-vpc endpoint",
	KindDenied:      "grant the access key's user or role cr:GetAuthorizationToken, cr:ListInstanceEndpoint and cr:PullRepository",
	KindNotFound:    "check instanceId and regionId in acr-registry-info: an instance is known only in its own region",
	KindClockSkew:   "set the clock of this host; the cloud accepts 15 minutes of difference",
}

// meaning is what we know about a code of the cloud.
type meaning struct {
	kind Kind
	hint string
}

// codes come from the documentation of ACR and of Alibaba Cloud's gateway and
// from reports of users. A code stands for itself and for all that begin with
// it and a dot.
var codes = map[string]meaning{
	"INSTANCE_NOT_EXIST":      {kind: KindNotFound},
	"NAMESPACE_NOT_EXIST":     {kind: KindNotFound},
	"REPO_NOT_EXIST":          {kind: KindNotFound},
	"USER_NOT_EXIST":          {KindNotFound, "this user never opened the Personal Edition in this region: set its registry password once in the ACR console, or use another access key"},
	"MissingSecurityToken":    {KindDenied, "the access key is a temporary one (STS): give its security token too"},
	"InvalidAccessKeyId":      {KindDenied, "the access key does not exist or is disabled: give another, or enable it in the RAM console"},
	"InvalidAccessKeyIdError": {KindDenied, "the access key does not exist or is disabled: give another, or enable it in the RAM console"},
	"SignatureDoesNotMatch":   {KindDenied, "the access key secret does not belong to the access key id: give both anew"},
	"InvalidSecurityToken":    {KindDenied, "the temporary access key has expired or is cut off: obtain it anew"},
	"InvalidTimeStamp":        {kind: KindClockSkew},
	"SignatureNonceUsed":      {KindUnavailable, "nothing to do: the next attempt has a new nonce; if it stays, a proxy repeats requests"},
	"Forbidden":               {kind: KindDenied},
	"NoPermission":            {kind: KindDenied},
	"Throttling":              {kind: KindThrottled},
}

func meaningOf(code string) meaning {
	return codes[family(code)]
}

// Family is the code without what makes it one of many, as Throttling is of
// Throttling.User; empty for a code that is not known here. There are few of
// them, whatever a proxy before the cloud may write.
func (e *Error) Family() string { return family(e.Code) }

func family(code string) string {
	for ; code != ""; code = code[:max(strings.LastIndexByte(code, '.'), 0)] {
		if _, known := codes[code]; known {
			return code
		}
	}
	return ""
}

func kindOf(status int, code string) Kind {
	switch kind := meaningOf(code).kind; {
	case kind != KindOther:
		return kind
	case status == http.StatusTooManyRequests:
		return KindThrottled
	case status >= 500, code == "":
		return KindUnavailable
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return KindDenied
	}
	return KindOther
}

// timeLeft is how ACR's gateway says when a throttled user may call again.
var timeLeft = regexp.MustCompile(`(?:^|,)\s*TimeLeft:\s*(\d{1,9})\s*(?:,|$)`)

// longestWait bounds what an answer can make us wait.
const longestWait = time.Hour

// retryAfter reads both ways in which an answer asks us to wait.
func retryAfter(h http.Header, now time.Time) time.Duration {
	var wait time.Duration
	if value := strings.TrimSpace(h.Get("Retry-After")); value != "" {
		if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
			wait = time.Duration(seconds) * time.Second
		} else if at, err := http.ParseTime(value); err == nil {
			wait = at.Sub(now)
		}
	}
	for _, name := range []string{"X-Ratelimit-User-Api", "X-Ratelimit-User"} {
		if m := timeLeft.FindStringSubmatch(h.Get(name)); m != nil {
			ms, _ := strconv.Atoi(m[1]) // at most nine digits
			wait = max(wait, time.Duration(ms)*time.Millisecond)
		}
	}
	return min(max(wait, 0), longestWait)
}

// printable returns the first 200 characters of a foreign text, on one line
// and without what a terminal would obey.
func printable(s string) string {
	const most = 200
	words := strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(c rune) bool {
		return unicode.IsSpace(c) || !unicode.IsPrint(c)
	})
	runes := []rune(strings.Join(words, " "))
	if len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return string(runes)
}

// Delay returns how long the cloud asks us to wait, for whoever plans the next
// attempt.
func (e *Error) Delay() time.Duration { return e.RetryAfter }
