package alicloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
)

var (
	// ErrNoMetadata: this is no ECS instance, or its metadata service cannot be
	// reached from here.
	ErrNoMetadata = errors.New("the metadata service of ECS does not answer here")
	// ErrNoRole: the ECS instance has no RAM role.
	ErrNoRole = errors.New("this ECS instance has no RAM role")
)

// DefaultMetadata is where an ECS instance asks about itself.
const DefaultMetadata = "http://100.100.100.200"

const (
	// metadataTimeout bounds a request: the service is on the same host.
	metadataTimeout = time.Second
	// metadataBody bounds an answer; a key with its token has about 1 KiB.
	metadataBody = 1 << 16

	pathToken  = "/latest/api/token" //nolint:gosec // where tokens are, not one
	pathRole   = "/latest/meta-data/ram/security-credentials/"
	pathRegion = "/latest/meta-data/region-id"

	headerToken = "X-aliyun-ecs-metadata-token" //nolint:gosec // the name of a header
	headerLife  = "X-aliyun-ecs-metadata-token-ttl-seconds"
)

// Metadata is the metadata service of an ECS instance. The zero Metadata is
// ready for use; it must not be copied. It is asked in its second version, which
// wants a token, and in the first where the second is not there.
type Metadata struct {
	// Base is where it is. Empty means where it is on ECS.
	Base string
	// HTTP sends the requests, never through a proxy: what a proxy answers is
	// the proxy's metadata. Nil means a client of its own.
	HTTP *http.Client
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// NoV1 refuses the first version.
	NoV1 bool

	once   sync.Once
	direct *http.Client
}

// client returns one that goes straight to the service.
func (m *Metadata) client() *http.Client {
	m.once.Do(func() {
		m.direct = &http.Client{}
		if m.HTTP != nil {
			*m.direct = *m.HTTP
		}
		switch t := m.direct.Transport.(type) {
		case nil:
			m.direct.Transport = &http.Transport{DialContext: (&net.Dialer{Timeout: metadataTimeout}).DialContext, DisableKeepAlives: true}
		case *http.Transport:
			t = t.Clone()
			t.Proxy = nil
			m.direct.Transport = t
		}
		m.direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	})
	return m.direct
}

func (m *Metadata) time() time.Time {
	if m.Now == nil {
		return time.Now()
	}
	return m.Now()
}

// Region returns the region of the instance.
func (m *Metadata) Region(ctx context.Context) (string, error) {
	token, err := m.token(ctx)
	if err != nil {
		return "", err
	}
	region, err := m.get(ctx, token, pathRegion)
	if err == nil && !openapi.IsRegion(region) {
		err = errors.New("ask the metadata service for the region: the answer is no region")
	}
	if err != nil {
		return "", err
	}
	return region, nil
}

// Role returns the name of the instance's RAM role.
func (m *Metadata) Role(ctx context.Context) (string, error) {
	token, err := m.token(ctx)
	if err != nil {
		return "", err
	}
	return m.role(ctx, token)
}

// roleForm holds the names of roles, which become part of a path.
var roleForm = openapi.Lazily(`^[A-Za-z0-9._@-]{1,64}$`)

func (m *Metadata) role(ctx context.Context, token string) (string, error) {
	answer, err := m.get(ctx, token, pathRole)
	if status, is := errors.AsType[badStatus](err); is && status == http.StatusNotFound {
		return "", ErrNoRole
	}
	if err != nil {
		return "", err
	}
	role, _, _ := strings.Cut(answer, "\n")
	switch role = strings.TrimSpace(role); {
	case role == "":
		return "", ErrNoRole
	case !roleForm().MatchString(role) || strings.Trim(role, ".") == "":
		return "", errors.New("ask the metadata service for the RAM role: the answer is no name")
	}
	return role, nil
}

// key returns the current key of the instance's role. The cloud renews it long
// before its end.
func (m *Metadata) key(ctx context.Context) (credential.AccessKey, error) {
	token, err := m.token(ctx)
	if err != nil {
		return credential.AccessKey{}, err
	}
	role, err := m.role(ctx, token)
	if err != nil {
		return credential.AccessKey{}, err
	}
	answer, err := m.get(ctx, token, pathRole+role)
	if err != nil {
		return credential.AccessKey{}, err
	}
	key, err := parseRoleKey([]byte(answer), m.time())
	if err != nil {
		return credential.AccessKey{}, fmt.Errorf("ask the metadata service for the key of role %s: %w", role, err)
	}
	return key, nil
}

