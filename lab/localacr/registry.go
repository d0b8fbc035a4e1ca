package localacr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/auth"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // the storage driver
	"github.com/sirupsen/logrus"
)

const controllerName = "localacr"

// adoptDistribution does once per process what distribution keeps in globals:
// it names our access controller and silences the log.
var adoptDistribution = sync.OnceValue(func() error {
	logrus.SetOutput(io.Discard)
	return auth.Register(controllerName, func(options map[string]any) (auth.AccessController, error) {
		c, ok := options["controller"].(auth.AccessController)
		if !ok {
			return nil, errors.New("no access controller is given")
		}
		return c, nil
	})
})

// newRegistry opens the registry whose content is in dir. The configuration
// is made by hand and so has no defaults; what is wrong with one makes
// distribution panic (facts, registry-protocol 2.1).
func newRegistry(ctx context.Context, dir string, c auth.AccessController) (app *handlers.App, err error) {
	if err := adoptDistribution(); err != nil {
		return nil, fmt.Errorf("register the access controller: %w", err)
	}
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("distribution refuses its configuration: %v", reason)
		}
	}()
	config := &configuration.Configuration{
		Version: configuration.CurrentVersion,
		Storage: configuration.Storage{
			"filesystem":  {"rootdirectory": dir},
			"delete":      {"enabled": true},
			"redirect":    {"disable": true},
			"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
		},
		Auth:    configuration.Auth{controllerName: {"controller": c}},
		Catalog: configuration.Catalog{MaxEntries: 1000},
		Tags:    configuration.Tags{MaxTags: 1000},
	}
	config.HTTP.Secret = randomText(32, alphanumeric)
	config.Validation.Manifests.URLs.Allow = []string{"^https?://"}
	return handlers.NewApp(context.WithoutCancel(ctx), config), nil
}

// accessController decides for one registry. It is our own because
// distribution's accepts tokens for a minute after they expired.
type accessController struct {
	acr      *ACR
	instance *instance
}

// Authorized implements auth.AccessController.
func (c *accessController) Authorized(r *http.Request, access ...auth.Access) (*auth.Grant, error) {
	e := recordOf(r)
	var asked []scope
	for _, a := range access {
		asked = join(asked, scope{Type: a.Type, Name: a.Name, Actions: []string{a.Action}})
	}
	e.Asked = scopeTexts(asked)
	no := &challenge{realm: c.realm(r.Host), service: c.instance.service(), scope: strings.Join(e.Asked, " ")}
	kind, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") || text == "" {
		e.Code = "no token"
		return nil, no
	}
	token, err := c.acr.tokens.verify(text, c.instance.service(), c.acr.clock())
	if err == nil && c.acr.authorizations.revoked(token.Consent) {
		err = errRevokedCredential
	}
	if err != nil {
		no.reason, e.Code = "invalid_token", "invalid_token"
		if errors.Is(err, errExpiredCredential) || errors.Is(err, errRevokedCredential) {
			e.Code = err.Error()
		}
		return nil, no
	}
	e.User, e.Credential = token.Subject, token.credential()
	for _, a := range access {
		if !contains(token.Access, a.Type, a.Name, a.Action) {
			no.reason, e.Code = "insufficient_scope", "insufficient_scope"
			return nil, no
		}
	}
	e.Granted = e.Asked
	return &auth.Grant{User: auth.UserInfo{Name: token.Subject}}, nil
}

func (c *accessController) realm(host string) string {
	sites := c.acr.registrySites(c.instance)
	for _, s := range sites {
		if s.address == strings.TrimSuffix(strings.ToLower(host), ":443") {
			return c.acr.realm(s)
		}
	}
	return c.acr.realm(sites[0])
}

// challenge is the refusal that tells where to get a token.
type challenge struct{ realm, service, scope, reason string }

// Error implements error.
func (c *challenge) Error() string { return "authentication required" }

// SetHeaders implements auth.Challenge.
func (c *challenge) SetHeaders(_ *http.Request, w http.ResponseWriter) {
	header := fmt.Sprintf("Bearer realm=%q,service=%q", c.realm, c.service)
	if c.scope != "" {
		header += fmt.Sprintf(",scope=%q", c.scope)
	}
	if c.reason != "" {
		header += fmt.Sprintf(",error=%q", c.reason)
	}
	w.Header().Set("WWW-Authenticate", header)
}
