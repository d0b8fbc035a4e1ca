package demo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/localacr"
)

// localACR shows the registry side alone: private images, and the temporary
// credential that ACR's API hands out for them.
func (s *story) localACR(ctx context.Context) error {
	s.http = s.lab.HTTP()
	for _, i := range s.lab.ACR.Instances() {
		edition := "Enterprise " + i.ID
		if i.ID == "" {
			edition = "Personal Edition"
		}
		s.say("%s in %s", edition, i.Region)
		image, err := s.lab.Push(ctx, i.Hosts[0], s.repository())
		if err != nil {
			return err
		}
		s.images[i.ID] = image
		s.say("  private image %s", image)
	}
	i := s.lab.ACR.Instances()[0]
	status, _, err := s.ask(ctx, i, credential.Credential{})
	if err != nil {
		return err
	}
	s.say("Without a credential the authorization server answers %d.", status)
	client := acr.Client{OpenAPI: &openapi.Client{HTTP: s.http, UserAgent: "demo"}}
	got, err := client.AuthorizationToken(ctx, s.lab.ACR.AccessKey(), acr.APIEndpoints(i.Region, false), acr.Instance{ID: i.ID, Region: i.Region})
	if err != nil {
		return err
	}
	if status, _, err = s.ask(ctx, i, got); err != nil {
		return err
	}
	s.say("GetAuthorizationToken, signed with the access key: user %s,", got.Username)
	s.say("good for %s. With it the answer is %d.", time.Until(got.ExpiresAt).Round(time.Second), status)
	if status != http.StatusOK {
		return fmt.Errorf("the authorization server refuses the credential that the API gave out: status %d", status)
	}
	s.seen = len(s.lab.ACR.AccessLog().Entries())
	return nil
}

