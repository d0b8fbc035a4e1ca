package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/footprint"
)

const (
	masterCopyName = footprint.MasterCopy
	masterCopyType = footprint.MasterCopyType
	masterCopyKey  = "credentials.json"
)

// masterCopy keeps the broker's credentials in pullkey's own namespace. What
// stands in other namespaces is never read back: a tenant could have planted
// it.
type masterCopy struct {
	client    apiserver.Client
	namespace string
	allowed   []string // hosts that the operator allows

	mu      sync.Mutex
	sum     []byte // of the content that it should have; nil before there is one
	version string // that it had when it was last read or written
}

// kept is a credential as it is stored.
type kept struct {
	Username  string    `json:"username"`
	Password  string    `json:"password"`
	Hosts     []string  `json:"hosts"`
	Listed    []string  `json:"listed,omitempty"` // those of the hosts that the cloud's word alone allows
	For       string    `json:"for,omitempty"`    // what was asked for, and in whose name
	IssuedAt  time.Time `json:"issuedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	Refused   bool      `json:"refused,omitempty"` // by the registry, after its end
}

// readAgain is how long the wait is before what pullkey kept is read again,
// doubled up to half a minute: an API server that has just started answers in
// a moment.
func readAgain() wait.DelayFunc {
	return wait.Backoff{Duration: time.Second, Factor: 2, Steps: 10, Cap: 30 * time.Second}.DelayFunc()
}

// begin reads what pullkey kept, before anything is done, and until that goes
// well: begun without it, an account whose cloud is down would lose what it
// has, here and in every namespace. What somebody else wrote in its place is
// passed over. The only error is that of a ctx that has ended.
func (c *Controller) begin(ctx context.Context, read func(context.Context) error) error {
	said := false
	return readAgain().Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		err := read(ctx)
		if err != nil && !said && ctx.Err() == nil {
			said = true
			c.Log.Warn("begin with what was kept", "error", err)
		}
		return err == nil || errors.Is(err, errNotAsWritten), nil
	})
}

// errNotAsWritten says that somebody else wrote what pullkey keeps.
var errNotAsWritten = errors.New("it is not as pullkey writes it")

// Load reads the master copy; none is an empty one.
func (m *masterCopy) Load(ctx context.Context) (map[string]credential.Credential, error) {
	found, err := m.client.Secrets(m.namespace).Get(ctx, masterCopyName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s/%s: %w", m.namespace, masterCopyName, err)
	}
	all, err := m.decode(found)
	if err != nil {
		return nil, fmt.Errorf("read Secret %s/%s: %w", m.namespace, masterCopyName, err)
	}
	m.shouldBe(sumOf(found), found.ResourceVersion)
	return all, nil
}

// shouldBe notes what content the copy should have, and its version, unless that
// is not known yet.
func (m *masterCopy) shouldBe(sum []byte, version string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum, m.version = sum, cmp.Or(version, m.version)
}

// sumOf stands for the content of a copy, where nothing secret may stand.
func sumOf(s *corev1.Secret) []byte {
	return digest(map[string][]byte{masterCopyKey: s.Data[masterCopyKey], "type": []byte(s.Type)})
}

// reduce has a cache keep nothing of the copy but its sum. It runs twice on the same
// object when the cache is filled by a watch.
func reduceMasterCopy(o any) (any, error) {
	s, ok := o.(*corev1.Secret)
	if _, done := s.GetAnnotations()[digestKey]; !ok || done {
		return o, nil
	}
	meta := slimMeta(&s.ObjectMeta)
	meta.Annotations = map[string]string{digestKey: string(sumOf(s))}
	return &corev1.Secret{ObjectMeta: meta}, nil
}

// lost tells whether somebody has deleted the copy or changed what it holds, and what
// stands for the content that it should have. What a cache shows late, a version from
// before our own last write, is neither.
func (m *masterCopy) lost(o versioned, gone bool) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := o.(*corev1.Secret)
	return string(m.sum), ok && m.sum != nil &&
		(gone || s.Annotations[digestKey] != string(m.sum) && newer(o, &compact{version: m.version}))
}

// followMasterCopy has the copy written again that somebody has deleted or changed:
// without it a restart during an outage of the cloud would begin with nothing.
func (c *Controller) followMasterCopy(o versioned, gone bool) {
	object := &corev1.ObjectReference{Kind: kindSecret, APIVersion: "v1", Namespace: c.Namespace, Name: masterCopyName}
	about := key(object.Kind, object.Namespace, object.Name)
	goal, lost := c.master.lost(o, gone)
	if !lost || c.DryRun { // beside a rehearsal somebody writes in earnest
		c.unsay(about)
		return
	}
	if c.givesWay(object, goal, entriesMost(), reasonContested, "somebody keeps changing or deleting Secret "+masterCopyName+
		": pullkey leaves it as it is until it has another credential") {
		return
	}
	c.quarrels.acted(about, goal)
	c.Log.Warn("the master copy of the credentials was deleted or changed by somebody; it is written again", "gone", gone)
	c.broker.Lost()
}

// mayServe tells whether a host is ACR's by its name, or allowed today. A host
// of the broker's that is neither was listed by the cloud (source.hosts).
func (m *masterCopy) mayServe(host string) bool {
	return acr.IsHost(host) || slices.Contains(m.allowed, host)
}

// decode reads the credentials that a master copy holds. Those that lack a
// part are left out, and so asked for anew; so are hosts that were allowed when
// the copy was written, and are not today.
func (m *masterCopy) decode(found *corev1.Secret) (map[string]credential.Credential, error) {
	var stored map[string]kept
	if found.Type != masterCopyType || json.Unmarshal(found.Data[masterCopyKey], &stored) != nil {
		// The decoder's own error could quote what it read.
		return nil, errNotAsWritten
	}
	all := map[string]credential.Credential{}
	for key, k := range stored {
		k.Hosts = slices.DeleteFunc(k.Hosts, func(h string) bool { return !m.mayServe(h) && !slices.Contains(k.Listed, h) })
		if k.Username == "" || k.Password == "" || len(k.Hosts) == 0 || k.IssuedAt.IsZero() || k.ExpiresAt.IsZero() {
			continue
		}
		all[key] = credential.Credential{
			Username: k.Username, Password: credential.NewSecret(k.Password), Hosts: k.Hosts, For: k.For,
			IssuedAt: k.IssuedAt, ExpiresAt: k.ExpiresAt, Refused: k.Refused,
		}
	}
	return all, nil
}

func (m *masterCopy) encode(all map[string]credential.Credential) ([]byte, error) {
	stored := map[string]kept{}
	for key, c := range all {
		listed := slices.DeleteFunc(slices.Clone(c.Hosts), m.mayServe)
		stored[key] = kept{c.Username, c.Password.Reveal(), c.Hosts, listed, c.For, c.IssuedAt, c.ExpiresAt, c.Refused}
	}
	body, err := json.Marshal(stored) //nolint:gosec // into a Secret, which is where it belongs
	if err != nil {
		return nil, fmt.Errorf("encode the credentials: %w", err)
	}
	return body, nil
}

// Save replaces the master copy.
func (m *masterCopy) Save(ctx context.Context, all map[string]credential.Credential) error {
	body, err := m.encode(all)
	if err != nil {
		return err
	}
	next := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: masterCopyName, Labels: map[string]string{labelManagedBy: managedBy}},
		Type:       masterCopyType, Data: map[string][]byte{masterCopyKey: body},
	}
	m.shouldBe(sumOf(next), "") // a cache may show it before the answer is here
	made, err := apiserver.ApplySecret(ctx, m.client, next, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("write Secret %s/%s: %w", m.namespace, masterCopyName, err)
	}
	m.shouldBe(sumOf(next), made.ResourceVersion)
	return nil
}
