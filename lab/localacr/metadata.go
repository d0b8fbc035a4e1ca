package localacr

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

const (
	// metadataSession is the life of the sessions of the attached role, which are
	// renewed when a twelfth of it is left: hours, and half an hour.
	metadataSession = 6 * time.Hour
	renewedAt       = 12
	// longestMetadataToken is that of the facts' sample (section 5.2).
	longestMetadataToken = 6 * time.Hour

	metadataToken       = "X-Aliyun-Ecs-Metadata-Token"                //nolint:gosec // a header's name
	metadataTTL         = "X-Aliyun-Ecs-Metadata-Token-Ttl-Seconds"    //nolint:gosec // a header's name
	metadataCredentials = "/latest/meta-data/ram/security-credentials" //nolint:gosec // a path
)

// metadata is the metadata service of an ECS instance.
type metadata struct {
	mu     sync.Mutex
	tokens map[digest]time.Time
	role   string // the ARN of the attached role
	key    credential.AccessKey
	opened time.Time
}

// Metadata returns the base URL of the metadata service; "" if there is none.
func (a *ACR) Metadata() string {
	for _, s := range a.sites {
		if s.server == ServerMetadata {
			return "http://" + s.address
		}
	}
	return ""
}

// AttachRole attaches a role to the ECS instance.
func (a *ACR) AttachRole(arn string) error {
	if _, ok := a.ram.role(arn); !ok {
		return fmt.Errorf("there is no role %q to attach", arn)
	}
	a.metadata.attach(arn)
	return nil
}

// DetachRole leaves the ECS instance without a role. Sessions that are out
// live on until their end.
func (a *ACR) DetachRole() { a.metadata.attach("") }

func (m *metadata) attach(arn string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.role, m.key = arn, credential.AccessKey{}
}

// serveMetadata answers what programs on the ECS instance ask.
func (a *ACR) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if a.obstruct(w, r, ServerMetadata, ActionIMDS, "") {
		return
	}
	if r.URL.Path == "/latest/api/token" {
		a.metadataToken(w, r)
		return
	}
	if status := a.mayRead(r); status != http.StatusOK {
		refuseMetadata(w, status)
		return
	}
	path := strings.TrimSuffix(r.URL.Path, "/")
	switch name, inRole := strings.CutPrefix(path, metadataCredentials+"/"); {
	case path == "/latest/meta-data/region-id":
		region := a.options.MetadataRegion
		if region == "" {
			region = a.instances[0].Region
		}
		writeText(w, http.StatusOK, region)
	case path == metadataCredentials:
		if role, ok := a.attached(); ok {
			writeText(w, http.StatusOK, role.Name)
			return
		}
		refuseMetadata(w, http.StatusNotFound)
	case inRole:
		a.metadataCredentials(w, r, name)
	default:
		refuseMetadata(w, http.StatusNotFound)
	}
}

func refuseMetadata(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<html><head><title>%d - %s</title></head><body></body></html>\n", status, http.StatusText(status))
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// metadataToken hands out a token of version 2, but not to what a proxy
// forwards.
func (a *ACR) metadataToken(w http.ResponseWriter, r *http.Request) {
	seconds, err := strconv.Atoi(r.Header.Get(metadataTTL))
	life := time.Duration(seconds) * time.Second
	switch {
	case a.options.MetadataVersion == 1:
		refuseMetadata(w, http.StatusNotFound)
		return
	case r.Method != http.MethodPut:
		refuseMetadata(w, http.StatusMethodNotAllowed)
		return
	case r.Header.Get("X-Forwarded-For") != "":
		refuseMetadata(w, http.StatusForbidden)
		return
	case err != nil || life <= 0 || life > longestMetadataToken:
		refuseMetadata(w, http.StatusBadRequest)
		return
	}
	token := randomText(56, alphanumeric)
	m := a.metadata
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tokens == nil {
		m.tokens = map[digest]time.Time{}
	}
	m.tokens[sha256.Sum256([]byte(token))] = a.clock().Add(life)
	writeText(w, http.StatusOK, token)
}

// mayRead tells with which status a read is answered. A token that is sent has
// to be good, also where none is asked for.
func (a *ACR) mayRead(r *http.Request) int {
	token := r.Header.Get(metadataToken)
	switch {
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed
	case a.options.MetadataVersion == 1, token == "" && a.options.MetadataVersion == 0:
		return http.StatusOK
	case token == "":
		return http.StatusForbidden
	}
	a.metadata.mu.Lock()
	defer a.metadata.mu.Unlock()
	if until, ok := a.metadata.tokens[sha256.Sum256([]byte(token))]; !ok || !a.clock().Before(until) {
		return http.StatusUnauthorized
	}
	return http.StatusOK
}

// attached returns the role of the ECS instance.
func (a *ACR) attached() (Role, bool) {
	a.metadata.mu.Lock()
	defer a.metadata.mu.Unlock()
	return a.ram.role(a.metadata.role)
}

// metadataCredentials hands out the session of the attached role.
func (a *ACR) metadataCredentials(w http.ResponseWriter, r *http.Request, name string) {
	m := a.metadata
	m.mu.Lock()
	defer m.mu.Unlock()
	role, ok := a.ram.role(m.role)
	if !ok || role.Name != name {
		refuseMetadata(w, http.StatusNotFound)
		return
	}
	m.renew(a, role)
	e := recordOf(r)
	e.Role, e.Session = m.role, m.key.ID
	writeJSON(w, http.StatusOK, map[string]any{
		"Code": "Success", "AccessKeyId": m.key.ID, "AccessKeySecret": m.key.Secret.Reveal(), "SecurityToken": m.key.SessionToken.Reveal(),
		"Expiration": m.key.ExpiresAt.UTC().Format(timestamp), "LastUpdated": m.opened.UTC().Format(timestamp),
	})
}

// renew opens a new session when there is none, or little is left of it.
func (m *metadata) renew(a *ACR, role Role) {
	now := a.clock()
	if left := m.key.ExpiresAt.Sub(now); !m.key.SessionToken.Empty() && left > m.key.ExpiresAt.Sub(m.opened)/renewedAt {
		return
	}
	life := metadataSession
	if f, ok := a.faults.take(ActionIMDS, "", Lifetime); ok {
		life = f.Lifetime
	}
	m.key, m.opened = a.openSession(m.role, role, now.Add(life).Truncate(time.Second)), now
}
