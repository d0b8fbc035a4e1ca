package controller

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/dockerconfig"
)

// content is what the pull Secret of a namespace holds.
type content struct {
	// document is nil while no account that the namespace may have has ever had a
	// credential.
	document    []byte
	digest      []byte
	annotations map[string]string
	hosts       []string
	expiresAt   time.Time // the earliest of all credentials; zero for never
	accounts    []string  // those that the namespace may have, by key
	from        []string  // those of them whose credentials stand in the document
	credentials []credential.Credential
	email       string
}

// empty tells that all that the namespace had is dead. An entry that the
// registry refuses is worse than none: kubelet does not go on as nobody, so that
// public images of the host fail too.
func (c *content) empty() bool { return c.document != nil && len(c.hosts) == 0 }

// emptied is the content without any entry.
func (c *content) emptied() *content {
	document, _ := dockerconfig.PullSecret(nil, "") // of nothing, never fails
	return &content{
		accounts: c.accounts, document: document, digest: digest(map[string][]byte{corev1.DockerConfigJsonKey: document}),
		annotations: map[string]string{annotationIssuedAt: stamp(time.Time{}), annotationExpiresAt: stamp(time.Time{}), annotationRegistries: ""},
	}
}

// annotationsIn are those of the Secret in a namespace.
func (c *content) annotationsIn(namespace string) map[string]string {
	return merged(c.annotations, map[string]string{annotationNamespace: namespace})
}

// newContent puts the credentials at hand together. One that can't be used is
// left out and told as a problem: it takes nothing away from the other accounts.
func newContent(states []broker.State, email string) (*content, []error) {
	c := &content{}
	for _, s := range states {
		c.accounts = append(c.accounts, s.Key)
		if s.Usable() {
			c.from = append(c.from, s.Key)
		}
	}
	all, problems := usable(states)
	if len(all) == 0 && !slices.ContainsFunc(states, dead) {
		return c, problems
	}
	document, err := dockerconfig.PullSecret(all, email)
	var issuedAt time.Time
	for _, one := range all {
		c.hosts = append(c.hosts, one.Hosts...)
		if one.IssuedAt.After(issuedAt) {
			issuedAt = one.IssuedAt
		}
		if !one.ExpiresAt.IsZero() && (c.expiresAt.IsZero() || one.ExpiresAt.Before(c.expiresAt)) {
			c.expiresAt = one.ExpiresAt
		}
	}
	if err != nil {
		return &content{accounts: c.accounts}, append(problems, fmt.Errorf("put %d hosts into one pull Secret: %w", len(c.hosts), err))
	}
	slices.Sort(c.hosts)
	c.document, c.credentials, c.email = document, all, email
	c.digest = digest(map[string][]byte{corev1.DockerConfigJsonKey: document})
	c.annotations = map[string]string{
		annotationIssuedAt:   stamp(issuedAt),
		annotationExpiresAt:  stamp(c.expiresAt),
		annotationRegistries: strings.Join(c.hosts, ","),
	}
	return c, problems
}

// dead tells that the account's credential is one that the registry refuses
// after its end.
func dead(s broker.State) bool { return s.Credential.Username != "" && !s.Usable() }

// usable returns the credentials that can stand beside each other. A host of
// two accounts stays with the first by key, so that it does not change hands
// from one renewal to the next.
func usable(states []broker.State) ([]credential.Credential, []error) {
	var all []credential.Credential
	var problems []error
	owner := map[string]string{}
	for _, state := range states {
		if !state.Usable() {
			continue
		}
		c := state.Credential
		if _, err := dockerconfig.PullSecret([]credential.Credential{c}, ""); err != nil {
			problems = append(problems, fmt.Errorf("account %s, with %d hosts: %w", state.Key, len(c.Hosts), err))
			continue
		}
		var hosts []string
		for _, host := range c.Hosts {
			if other, taken := owner[host]; taken {
				problems = append(problems, fmt.Errorf("account %s: %s is served by account %s already", state.Key, host, other))
				continue
			}
			owner[host] = state.Key
			hosts = append(hosts, host)
		}
		if c.Hosts = hosts; len(hosts) > 0 {
			all = append(all, c)
		}
	}
	return all, problems
}

// same tells whether both look the same in a namespace; nil is that of no
// account.
func (c *content) same(d *content) bool {
	if c == nil || d == nil {
		return c == d
	}
	return bytes.Equal(c.document, d.document) && maps.Equal(c.annotations, d.annotations)
}