// parseRoleKey reads the key of a role, or says why the answer is none, and
// nothing of what it holds.
func parseRoleKey(answer []byte, now time.Time) (credential.AccessKey, error) {
	var a struct {
		grant
		Code string
	}
	if json.Unmarshal(answer, &a) != nil {
		return credential.AccessKey{}, errors.New("the answer is not what is documented")
	}
	if !strings.EqualFold(a.Code, "success") {
		return credential.AccessKey{}, fmt.Errorf("the answer is no success but %q", openapi.Printable(a.Code))
	}
	if _, problem := a.wrong(now, now); problem != "" {
		return credential.AccessKey{}, errors.New(problem)
	}
	return a.key(), nil
}

// tokenForm is wider than the tokens seen so far. What answers with anything
// else has no second version. The length is looked at apart: counted in the
// expression, each sign costs every start 0.7 KB.
var tokenForm = openapi.Lazily(`^[!-~]+$`)

const longestToken = 1000

// token returns the token of the second version, or an empty one where the
// first is to be asked. The answer to this request may get lost on the way to
// a pod, where the instance allows it one hop alone; the first version has no
// such limit.
func (m *Metadata) token(ctx context.Context) (string, error) {
	token, err := m.ask(ctx, http.MethodPut, pathToken, headerLife, "60")
	switch {
	case err == nil && len(token) <= longestToken && tokenForm().MatchString(token):
		return token, nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("%w: %w", ErrNoMetadata, context.Cause(ctx))
	case !m.NoV1:
		return "", nil
	case err == nil:
		err = errors.New("the answer is no token")
	}
	return "", &problem{
		"ask the metadata service for a token", "only its second version may be asked: the instance must have it, and let its answers take two hops to a pod (HttpPutResponseHopLimit)", err,
	}
}

func (m *Metadata) get(ctx context.Context, token, path string) (string, error) {
	answer, err := m.ask(ctx, http.MethodGet, path, headerToken, token)
	if status, is := errors.AsType[badStatus](err); is && token == "" && (status == http.StatusForbidden || status == http.StatusUnauthorized) {
		return "", &problem{
			"ask the metadata service for " + path, "the instance wants the second version, whose token did not come: let its answers take two hops to a pod (HttpPutResponseHopLimit)", err,
		}
	}
	if err != nil {
		return "", fmt.Errorf("ask the metadata service for %s: %w", path, err)
	}
	return answer, nil
}

// badStatus is an answer of the service that is none.
type badStatus int //nolint:errname // it is a status first

func (b badStatus) Error() string { return fmt.Sprintf("HTTP status %d", int(b)) }

// ask sends one request with one header, and returns the text of the answer.
func (m *Metadata) ask(ctx context.Context, method, path, header, value string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	base := m.Base
	if base == "" {
		base = DefaultMetadata
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, http.NoBody)
	if err != nil {
		return "", err
	}
	if value != "" {
		req.Header.Set(header, value)
	}
	resp, err := m.client().Do(req)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoMetadata, silence(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", badStatus(resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, metadataBody+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("the answer breaks off: %w", silence(err))
	case len(body) > metadataBody:
		return "", errors.New("the answer is longer than 64 KiB")
	}
	return strings.TrimSpace(string(body)), nil
}

// silence is why there was no answer. What the transport says of a broken one
// may quote it.
func silence(err error) error {
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case isOp:
		return op
	}
	return errors.New("the connection broke")
}

// ECSRole is the RAM role of the ECS instance that we run on.
func ECSRole(m *Metadata) Identity {
	return &session{name: "ECS RAM role", fetch: m.key, good: recent, now: m.time}
}

// recent tells whether a key that the cloud renews by itself need not be read
// again yet.
func recent(key credential.AccessKey, asked, now time.Time) bool {
	const age, end = time.Minute, 10 * time.Minute
	return now.Sub(asked) < age && key.ExpiresAt.Sub(now) > end
}