// ask asks an instance's authorization server for a token, as docker login
// does, and returns the status and the token.
func (s *story) ask(ctx context.Context, i localacr.RunningInstance, c credential.Credential) (int, credential.Secret, error) {
	query := url.Values{"service": {i.Service}, "scope": {"repository:" + s.repository() + ":pull"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.Realm+"?"+query.Encode(), nil)
	if err != nil {
		return 0, credential.Secret{}, fmt.Errorf("ask for a token: %w", err)
	}
	if c.Username != "" {
		request.SetBasicAuth(c.Username, c.Password.Reveal())
	}
	response, err := s.http.Do(request)
	if err != nil {
		return 0, credential.Secret{}, fmt.Errorf("ask for a token: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // read to its end below
	var answer struct{ Token string }
	if response.StatusCode == http.StatusOK {
		err = json.NewDecoder(response.Body).Decode(&answer)
	}
	return response.StatusCode, credential.NewSecret(answer.Token), err
}

// manifest asks the registry itself for the first image's manifest and returns
// the status.
func (s *story) manifest(ctx context.Context, i localacr.RunningInstance, token credential.Secret) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://"+i.Hosts[0]+"/v2/"+s.repository()+"/manifests/1", nil)
	if err != nil {
		return 0, fmt.Errorf("ask the registry: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token.Reveal())
	request.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	response, err := s.http.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask the registry: %w", err)
	}
	return response.StatusCode, response.Body.Close()
}

func (s *story) repository() string { return "shop-" + s.tag + "/app" }

func (s *story) kubernetes(ctx context.Context) error {
	if err := s.lab.StartCluster(ctx); err != nil {
		return err
	}
	node, err := s.kubectl(ctx, "get", "nodes", "--output",
		"jsonpath={.items[0].metadata.name} {.items[0].status.nodeInfo.kubeletVersion} {.items[0].status.nodeInfo.containerRuntimeVersion}")
	if err != nil {
		return err
	}
	s.say("node %s is Ready (after %s)", node, s.elapsed())
	return nil
}

func (s *story) namespaces() (first, second string) { return "shop-" + s.tag, "bakery-" + s.tag }

func (s *story) pullkey(ctx context.Context) error {
	first, second := s.namespaces()
	if err := s.lab.Install(ctx); err != nil {
		return err
	}
	s.say("deploy/chart is installed: two replicas run on the node, their image")
	s.say("  came from the local ACR; they have the rights of ServiceAccount")
	s.say("  %s/pullkey-controller and no other (after %s)", lab.Namespace, s.elapsed())
	if err := s.lab.Configure(ctx, threshold, "default", first, second); err != nil {
		return err
	}
	s.say("ConfigMap kube-system/acr-configuration: both instances, namespaces")
	s.say("  default, %s, %s (the last two do not exist yet)", first, second)
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	host, _, _ := strings.Cut(s.images[s.lab.ACR.Instances()[0].ID], "/")
	if err := s.lab.Injecting(limited, "default", host); err != nil {
		return err
	}
	s.conversation()
	return nil
}

func (s *story) firstPod(ctx context.Context) error {
	first, _ := s.namespaces()
	if err := s.runPod(ctx, first, s.images[s.lab.ACR.Instances()[0].ID]); err != nil {
		return err
	}
	s.conversation()
	found, err := s.pullSecret(ctx, first)
	if err != nil {
		return err
	}
	s.first = found.credential
	i := s.lab.ACR.Instances()[0]
	if _, s.token, err = s.ask(ctx, i, s.first); err != nil {
		return err
	}
	status, err := s.manifest(ctx, i, s.token)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("with the pull Secret's credential the registry answers %d", status)
	}
	s.say("Secret %s", lab.SecretName)
	for _, host := range found.credential.Hosts {
		s.say("  for %s", host)
	}
	s.say("  until %s (%s from now)", found.credential.ExpiresAt.Format(time.TimeOnly), time.Until(found.credential.ExpiresAt).Round(time.Second))
	account, err := s.kubectl(ctx, "get", "serviceaccount", "default", "--namespace", first,
		"--output", "jsonpath={.imagePullSecrets[*].name}")
	if err != nil {
		return err
	}
	s.say("ServiceAccount default names: %s", account)
	return named(account, "ServiceAccount default of "+first)
}

// runPod makes a namespace and a pod in it with one apply and waits until the
// pod runs.
func (s *story) runPod(ctx context.Context, namespace, image string) error {
	began := time.Now()
	_, err := s.lab.Kubectl(ctx, fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: %[1]s}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: %[2]q}]
`, namespace, image), "apply", "--filename", "-")
	if err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, "wait", "pod/app", "--namespace", namespace,
		"--for", "jsonpath={.status.phase}=Running", "--timeout", "60s"); err != nil {
		events, _ := s.kubectl(ctx, "get", "events", "--namespace", namespace) // only to say more
		return fmt.Errorf("%w\n%s", err, events)
	}
	s.say("kubectl apply: namespace %s with pod app,", namespace)
	s.say("  image %s", image)
	s.say("The pod is Running after %.1f s.", time.Since(began).Seconds())
	names, err := s.kubectl(ctx, "get", "pod/app", "--namespace", namespace,
		"--output", "jsonpath={.spec.imagePullSecrets[*].name}")
	if err != nil {
		return err
	}
	s.say("It was born with imagePullSecrets: %s", names)
	return named(names, "pod app of "+namespace)
}

// named is an error unless the pull Secret is among the names.
func named(names, whose string) error {
	if !slices.Contains(strings.Fields(names), lab.SecretName) {
		return fmt.Errorf("%s does not name %s but %q", whose, lab.SecretName, names)
	}
	return nil
}

// secret is what the story tells of a pull Secret: the credential for the
// Enterprise instance's public host, with all hosts that the Secret is for.
type secret struct{ credential credential.Credential }

func (s *story) pullSecret(ctx context.Context, namespace string) (secret, error) {
	text, err := s.kubectl(ctx, "get", "secret", lab.SecretName, "--namespace", namespace, "--output", "json")
	if err != nil {
		return secret{}, err
	}
	var found struct {
		Metadata struct{ Annotations map[string]string }
		Data     map[string]string
	}
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		return secret{}, fmt.Errorf("read the pull Secret of %s: %w", namespace, err)
	}
	document, err := base64.StdEncoding.DecodeString(found.Data[".dockerconfigjson"])
	if err != nil {
		return secret{}, fmt.Errorf("read the pull Secret of %s: %w", namespace, err)
	}
	var config struct {
		Auths map[string]struct{ Username, Password string }
	}
	if err := json.Unmarshal(document, &config); err != nil {
		return secret{}, fmt.Errorf("read the pull Secret of %s: %w", namespace, err)
	}
	expires, err := time.Parse(time.RFC3339, found.Metadata.Annotations["pullkey.dev/expires-at"])
	if err != nil {
		return secret{}, fmt.Errorf("read the pull Secret of %s: %w", namespace, err)
	}
	entry := config.Auths[s.lab.ACR.Instances()[0].Hosts[0]]
	return secret{credential.Credential{
		Username: entry.Username, Password: credential.NewSecret(entry.Password),
		Hosts:     strings.Split(found.Metadata.Annotations["pullkey.dev/registries"], ","),
		ExpiresAt: expires.Local(),
	}}, nil
}

// rotation waits until the first pod's credential has expired, shows that it
// is refused, and runs a pod with its successor.
func (s *story) rotation(ctx context.Context) error {
	first, second := s.namespaces()
	s.say("waiting until %s for the first credential to expire …", s.first.ExpiresAt.Format(time.TimeOnly))
	timer := time.NewTimer(time.Until(s.first.ExpiresAt.Add(time.Second)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	if err := s.oldIsRefused(ctx); err != nil {
		return err
	}
	now, err := s.pullSecret(ctx, first)
	if err != nil {
		return err
	}
	if now.credential.Password.Equal(s.first.Password) {
		return fmt.Errorf("the pull Secret still holds the credential that has expired")
	}
	s.say("The Secret holds another since, good until %s.", now.credential.ExpiresAt.Format(time.TimeOnly))
	s.seen = len(s.lab.ACR.AccessLog().Entries())
	if err := s.runPod(ctx, second, s.images[""]); err != nil {
		return err
	}
	s.conversation()
	return nil
}

// oldIsRefused tries the first credential, and the token it was once worth.
func (s *story) oldIsRefused(ctx context.Context) error {
	i := s.lab.ACR.Instances()[0]
	login, _, err := s.ask(ctx, i, s.first)
	if err != nil {
		return err
	}
	pull, err := s.manifest(ctx, i, s.token)
	if err != nil {
		return err
	}
	s.say("The old password: the authorization server answers %d;", login)
	s.say("a token that it was worth: the registry answers %d.", pull)
	if login != http.StatusUnauthorized || pull != http.StatusUnauthorized {
		return fmt.Errorf("a credential that has expired is still taken: login %d, pull %d", login, pull)
	}
	return nil
}
