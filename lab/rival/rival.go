// Package rival is another writer of pull Secrets, as the vendor's helper is one:
// it writes the Secret of the vendor's name in the vendor's form, under the vendor's
// name, again and again, and names it in ServiceAccounts, whose lists it overwrites.
//
// Its one rule: it knows nothing of pullkey.
package rival

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

const (
	// Name is that of the vendor's helper: of its Deployment in kube-system, and of
	// its program, which is the field manager.
	Name       = "aliyun-acr-credential-helper"
	SecretName = "acr-credential-secret-aggregation" //nolint:gosec // the name of a Secret
)

// Login is what opens a registry.
type Login struct{ Username, Password string }

// Rival writes until it is stopped.
type Rival struct {
	Client kubernetes.Interface
	// Namespaces get the Secret; Accounts name it there.
	Namespaces, Accounts []string
	// Logins are what it writes, by host: asked for anew in each round.
	Logins func(ctx context.Context) (map[string]Login, error)
	// Rebuild has it write its Secret as if nobody else had put anything there: no
	// label and no annotation stays. Without it only the content is replaced. Which
	// of the two the vendor's helper does is not known.
	Rebuild bool
	// ByUpdate has it update ServiceAccounts instead of patching them.
	ByUpdate bool
}

// Run writes at once and then each time after the period, until ctx ends. It
// returns what went wrong last, and goes on meanwhile.
func (r *Rival) Run(ctx context.Context, period time.Duration) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		err := r.Round(ctx)
		select {
		case <-ctx.Done():
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		case <-tick.C:
		}
	}
}

// Round writes everything once.
func (r *Rival) Round(ctx context.Context) error {
	logins, err := r.Logins(ctx)
	if err != nil {
		return fmt.Errorf("ask for logins: %w", err)
	}
	document, err := Document(logins)
	if err != nil {
		return err
	}
	var errs []error
	for _, namespace := range r.Namespaces {
		errs = append(errs, r.secret(ctx, namespace, document))
		for _, account := range r.Accounts {
			errs = append(errs, r.account(ctx, namespace, account))
		}
	}
	return errors.Join(errs...)
}

// Document is the content of the Secret in the vendor's form.
func Document(logins map[string]Login) ([]byte, error) {
	type entry struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Email    string `json:"email"`
		Auth     string `json:"auth"`
	}
	auths := map[string]entry{}
	for host, l := range logins {
		auths[host] = entry{l.Username, l.Password, "cs@aliyuncs.com", base64.StdEncoding.EncodeToString([]byte(l.Username + ":" + l.Password))}
	}
	document, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		return nil, fmt.Errorf("encode the content: %w", err)
	}
	return document, nil
}

// secret writes the Secret as a controller does that has read it before.
func (r *Rival) secret(ctx context.Context, namespace string, document []byte) error {
	secrets := r.Client.CoreV1().Secrets(namespace)
	made := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: SecretName, Namespace: namespace},
		Type:       corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: document},
	}
	for {
		found, err := secrets.Get(ctx, SecretName, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			_, err = secrets.Create(ctx, made, metav1.CreateOptions{FieldManager: Name})
		case err == nil && r.Rebuild:
			made.ResourceVersion = found.ResourceVersion
			_, err = secrets.Update(ctx, made, metav1.UpdateOptions{FieldManager: Name})
		case err == nil:
			found.Data = made.Data
			_, err = secrets.Update(ctx, found, metav1.UpdateOptions{FieldManager: Name})
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
}

// account overwrites the list of a ServiceAccount, as the vendor's documents say.
func (r *Rival) account(ctx context.Context, namespace, name string) error {
	accounts := r.Client.CoreV1().ServiceAccounts(namespace)
	list := []corev1.LocalObjectReference{{Name: SecretName}}
	if !r.ByUpdate {
		patch, err := json.Marshal(map[string]any{"imagePullSecrets": list})
		if err != nil {
			return fmt.Errorf("encode a patch: %w", err)
		}
		_, err = accounts.Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: Name})
		return err
	}
	for {
		found, err := accounts.Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			found.ImagePullSecrets = list
			_, err = accounts.Update(ctx, found, metav1.UpdateOptions{FieldManager: Name})
		}
		if !apierrors.IsConflict(err) {
			return err
		}
	}
}
