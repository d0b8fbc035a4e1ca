package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/rival"
)

// adopts has the chart's policy let pullkey take Secrets over; it does so once
// ConfigMap pullkey says it too.
func (p *plane) adopts(t *testing.T) {
	t.Helper()
	p.apply(t, rightsOf(rendered(t, "--set", "adopt=true")))
	t.Cleanup(func() { p.policiesAreRestored(t) })
	p.eventually(t, "the limits let a Secret be taken over", p.marking(t))
}

// marking is an attempt to take a Secret over.
func (p *plane) marking(t *testing.T) func(context.Context) error {
	t.Helper()
	namespace := p.namespace(t, "adoptable")
	p.foreign(t, namespace, `{"auths":{}}`)
	mark := []byte(`{"metadata":{"labels":{"app.kubernetes.io/managed-by":"pullkey"}}}`)
	return func(ctx context.Context) error {
		_, err := p.pullkey.CoreV1().Secrets(namespace).Patch(ctx, secretName, types.MergePatchType, mark, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
}

// rightsOf leaves out what the tests do themselves: ConfigMap pullkey and the
// Deployment.
func rightsOf(manifests string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(manifests, "\n---\n"), func(d string) bool {
		return strings.Contains(d, "\nkind: ConfigMap\n") || strings.Contains(d, "\nkind: Deployment\n")
	}), "\n---\n")
}

// foreign makes a Secret of our name that is not ours, changed.
func (p *plane) foreign(t *testing.T, namespace, document string, change ...func(*corev1.Secret)) *corev1.Secret {
	t.Helper()
	theirs := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secretName}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(document)},
	}
	for _, c := range change {
		c(theirs)
	}
	made, err := p.admin.CoreV1().Secrets(namespace).Create(t.Context(), theirs, metav1.CreateOptions{FieldManager: rival.Name})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestAForeignSecretIsTakenOverInPlaceWithTheEntriesOfOthers(t *testing.T) {
	o := openOffice(t)
	o.adopts(t)
	namespace := o.namespace(t, "theirs")
	stale := o.acr.Instances()[0].Hosts[0]
	own := `{ "username":"me", "password": "<&>\u00e9","auth":"bWU6PCY+w6k=" }`
	theirs := o.foreign(t, namespace, `{"auths":{"`+stale+`":{"auth":"b2xkOm9sZA=="},"registry.example.com/team":`+own+`}}`, func(s *corev1.Secret) {
		s.Labels = map[string]string{"team": "a", "app.kubernetes.io/managed-by": "them"}
		s.Annotations = map[string]string{"note": "x"}
	})
	o.configure(t, o.config(namespace))
	o.says(t, "ForeignSecret", "was not made by pullkey", rival.Name, "the vendor's helper", `set adopt: "true" in ConfigMap pullkey-system/pullkey`)
	if now, _, err := o.pullSecret(t.Context(), namespace); err != nil || now.ResourceVersion != theirs.ResourceVersion {
		t.Errorf("it was touched (%v)", err)
	}
	o.attached(t, namespace, "default")

	o.choose(t, "adopt", "true")
	asTheirs := func(now *corev1.Secret) {
		t.Helper()
		if now.UID != theirs.UID {
			t.Error("it was made anew")
		}
		if !bytes.Contains(now.Data[corev1.DockerConfigJsonKey], []byte(`"registry.example.com/team":`+own)) {
			t.Errorf("their entry is not as it was: %s", now.Data[corev1.DockerConfigJsonKey])
		}
		for key, want := range map[string]string{
			"team": "a", "note": "x", "app.kubernetes.io/managed-by": "pullkey",
			"pullkey.dev/kept": "registry.example.com/team", "pullkey.dev/managed-by-before": "them",
		} {
			if got := cmp.Or(now.Labels[key], now.Annotations[key]); got != want {
				t.Errorf("%s: got %q, want %q", key, got, want)
			}
		}
	}
	taken := o.served(t, namespace)
	asTheirs(taken)
	o.attached(t, namespace, "default", secretName)

	// At each renewal too, also by a controller that did not take it over.
	o.stop()
	o.start(t, o.asProgram(t))
	late := o.namespace(t, "late")
	o.configure(t, o.config(namespace, late))
	o.served(t, late)
	o.setAccessKey(t, o.acr.AddAccessKey(everything))
	o.renewed(t, taken)
	asTheirs(o.served(t, namespace))

	// Handed back it is as it was, but for what pullkey wrote into it.
	o.choose(t, "handBack", "true")
	o.eventually(t, "it is handed back", func(ctx context.Context) error {
		now, _, err := o.pullSecret(ctx, namespace)
		if err == nil && (now.Labels["app.kubernetes.io/managed-by"] != "them" || len(now.Annotations) != 1 || now.UID != theirs.UID) {
			err = fmt.Errorf("got labels %v, annotations %v", now.Labels, now.Annotations)
		}
		return err
	})
}

