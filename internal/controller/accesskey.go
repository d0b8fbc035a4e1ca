package controller

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/source"
)

// Keys of the access key's Secret, as the vendor has them on registered
// clusters.
const (
	keyID     = "access-key-id"
	keySecret = "access-key-secret" //nolint:gosec // the name of a key, not a key
)

// readAccessKey reads the access key from the cache.
func (c *Controller) readAccessKey(context.Context) (credential.AccessKey, error) {
	secret, err := c.caches.accessKey.Secrets(c.AccessKey.Namespace).Get(c.AccessKey.Name)
	if err != nil {
		return credential.AccessKey{}, fmt.Errorf("no access key in Secret %s: %w", c.AccessKey, source.ErrAbsent)
	}
	return accessKeyOf(secret)
}

// readNamedKey reads the access key that an instance names, anew each time.
func (c *Controller) readNamedKey(ctx context.Context, name string) (credential.AccessKey, error) {
	secret, err := c.Client.Secrets(c.Namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return credential.AccessKey{}, &keyForbiddenError{c.Namespace, name}
	case apierrors.IsNotFound(err):
		return credential.AccessKey{}, &noKeyError{c.Namespace, name}
	case err != nil:
		return credential.AccessKey{}, fmt.Errorf("read the access key that accessKeyFrom names: Secret %s/%s: %w", c.Namespace, name, err)
	}
	return accessKeyOf(secret)
}

// keyForbiddenError tells that pullkey may not read the Secret.
type keyForbiddenError struct{ namespace, name string }

func (e *keyForbiddenError) Error() string {
	return fmt.Sprintf("read the access key that accessKeyFrom names: Secret %s/%s is not among those that pullkey may read", e.namespace, e.name)
}

// Hint says how to allow it.
func (e *keyForbiddenError) Hint() string {
	return fmt.Sprintf("add %s to resourceNames of Role %s/pullkey-access-keys: kubectl -n %[2]s edit role pullkey-access-keys", e.name, e.namespace)
}

// noKeyError tells that the Secret is not there.
type noKeyError struct{ namespace, name string }

func (e *noKeyError) Error() string {
	return fmt.Sprintf("read the access key that accessKeyFrom names: there is no Secret %s/%s", e.namespace, e.name)
}

// Hint says how to make it.
func (e *noKeyError) Hint() string {
	return fmt.Sprintf("kubectl -n %s create secret generic %s --from-file=%s=./id --from-file=%s=./secret", e.namespace, e.name, keyID, keySecret)
}

func accessKeyOf(secret *corev1.Secret) (credential.AccessKey, error) {
	id := strings.TrimSpace(string(secret.Data[keyID]))
	value := strings.TrimSpace(string(secret.Data[keySecret]))
	if id == "" || value == "" {
		return credential.AccessKey{}, fmt.Errorf("read the access key: Secret %s/%s needs both %s and %s",
			secret.Namespace, secret.Name, keyID, keySecret)
	}
	return credential.AccessKey{ID: id, Secret: credential.NewSecret(value)}, nil
}

// followers are the accounts that ask, or may ask, in the name of the access key.
func (c *Controller) followers() []string {
	var keys []string
	for _, a := range c.accounts {
		if a.FollowsAccessKey() {
			keys = append(keys, a.Key())
		}
	}
	return keys
}

// followAccessKey tells whether the access key is another than before.
func (c *Controller) followAccessKey() bool {
	key, err := c.readAccessKey(context.Background())
	if err != nil {
		c.accessKey = credential.AccessKey{} // the same one coming back is news
		return false                         // each attempt says so itself
	}
	old := c.accessKey
	c.accessKey = key
	return old.ID != key.ID || !old.Secret.Equal(key.Secret)
}
