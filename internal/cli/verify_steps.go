package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/registry"
	"github.com/pullkey/pullkey/internal/source"
)

// skewWorthTelling is how far two clocks may differ without a word.
const skewWorthTelling = 30 * time.Second

// identify asks who we are.
func (v *verifier) identify(ctx context.Context, s *step) error {
	s.fact("name", v.who.Name())
	s.fact("why", v.why)
	key, err := v.who.Key(ctx)
	if err != nil {
		if errors.Is(err, alicloud.ErrNoMetadata) || errors.Is(err, alicloud.ErrNoRole) {
			err = advise(err, noIdentityHint)
		}
		return err
	}
	kind := "permanent"
	switch {
	case !key.ExpiresAt.IsZero():
		kind = "temporary, until " + moment(key.ExpiresAt, v.Now())
	case !key.SessionToken.Empty():
		kind = "temporary"
	}
	s.fact("key", kind)
	return nil
}

// way is that to one instance.
type way struct {
	acr.Instance
	configured acrconfig.Instance
	who        alicloud.Identity
	credential credential.Credential
	// hosts are those of the instance; listed tells that the cloud has listed
	// them, and they are not only its names by rule.
	hosts  []string
	listed bool
	// alone tells that no other instance is verified.
	alone bool
}

// instance takes the steps of one instance, if it is known who we are.
func (v *verifier) instance(ctx context.Context, in acrconfig.Instance, known, alone bool) {
	w := way{Instance: acr.Instance{ID: in.ID, Region: in.Region}, configured: in, who: v.who, alone: alone}
	if in.AssumeRoleARN != "" {
		w.who = alicloud.AssumeRole(v.sts, v.who, in.AssumeRoleARN, in.ExpireDuration)
		known = v.after(ctx, known, "role for "+w.String(), func(ctx context.Context, s *step) error {
			s.fact("name", w.who.Name())
			_, err := w.who.Key(ctx)
			return err
		})
	}
	token := v.after(ctx, known, "token of "+w.String(), func(ctx context.Context, s *step) error { return v.token(ctx, s, &w) })
	settled := v.after(ctx, known, "hosts of "+w.String(), func(ctx context.Context, s *step) error { return v.endpointsOf(ctx, s, &w) })
	hosts, name := v.places(&w), "registries of "+w.String()
	v.placed = v.placed || !settled || len(hosts) > 0
	switch {
	case token && len(hosts) > 0:
		v.registries(ctx, &w, hosts)
	case !token || !settled:
		v.after(ctx, false, name, nil)
	case v.host == "":
		v.step(ctx, name, func(context.Context, *step) error {
			return skippedError{advise(errors.New("only patterns are configured, and a pattern is no host to ask"), "name a host with --image")}
		})
	}
}

func (v *verifier) token(ctx context.Context, s *step, w *way) error {
	if in := w.configured; in.AccessKey.ID != "" || in.AccessKeyFrom != "" || in.RRSARoleARN != "" {
		s.fact("note", "the controller asks in another name: "+identityOf(in))
	}
	key, err := w.who.Key(ctx)
	if err != nil {
		return err
	}
	w.credential, err = v.acr.AuthorizationToken(ctx, key, v.endpoints(w.configured), w.Instance)
	if skew := v.openAPI.Skew(); skew.Abs() >= skewWorthTelling {
		s.fact("clock", skewText(skew))
	}
	if err != nil {
		return err
	}
	s.fact("user", w.credential.Username)
	s.fact("expires", moment(w.credential.ExpiresAt, v.Now()))
	return nil
}

// endpointsOf finds out the hosts of the instance.
func (v *verifier) endpointsOf(ctx context.Context, s *step, w *way) error {
	domains := w.configured.Domains
	w.hosts = acr.StandardHosts(w.Instance)
	switch {
	case len(w.hosts) > 0:
		s.fact("note", "its names by rule: the Personal Edition lists none")
	case len(domains) > 0 && len(source.Strange(domains, nil)) == 0:
		// As the controller, which needs no right to list them then.
		w.hosts = domains
		s.fact("note", "as configured: they are ACR's by their names, and no list is asked for")
	default:
		key, err := w.who.Key(ctx)
		if err != nil {
			return err
		}
		if w.hosts, err = v.acr.Endpoints(ctx, key, v.endpoints(w.configured), w.Instance); err != nil {
			return err
		}
		w.listed = true
	}
	for _, host := range w.hosts {
		v.maskHost(host)
		s.fact("host", host)
	}
	return nil
}

// may tells whether the credential may go to a host: by the controller's rule,
// without its flag; and what a laboratory gives out stays there.
func (v *verifier) may(w *way, host string) bool {
	name, _, _ := strings.Cut(host, ":")
	if v.laboratory(w.configured) {
		return openapi.IsLoopback(name)
	}
	return len(source.Strange([]string{host}, w.hosts)) == 0
}

