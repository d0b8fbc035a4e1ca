package controller

import (
	"context"
	"fmt"
	"strings"

	"github.com/pullkey/pullkey/internal/credential"
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
	key, err := c.readAccessKey(context.Background())
	if err != nil {
		return false // each attempt says so itself
	}
	old := c.accessKey
	c.accessKey = key
	return old.ID != key.ID || !old.Secret.Equal(key.Secret)
}