// renewed waits until a Secret is another version.
func (o *office) renewed(t *testing.T, before *corev1.Secret) {
	t.Helper()
	o.eventually(t, "it is renewed", func(ctx context.Context) error {
		now, _, err := o.pullSecret(ctx, before.Namespace)
		if err == nil && now.ResourceVersion == before.ResourceVersion {
			err = errors.New("it is not")
		}
		return err
	})
}

// A namespace that is let go keeps what was its own before.
func TestOfASecretThatWasTakenOverTheEntriesOfOthersStay(t *testing.T) {
	o := openOffice(t)
	o.adopts(t)
	kept, bare := o.namespace(t, "kept"), o.namespace(t, "bare")
	theirs := o.foreign(t, kept, `{"auths":{"registry.example.com":{"auth":"bWU6bWU="}}}`)
	o.account(t, kept, "builder", secretName, "mine")
	o.foreign(t, bare, `{"auths":{}}`)
	o.choose(t, "adopt", "true")
	o.configure(t, o.config(kept, bare))
	o.served(t, kept)
	o.served(t, bare)
	o.configure(t, o.config("nowhere"))
	o.unserved(t, bare)
	o.eventually(t, "theirs is left", func(ctx context.Context) error {
		now, entries, err := o.pullSecret(ctx, kept)
		if err == nil && (len(entries) != 1 || entries["registry.example.com"].Auth != "bWU6bWU=" || len(now.Labels)+len(now.Annotations) > 0 || now.UID != theirs.UID) {
			err = fmt.Errorf("got %d entries, labels %v, annotations %v", len(entries), now.Labels, now.Annotations)
		}
		return err
	})
	o.attached(t, kept, "builder", secretName, "mine")
}

func TestASecretThatCannotHoldTheCredentialIsNotTakenOver(t *testing.T) {
	o := openOffice(t)
	o.adopts(t)
	yes := true
	o.choose(t, "adopt", "true")
	refused := map[string]*corev1.Secret{}
	for name, c := range map[string]struct {
		document, want string
		change         func(*corev1.Secret)
	}{
		"immutable": {`{"auths":{}}`, "is immutable", func(s *corev1.Secret) { s.Immutable = &yes }},
		"opaque":    {`{"auths":{}}`, "is of type Opaque", func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }},
		"twice":     {`{"auths":{"a.io":{},"a.io":{}}}`, "a field is given twice", func(*corev1.Secret) {}},
		"capitals":  {`{"Auths":{"a.io":{}}}`, "in other capitals", func(*corev1.Secret) {}},
		"more":      {`{"auths":{}}`, "holds more than .dockerconfigjson", func(s *corev1.Secret) { s.Data["token"] = []byte("x") }},
	} {
		namespace := o.namespace(t, name)
		refused[namespace] = o.foreign(t, namespace, c.document, c.change)
		defer func() {
			if got := o.said("ForeignSecret", c.want); got != 1 {
				t.Errorf("%s: got %d Events with %q, want 1", name, got, c.want)
			}
		}()
	}
	good := o.namespace(t, "good")
	var all []string
	for namespace := range refused {
		all = append(all, namespace)
	}
	o.configure(t, o.config(append(all, good)...))
	o.served(t, good)
	o.setAccessKey(t, o.acr.AddAccessKey(everything)) // a second look
	for namespace, theirs := range refused {
		o.eventually(t, "it is said", func(context.Context) error {
			if got := o.said("ForeignSecret"); got < len(refused) {
				return fmt.Errorf("%d of %d", got, len(refused))
			}
			return nil
		})
		now, err := o.admin.CoreV1().Secrets(namespace).Get(t.Context(), secretName, metav1.GetOptions{})
		if err != nil || now.ResourceVersion != theirs.ResourceVersion {
			t.Errorf("%s is not as it was (%v)", namespace, err)
		}
	}
}

