package demo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/localacr"
)

// localACR shows the registry side alone: private images, and the temporary
// credential that ACR's API hands out for them.
func (s *story) localACR(ctx context.Context) error {
	for _, i := range s.lab.ACR.Instances() {
		edition := "Enterprise " + i.ID
		if i.ID == "" {
			edition = "Personal Edition"
		}
		s.say("%s in %s", edition, i.Region)
		image, err := s.lab.Push(ctx, i.Hosts[0], "shop-"+s.tag+"/app")
		if err != nil {
			return err
		}
		s.images[i.ID] = image
		s.say("  private image %s", image)
	}
	i := s.lab.ACR.Instances()[0]
	status, err := s.ask(ctx, i, credential.Credential{})
	if err != nil {
		return err
	}
	s.say("Without a credential the authorization server answers %d.", status)
	client := acr.Client{HTTP: s.lab.HTTP(), UserAgent: "pullkey demo"}
	got, err := client.AuthorizationToken(ctx, s.lab.ACR.AccessKey(), acr.Instance{ID: i.ID, Region: i.Region})
	if err != nil {
		return err
	}
	if status, err = s.ask(ctx, i, got); err != nil {
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
// does, and returns the status.
func (s *story) ask(ctx context.Context, i localacr.RunningInstance, c credential.Credential) (int, error) {
	query := url.Values{"service": {i.Service}, "scope": {"repository:shop-" + s.tag + "/app:pull"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.Realm+"?"+query.Encode(), nil)
	if err != nil {
		return 0, fmt.Errorf("ask for a token: %w", err)
	}
	if c.Username != "" {
		request.SetBasicAuth(c.Username, c.Password.Reveal())
	}
	response, err := s.lab.HTTP().Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask for a token: %w", err)
	}
	return response.StatusCode, response.Body.Close()
}

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
	s.say("deploy/ is applied; the controller runs as")
	s.say("  system:serviceaccount:%s:pullkey-controller", lab.Namespace)
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
	s.first, s.until = found.password, found.expires
	s.say("Secret %s", lab.SecretName)
	for _, host := range found.registries {
		s.say("  for %s", host)
	}
	s.say("  until %s (%s from now)", found.expires.Format(time.TimeOnly), time.Until(found.expires).Round(time.Second))
	account, err := s.kubectl(ctx, "get", "serviceaccount", "default", "--namespace", first,
		"--output", "jsonpath={.imagePullSecrets[*].name}")
	if err != nil {
		return err
	}
	s.say("ServiceAccount default names: %s", account)
	return nil
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
	return nil
}

// secret is what the story tells of a pull Secret.
type secret struct {
	registries []string
	expires    time.Time
	password   string // of the Enterprise instance's public host; never printed
}

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
		Auths map[string]struct{ Password string }
	}
	if err := json.Unmarshal(document, &config); err != nil {
		return secret{}, fmt.Errorf("read the pull Secret of %s: %w", namespace, err)
	}
	expires, err := time.Parse(time.RFC3339, found.Metadata.Annotations["pullkey.dev/expires-at"])
	if err != nil {
		return secret{}, fmt.Errorf("read the pull Secret of %s: %w", namespace, err)
	}
	return secret{
		registries: strings.Split(found.Metadata.Annotations["pullkey.dev/registries"], ","),
		expires:    expires.Local(),
		password:   config.Auths[s.lab.ACR.Instances()[0].Hosts[0]].Password,
	}, nil
}

// rotation waits until the first pod's credential has expired, shows that it
// is refused, and runs a pod with its successor.
func (s *story) rotation(ctx context.Context) error {
	first, second := s.namespaces()
	s.say("waiting until %s for the first credential to expire …", s.until.Format(time.TimeOnly))
	timer := time.NewTimer(time.Until(s.until.Add(time.Second)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	i := s.lab.ACR.Instances()[0]
	status, err := s.ask(ctx, i, credential.Credential{Username: "cr_temp_user", Password: credential.NewSecret(s.first)})
	if err != nil {
		return err
	}
	s.say("The old password is answered %d.", status)
	if status != http.StatusUnauthorized {
		return fmt.Errorf("the authorization server still takes a credential that has expired: status %d", status)
	}
	now, err := s.pullSecret(ctx, first)
	if err != nil {
		return err
	}
	if now.password == s.first {
		return fmt.Errorf("the pull Secret still holds the credential that has expired")
	}
	s.say("The Secret holds another since, good until %s.", now.expires.Format(time.TimeOnly))
	s.seen = len(s.lab.ACR.AccessLog().Entries())
	if err := s.runPod(ctx, second, s.images[""]); err != nil {
		return err
	}
	s.conversation()
	return nil
}
