package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/registry"
	"github.com/pullkey/pullkey/internal/source"
)

// The variables that ack-pod-identity-webhook gives a pod for RRSA.
const (
	envRole     = "ALIBABA_CLOUD_ROLE_ARN"
	envProvider = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN"
	envToken    = "ALIBABA_CLOUD_OIDC_TOKEN_FILE"
)

// envNoV1 switches the first version of the metadata service off, as in Alibaba
// Cloud's own libraries.
const envNoV1 = "ALIBABA_CLOUD_IMDSV1_DISABLED"

// cloudOf returns the ways to the cloud and who we can be there.
func cloudOf(f *flags, client *apiserver.API) (*source.Cloud, error) {
	roots, err := registry.Authorities(f.caFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	cloud := &source.Cloud{
		API: &openapi.Client{
			HTTP: &http.Client{Transport: openapi.Transport(roots, http.ProxyFromEnvironment)}, Now: time.Now, UserAgent: "pullkey/" + version(),
		},
		Now: time.Now, Endpoint: f.endpoint, STSEndpoint: f.stsEndpoint, AllowedHosts: f.allowedHosts,
		Identities: source.Identities{
			Identity: f.identity, TokenFile: f.tokenFile, ReadFile: os.ReadFile,
			RRSA: source.RRSAConfig{RoleARN: os.Getenv(envRole), ProviderARN: os.Getenv(envProvider)},
		},
		Ask: source.Asking(registry.Options{RootCAs: roots, Proxy: http.ProxyFromEnvironment, Now: time.Now, Version: version()}),
	}
	if f.metadata != "" {
		cloud.Metadata = &alicloud.Metadata{Base: f.metadata, NoV1: os.Getenv(envNoV1) == "true"}
	}
	switch file := os.Getenv(envToken); {
	case f.rrsaAccountName.Name != "":
		cloud.RRSA.From = "ServiceAccount " + f.rrsaAccountName.String()
		cloud.RRSA.Token = func(ctx context.Context) (credential.Secret, error) {
			return requestToken(ctx, client, f.rrsaAccountName.Namespace, f.rrsaAccountName.Name)
		}
	case file != "":
		cloud.RRSA.From = file
		cloud.RRSA.Token = func(context.Context) (credential.Secret, error) {
			text, err := os.ReadFile(file) //nolint:gosec // the pod's own
			if err != nil {
				return credential.Secret{}, fmt.Errorf("read the ServiceAccount's token for RRSA: %w", err)
			}
			return credential.NewSecret(strings.TrimSpace(string(text))), nil
		}
	}
	return cloud, nil
}

// requestToken asks the API server for a token of another ServiceAccount, for
// RAM trust policies that name it: that of the vendor's helper, as a rule. Ten
// minutes are the shortest life that the API server gives.
func requestToken(ctx context.Context, client *apiserver.API, namespace, name string) (credential.Secret, error) {
	life := int64((10 * time.Minute).Seconds())
	made, err := client.RequestToken(ctx, namespace, name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{alicloud.Audience}, ExpirationSeconds: &life},
	})
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return credential.Secret{}, &tokenError{namespace, name, err}
	}
	if err != nil {
		return credential.Secret{}, fmt.Errorf("request a token of ServiceAccount %s/%s for RRSA: %w", namespace, name, err)
	}
	return credential.NewSecret(made.Status.Token), nil
}

// tokenError tells that the ServiceAccount is not there or its tokens are not
// for us.
type tokenError struct {
	namespace, name string
	err             error
}

func (e *tokenError) Error() string {
	return fmt.Sprintf("request a token of ServiceAccount %s/%s for RRSA: %v", e.namespace, e.name, e.err)
}

// Unwrap returns what the API server said.
func (e *tokenError) Unwrap() error { return e.err }

// Hint says what to do.
func (*tokenError) Hint() string {
	return "rrsa.serviceAccount of the chart gives the right, and rrsa.createServiceAccount makes it where it is missing; the policy pullkey-limit-tokens allows no other"
}

// linked is set by the linker: -ldflags '-X main.linked=v1.2.3'.
var linked string

func version() string {
	if linked != "" {
		return linked
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