// With adopt the limits let pullkey take pull Secrets over, and nothing more.
func TestPullkeyTakesOverPullSecretsAlone(t *testing.T) {
	p := onControlPlane(t)
	ctx := t.Context()
	p.adopts(t)
	yes := true
	mark := `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"pullkey"}}`
	for name, c := range map[string]struct {
		change func(*corev1.Secret)
		patch  string
	}{
		"an immutable one":       {func(s *corev1.Secret) { s.Immutable = &yes }, mark + "}"},
		"an opaque one":          {func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }, mark + "}"},
		"one with more":          {func(s *corev1.Secret) { s.Data["token"] = []byte("x") }, mark + `,"data":{"token":null}}`},
		"as another's":           {func(*corev1.Secret) {}, `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"Helm"}}}`},
		"with a label":           {func(*corev1.Secret) {}, `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"pullkey","a":"b"}}}`},
		"less their label":       {func(s *corev1.Secret) { s.Labels = map[string]string{"a": "b"} }, `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"pullkey","a":null}}}`},
		"less their note":        {func(s *corev1.Secret) { s.Annotations = map[string]string{"a": "b"} }, `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"pullkey"},"annotations":null}}`},
		"with more data":         {func(*corev1.Secret) {}, mark + `,"data":{"server":"eA=="}}`},
		"with an owner":          {func(*corev1.Secret) {}, `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"pullkey"},"finalizers":["example.com/stay"]}}`},
		"without marking it":     {func(*corev1.Secret) {}, `{"data":{".dockerconfigjson":"e30="}}`},
		"and make it for ever":   {func(*corev1.Secret) {}, mark + `,"immutable":true}`},
		"back, as somebody's":    {mine, `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"Helm"},"annotations":null}}`},
		"back, with a last word": {mine, `{"metadata":{"labels":{"app.kubernetes.io/managed-by":null},"annotations":null},"data":{".dockerconfigjson":"e30="}}`},
		"back, in part":          {mine, `{"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}`},
	} {
		namespace := p.namespace(t, "limits")
		p.foreign(t, namespace, `{"auths":{}}`, c.change)
		_, err := p.pullkey.CoreV1().Secrets(namespace).Patch(ctx, secretName, types.MergePatchType, []byte(c.patch), metav1.PatchOptions{FieldManager: "pullkey"})
		refused(t, name, err)
		if !denied(err) {
			t.Errorf("%s: got %v, want the policy to refuse it", name, err)
		}
	}
	namespace := p.namespace(t, "limits")
	p.foreign(t, namespace, `{"auths":{}}`)
	err := p.pullkey.CoreV1().Secrets(namespace).Delete(ctx, secretName, metav1.DeleteOptions{})
	refused(t, "delete one", err)
	if _, err := p.forgeSecret(ctx, p.namespace(t, "limits"), corev1.SecretTypeServiceAccountToken, false); !denied(err) {
		t.Errorf("a token under our name: got %v", err)
	}
	token := p.namespace(t, "limits")
	victim := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "victim"}}
	if _, err := p.admin.CoreV1().ServiceAccounts(token).Create(ctx, victim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.foreign(t, token, `{"auths":{}}`, func(s *corev1.Secret) {
		s.Type, s.Data, s.Annotations = corev1.SecretTypeServiceAccountToken, nil, map[string]string{corev1.ServiceAccountNameKey: "victim"}
	})
	_, err = p.pullkey.CoreV1().Secrets(token).Patch(ctx, secretName, types.MergePatchType, []byte(mark+`}`), metav1.PatchOptions{FieldManager: "pullkey"})
	refused(t, "take a token over", err)
}

// mine makes a Secret look like pullkey's own.
func mine(s *corev1.Secret) {
	s.Labels = map[string]string{"app.kubernetes.io/managed-by": "pullkey"}
	s.Annotations = map[string]string{"pullkey.dev/namespace": "x"}
}

// Without the chart's value the key alone takes nothing over, and it is said why.
func TestWhereTheLimitsForbidItASecretIsNotTakenOverAndTheRemedyIsSaid(t *testing.T) {
	o := openOffice(t)
	o.isEnforced(t, "foreign Secrets", o.marking(t)) // again, after another test
	namespace, good := o.namespace(t, "theirs"), o.namespace(t, "good")
	theirs := o.foreign(t, namespace, `{"auths":{}}`)
	o.choose(t, "adopt", "true")
	o.configure(t, o.config(namespace, good))
	o.served(t, good)
	o.says(t, "pullkey-limit-secrets", "where the chart's value adopt is true")
	now, _, err := o.pullSecret(t.Context(), namespace)
	if err != nil || now.ResourceVersion != theirs.ResourceVersion {
		t.Errorf("it is not as it was (%v)", err)
	}
}

