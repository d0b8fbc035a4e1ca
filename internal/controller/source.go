package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/credential"
)

// source asks ACR for the credential of one instance, in the name of the
// access key that the cluster holds.
type source struct {
	controller *Controller
	instance   acr.Instance
	domains    []string // as configured; empty for all of the instance

	mu       sync.Mutex
	listed   []string // the instance's own domains, as last listed
	listedAt time.Time
}

// listedFor is how long a list of domains is believed. Domains change when
// somebody adds one by hand.
const listedFor = time.Hour

// Key names the account by where its access key stands, not by the key: a new
// key for the same place goes on with the credential of the old one until it
// has brought a better one.
func (s *source) Key() string {
	id := s.instance.ID
	if id == "" {
		id = "personal"
	}
	return "acr/" + s.controller.AccessKey.String() + "/" + s.instance.Region + "/" + id
}

// Equal compares what is asked for.
func (s *source) Equal(other broker.Source) bool {
	o, ok := other.(*source)
	return ok && s.instance == o.instance && slices.Equal(s.domains, o.domains)
}

// Fetch asks for one authorization token and for the hosts that it is for.
func (s *source) Fetch(ctx context.Context, last credential.Credential) (credential.Credential, error) {
	c := s.controller
	key, err := c.readAccessKey()
	if err != nil {
		return credential.Credential{}, err
	}
	hosts, err := s.hosts(ctx, key, last.Hosts)
	if err != nil {
		c.metrics.fetch(s.instance, err)
		return credential.Credential{}, err
	}
	got, err := c.ACR.AuthorizationToken(ctx, key, s.instance)
	c.metrics.fetch(s.instance, err)
	got.Hosts = hosts
	return got, err
}

// hosts returns the configured domains, or all of the instance's. A host that
// is neither ACR's by its name, nor listed by the cloud, nor allowed at
// installation gets no credential: whoever may edit the configuration must not
// be able to send one elsewhere. While the cloud lists none, those that have the
// credential already may have the next one too: it must not end for want of a
// list.
func (s *source) hosts(ctx context.Context, key credential.AccessKey, served []string) ([]string, error) {
	if len(s.domains) == 0 {
		own, err := s.own(ctx, key)
		if err != nil && len(served) > 0 {
			return served, nil
		}
		return own, err
	}
	var strange []string
	for _, d := range s.domains {
		if !acr.IsHost(d) && !slices.Contains(s.controller.AllowedHosts, d) {
			strange = append(strange, d)
		}
	}
	if len(strange) == 0 {
		return s.domains, nil
	}
	own, err := s.own(ctx, key)
	if err != nil {
		own = served
	}
	strange = slices.DeleteFunc(strange, func(d string) bool { return slices.Contains(own, d) })
	switch {
	case len(strange) > 0 && err != nil:
		return nil, err
	case len(strange) > 0:
		return nil, fmt.Errorf("domains of instance %q: %s is no host of ACR and not among the instance's domains; "+
			"a host of your own must be allowed at installation (--allow-host)", s.instance.ID, strings.Join(strange, ", "))
	}
	return s.domains, nil
}

// own returns the instance's domains, from the cloud where it lists them. An
// old list is better than none.
func (s *source) own(ctx context.Context, key credential.AccessKey) ([]string, error) {
	if s.instance.ID == "" {
		return acr.PersonalHosts(s.instance.Region), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.controller.Now()
	if s.listed != nil && now.Sub(s.listedAt) < listedFor {
		return s.listed, nil
	}
	listed, err := s.controller.ACR.Endpoints(ctx, key, s.instance)
	if err != nil && s.listed == nil {
		return nil, err
	}
	if err == nil {
		s.listed, s.listedAt = listed, now
	}
	return s.listed, nil
}

// Keys of the access key's Secret, as the vendor has them on registered
// clusters.
const (
	keyID     = "access-key-id"
	keySecret = "access-key-secret" //nolint:gosec // the name of a key, not a key
)

// readAccessKey reads the access key from the cache.
func (c *Controller) readAccessKey() (credential.AccessKey, error) {
	secret, err := c.caches.accessKey.Secrets(c.AccessKey.Namespace).Get(c.AccessKey.Name)
	if err != nil {
		return credential.AccessKey{}, fmt.Errorf("read the access key: there is no Secret %s", c.AccessKey)
	}
	id := strings.TrimSpace(string(secret.Data[keyID]))
	value := strings.TrimSpace(string(secret.Data[keySecret]))
	if id == "" || value == "" {
		return credential.AccessKey{}, fmt.Errorf("read the access key: Secret %s needs both %s and %s",
			c.AccessKey, keyID, keySecret)
	}
	return credential.AccessKey{ID: id, Secret: credential.NewSecret(value)}, nil
}

// followAccessKey tells whether the access key is another than before.
func (c *Controller) followAccessKey() bool {
	key, err := c.readAccessKey()
	if err != nil {
		return false // each attempt says so itself
	}
	old := c.accessKey
	c.accessKey = key
	return old.ID != key.ID || !old.Secret.Equal(key.Secret)
}