// places are the hosts to show the credential to: that of the image, if the
// instance has it, or all.
func (v *verifier) places(w *way) []string {
	all := w.configured.Domains
	if len(all) == 0 {
		all = w.hosts
	}
	switch {
	case v.host == "":
		// A pattern of the key of 2019 is no host.
		return slices.DeleteFunc(slices.Clone(all), func(host string) bool { return strings.Contains(host, "*") })
	case slices.Contains(w.hosts, v.host), slices.Contains(all, v.host), w.alone && !w.listed && v.may(w, v.host):
		return []string{v.host}
	}
	return nil
}

// registries shows the credential to each registry that is to have it.
func (v *verifier) registries(ctx context.Context, w *way, hosts []string) {
	taken, first := 0, len(v.report.Steps)
	for _, host := range hosts {
		if v.registry(ctx, w, host) {
			taken++
		}
	}
	if taken == 0 && wrong(v.report.Steps[first:]) == 0 {
		v.step(ctx, "registries of "+w.String(), func(context.Context, *step) error {
			return advise(errors.New("no host took the credential"), "run it where the images are pulled: the names of a VPC are known in it alone")
		})
	}
}

// registry shows the credential to one registry, and gets the image's
// manifest if it is there.
func (v *verifier) registry(ctx context.Context, w *way, host string) bool {
	name, taken := "registry "+host, false
	if !v.may(w, host) {
		v.step(ctx, name, func(context.Context, *step) error {
			if v.laboratory(w.configured) {
				return skippedError{errors.New("ACR's API is on this machine: what it gives out stays here")}
			}
			return skippedError{advise(errors.New("it is neither a name of ACR's nor listed by the cloud: no credential goes there"), "the controller needs --allow-host %s for it", host)}
		})
		return false
	}
	var client *registry.Client
	v.step(ctx, name, func(ctx context.Context, s *step) error {
		var err error
		if client, err = v.conversation(w, host); err != nil {
			return err
		}
		in, err := client.Login(ctx)
		switch taken = err == nil; {
		case err != nil:
			return w.judge(err)
		case in.Token != nil:
			s.fact("realm", in.Token.Realm)
			s.fact("service", in.Token.Service)
			s.fact("expires", moment(in.Token.ExpiresAt, v.Now()))
		case !in.Checked:
			s.fact("note", "it lets everybody in")
		}
		return nil
	})
	if taken && host == v.host {
		v.asked = true
		v.step(ctx, "manifest of "+v.image.String(), func(ctx context.Context, s *step) error {
			d, err := client.Describe(ctx, v.image)
			if err != nil {
				return err
			}
			s.fact("digest", d.Digest)
			s.fact("type", d.MediaType)
			s.fact("for", strings.Join(d.Platforms, ", "))
			return nil
		})
	}
	return taken
}

// conversation is one with a registry as the credential.
func (v *verifier) conversation(w *way, host string) (*registry.Client, error) {
	return registry.New(host, registry.Options{
		Profile: registry.Containerd, Login: credential.Login{Username: w.credential.Username, Password: w.credential.Password},
		LoginSource: "ACR's API", KeepPassword: true, RootCAs: v.roots, Proxy: v.proxy(), Now: v.Now, Wait: v.Wait, Version: v.Version,
		AllowRealm: func(realm string) bool {
			return acr.IsRealm(realm) && (acr.IsHost(host) || w.listed && slices.Contains(w.hosts, host))
		},
	})
}

// judge says what it means that a registry did not take the credential: it is
// nothing that a host cannot be reached from here, nor that one refuses which
// is the instance's by rule alone.
func (w *way) judge(err error) error {
	e, ok := errors.AsType[*registry.Error](err)
	if !ok {
		return err
	}
	switch {
	case e.Cause == registry.CauseRegistryUnreachable, e.Cause == registry.CauseRealmUnreachable,
		e.Cause == registry.CauseCredential && !w.listed && len(w.configured.Domains) == 0:
		return skippedError{err}
	case e.Cause == registry.CauseCredential:
		return advise(err, "ACR's API gave the credential out a moment ago: is the host one of this instance, and in this region?")
	}
	return err
}

// skippedError is why a step was not taken, or proves nothing.
type skippedError struct{ error }

// Unwrap returns the error itself, with its remedy.
func (e skippedError) Unwrap() error { return e.error }

// skewText says how our clock differs from the cloud's.
func skewText(skew time.Duration) string {
	way := "ahead of"
	if skew < 0 {
		way = "behind"
	}
	return fmt.Sprintf("ours is %s %s the cloud's", span(skew), way)
}