// The move, step by step, with a working Secret throughout.
func TestTheMoveOverAndBack(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "moving")
	o.account(t, namespace, "builder", "mine")
	r := o.rivalFor(namespace)
	stop := o.writes(t, r, 200*time.Millisecond)
	theirs := o.served(t, namespace)
	o.always(t, namespace)

	// Shadow: another Secret beside theirs, and nobody's work undone.
	const shadow = "pullkey-shadow"
	o.stop()
	o.apply(t, rightsOf(rendered(t, "--set", "secretName="+shadow)))
	t.Cleanup(func() { o.policiesAreRestored(t) })
	o.shadow = shadow
	o.start(t, o.asProgram(t))
	o.choose(t, "inject.serviceAccounts", "false")
	o.configure(t, o.config(namespace))
	o.served(t, namespace)
	if got := o.said("Contested") + o.said("ForeignSecret") + o.said("EntryRemoved"); got > 0 {
		t.Errorf("it quarrels: %q", o.events)
	}
	o.stop()
	o.shadow = ""

	// Adopt: theirs is stopped first.
	stop()
	o.adopts(t)
	o.choose(t, "adopt", "true")
	o.start(t, o.asProgram(t))
	o.eventually(t, "it is taken over", func(ctx context.Context) error {
		now, _, err := o.pullSecret(ctx, namespace)
		if err == nil && now.Labels["app.kubernetes.io/managed-by"] != "pullkey" {
			err = errors.New("it is not")
		}
		return err
	})
	if taken := o.served(t, namespace); taken.UID != theirs.UID {
		t.Error("it was made anew")
	}
	o.attached(t, namespace, "default", secretName)

	// Back: the rival goes on with the same Secret, and pullkey writes nothing there.
	o.choose(t, "handBack", "true")
	o.eventually(t, "it is handed back", func(ctx context.Context) error {
		now, _, err := o.pullSecret(ctx, namespace)
		if err == nil && len(now.Labels)+len(now.Annotations) > 0 {
			err = fmt.Errorf("got labels %v, annotations %v", now.Labels, now.Annotations)
		}
		return err
	})
	o.attached(t, namespace, "default", secretName)
	o.soonBorn(t, namespace, podOf(o.acr.Instances()[0].Hosts[0]+"/team/app:1"), secretName) // by its ServiceAccount
	began := time.Now()
	o.writes(t, r, 200*time.Millisecond)
	o.account(t, namespace, "late")
	o.configure(t, with(o.config(namespace), "service-account", "*"))
	o.setAccessKey(t, o.acr.AddAccessKey(everything))
	o.eventually(t, "the rival writes it", func(ctx context.Context) error {
		_, entries, err := o.pullSecret(ctx, namespace)
		user, _ := o.acr.Owner()
		if host := o.acr.Instances()[0].Hosts[0]; err == nil && entries[host].Username != user {
			err = fmt.Errorf("got %q", entries[host].Username)
		}
		return err
	})
	if back := o.served(t, namespace); back.UID != theirs.UID {
		t.Error("it was made anew")
	}
	o.attached(t, namespace, "late")
	if got := o.takeovers(t, namespace, began); got != 0 {
		t.Errorf("pullkey wrote the Secret %d times after it was handed back", got)
	}
	// And again, from what is like any other foreign Secret now.
	o.choose(t, "adopt", "true")
	o.eventually(t, "it is taken over anew", func(ctx context.Context) error {
		if o.takeovers(t, namespace, began) == 0 {
			return errors.New("it is not")
		}
		return nil
	})
}

// always fails the test when the namespace's Secret is found not to open the
// registries, from now to the end of the test.
func (o *office) always(t *testing.T, namespace string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	looks := 0
	ended.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			found, err := o.admin.CoreV1().Secrets(namespace).Get(ctx, secretName, metav1.GetOptions{})
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				t.Errorf("at some time: %v", err)
				return
			}
			for _, instance := range o.acr.Instances() {
				if err := o.opensWith(ctx, instance, found); err != nil && ctx.Err() == nil {
					t.Errorf("at some time: %v", err)
					return
				}
			}
			looks++
		}
	})
	t.Cleanup(func() {
		cancel()
		ended.Wait()
		if looks < 10 {
			t.Errorf("it was looked at %d times", looks)
		}
	})
}

// opensWith asks the authorization server of an instance with what a Secret holds.
func (o *office) opensWith(ctx context.Context, i localacr.RunningInstance, s *corev1.Secret) error {
	entries, err := entriesOf(s)
	if err != nil {
		return err
	}
	return o.opens(ctx, i, i.Hosts[0], entries[i.Hosts[0]])
}
