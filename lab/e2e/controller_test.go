package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/lab/localacr"
)

func TestAWatchedNamespaceGetsASecretAndItsServiceAccountsNameIt(t *testing.T) {
	o := openOffice(t)
	watched, other := o.namespace(t, "watched"), o.namespace(t, "other")
	o.configure(t, o.config(watched))
	secret := o.served(t, watched)
	o.attached(t, watched, "default", secretName)

	if secret.Type != corev1.SecretTypeDockerConfigJson {
		t.Errorf("got type %s", secret.Type)
	}
	expires, err := time.Parse(time.RFC3339, secret.Annotations["pullkey.dev/expires-at"])
	if err != nil || time.Until(expires) > time.Hour || time.Until(expires) < 50*time.Minute {
		t.Errorf("got expires-at %v (%v), want about an hour from now", expires, err)
	}
	registries := strings.Split(secret.Annotations["pullkey.dev/registries"], ",")
	for _, instance := range o.acr.Instances() {
		for _, host := range instance.Hosts {
			if !slices.Contains(registries, host) {
				t.Errorf("the annotation names %v, not %s", registries, host)
			}
		}
	}
	if _, _, err := o.pullSecret(t.Context(), other); !apierrors.IsNotFound(err) {
		t.Errorf("a namespace that is not watched: got %v, want no Secret", err)
	}
	if got := o.calls(); got != 2 {
		t.Errorf("got %d calls of GetAuthorizationToken, want one per instance", got)
	}
}

func TestNamespacesAndServiceAccountsThatComeLaterAreServed(t *testing.T) {
	o := openOffice(t)
	early := o.namespace(t, "early")
	late := "late-" + early
	o.configure(t, with(o.config(early, late), "service-account", "default,builder"))
	o.served(t, early)
	if _, err := o.admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: late}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	o.served(t, late)
	o.attached(t, late, "default", secretName)
	builder := &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Name: "builder"}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "mine"}},
	}
	if _, err := o.admin.CoreV1().ServiceAccounts(early).Create(t.Context(), builder, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	o.attached(t, early, "builder", "mine", secretName)
}

func TestWithoutAValidConfigurationNothingIsDoneAndNothingUndone(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "watched")
	o.says(t, "NoConfiguration", "nothing is done")

	o.configure(t, with(o.config(namespace), "expiring-threshold", "soon"))
	o.says(t, "InvalidConfiguration", "expiring-threshold", "nothing is done")

	o.configure(t, o.config(namespace))
	before := o.served(t, namespace)
	o.attached(t, namespace, "default", secretName)

	o.configure(t, map[string]string{"watch-namespace": "nowhere", "acr-registry-info": "- instanceId: \"cri-x\" // mine"})
	o.says(t, "InvalidConfiguration", "acr-registry-info", "the last valid configuration stays in force")
	o.configure(t, map[string]string{"watch-namespace": ""})
	o.says(t, "NoConfiguration", "has no value", "the last valid configuration stays in force")
	if err := o.admin.CoreV1().ConfigMaps("kube-system").Delete(t.Context(), "acr-configuration", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	o.says(t, "NoConfiguration", "acr-configuration is missing: the last valid configuration stays in force")

	// Also after a restart.
	o.stop()
	o.start(t, o.asProgram(t))
	late := o.namespace(t, "late")
	o.says(t, "NoConfiguration", "the last valid configuration stays in force")
	o.attached(t, namespace, "default", secretName)
	after := o.served(t, namespace)
	if after.UID != before.UID {
		t.Error("the Secret was made anew")
	}
	o.configure(t, o.config(namespace, late))
	o.served(t, late)
}

func TestANamespaceNoLongerWatchedIsLeftAsItWas(t *testing.T) {
	o := openOffice(t)
	kept, dropped := o.namespace(t, "kept"), o.namespace(t, "dropped")
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "app"}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "mine"}}}
	if _, err := o.admin.CoreV1().ServiceAccounts(dropped).Create(t.Context(), sa, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	o.configure(t, with(o.config(kept, dropped), "service-account", "*"))
	o.served(t, dropped)
	o.attached(t, dropped, "app", "mine", secretName)

	o.configure(t, with(o.config(kept), "service-account", "*"))
	o.attached(t, dropped, "app", "mine")
	o.attached(t, dropped, "default")
	o.eventually(t, "the Secret is gone", func(ctx context.Context) error {
		_, _, err := o.pullSecret(ctx, dropped)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
	o.attached(t, kept, "default", secretName)
}

func TestASecretThatIsDeletedOrEditedByHandIsRepaired(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "watched")
	o.configure(t, o.config(namespace))
	first := o.served(t, namespace)
	secrets := o.admin.CoreV1().Secrets(namespace)
	if err := secrets.Delete(t.Context(), secretName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	second := o.served(t, namespace)
	if second.UID == first.UID {
		t.Fatal("it was not deleted")
	}
	for _, patch := range []string{
		`{"data":{".dockerconfigjson":"e30="}}`,
		`{"metadata":{"annotations":{"pullkey.dev/expires-at":"tomorrow"}}}`,
	} {
		edited, err := secrets.Patch(t.Context(), secretName, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		o.eventually(t, "the edit is undone", func(ctx context.Context) error {
			now, _, err := o.pullSecret(ctx, namespace)
			if err != nil || now.ResourceVersion == edited.ResourceVersion || string(now.Data[corev1.DockerConfigJsonKey]) != string(second.Data[corev1.DockerConfigJsonKey]) ||
				now.Annotations["pullkey.dev/expires-at"] != second.Annotations["pullkey.dev/expires-at"] {
				return fmt.Errorf("it is not (%w)", err)
			}
			if now.UID != second.UID {
				return errors.New("it was made anew")
			}
			return nil
		})
	}
}

// everything is a RAM user with all rights.
var everything = localacr.RAMUser{Name: "everything", Grants: []localacr.Grant{
	{Instance: localacr.Everything, Repository: localacr.Everything, Actions: []string{localacr.Everything}},
}}

func TestAForeignSecretOfOurNameIsLeftAloneAndSaidOnce(t *testing.T) {
	o := openOffice(t)
	namespace, other := o.namespace(t, "theirs"), o.namespace(t, "watched")
	theirs := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secretName}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{}}`)},
	}
	made, err := o.admin.CoreV1().Secrets(namespace).Create(t.Context(), theirs, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o.configure(t, o.config(namespace, other))
	o.served(t, other)
	o.says(t, "ForeignSecret", secretName)
	// Work that passes by it again says nothing again.
	label := []byte(`{"metadata":{"labels":{"a":"b"}}}`)
	if _, err := o.admin.CoreV1().Namespaces().Patch(t.Context(), namespace, types.MergePatchType, label, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	o.setAccessKey(t, o.acr.AddAccessKey(everything))
	o.eventually(t, "the credentials are fetched anew", func(context.Context) error {
		if got := o.calls(); got < 4 {
			return fmt.Errorf("%d calls", got)
		}
		return nil
	})
	o.served(t, other)
	now, _, err := o.pullSecret(t.Context(), namespace)
	if err != nil || now.ResourceVersion != made.ResourceVersion || now.UID != made.UID {
		t.Errorf("their Secret is not as it was: %v", err)
	}
	o.attached(t, namespace, "default")
	if got := o.said("ForeignSecret"); got != 1 {
		t.Errorf("got %d Events about it, want 1", got)
	}
}

func TestAUsersEntriesSurviveEveryRace(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "busy")
	o.configure(t, with(o.config(namespace), "service-account", "*"))
	o.served(t, namespace)
	const accounts, entries = 10, 20
	var users sync.WaitGroup
	for i := range accounts {
		users.Go(func() {
			name := fmt.Sprintf("app-%d", i)
			sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
			if _, err := o.admin.CoreV1().ServiceAccounts(namespace).Create(t.Context(), sa, metav1.CreateOptions{}); err != nil {
				t.Error(err)
				return
			}
			for n := range entries {
				if err := o.addEntry(t.Context(), namespace, name, fmt.Sprintf("mine-%d", n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	users.Wait()
	for i := range accounts {
		o.eventually(t, "all entries are there", func(ctx context.Context) error {
			sa, err := o.admin.CoreV1().ServiceAccounts(namespace).Get(ctx, fmt.Sprintf("app-%d", i), metav1.GetOptions{})
			if err != nil {
				return err
			}
			got := listed(sa)
			for n := range entries {
				if !slices.Contains(got, fmt.Sprintf("mine-%d", n)) {
					t.Fatalf("the user's entry mine-%d is lost: %v", n, got)
				}
			}
			if !slices.Contains(got, secretName) {
				return fmt.Errorf("ours is missing: %v", got)
			}
			return nil
		})
	}
}

// addEntry adds an entry as a careful user does: it updates what it has read,
// and reads again on conflict.
func (o *office) addEntry(ctx context.Context, namespace, account, entry string) error {
	for {
		sa, err := o.admin.CoreV1().ServiceAccounts(namespace).Get(ctx, account, metav1.GetOptions{})
		if err != nil {
			return err
		}
		sa.ImagePullSecrets = append(sa.ImagePullSecrets, corev1.LocalObjectReference{Name: entry})
		_, err = o.admin.CoreV1().ServiceAccounts(namespace).Update(ctx, sa, metav1.UpdateOptions{})
		if !apierrors.IsConflict(err) {
			return err
		}
	}
}

func TestSomebodyWhoKeepsRemovingOurEntryIsLeftInPeace(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "gitops")
	o.configure(t, o.config(namespace))
	o.served(t, namespace)
	for range 3 {
		o.attached(t, namespace, "default", secretName)
		o.removeEntries(t, namespace, "default")
	}
	o.says(t, "EntryRemoved", secretName)
	o.attached(t, namespace, "default")
	if got := o.said("EntryRemoved"); got != 1 {
		t.Errorf("got %d Events about it, want 1", got)
	}
}

func (o *office) removeEntries(t *testing.T, namespace, account string) {
	t.Helper()
	patch := []byte(`[{"op":"remove","path":"/imagePullSecrets"}]`)
	if _, err := o.admin.CoreV1().ServiceAccounts(namespace).Patch(t.Context(), account, types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestAnOutageOfTheCloudLeavesTheSecretAndIsSaid(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "watched")
	o.configure(t, o.config(namespace))
	before := o.served(t, namespace)
	good := o.acr.AccessKey()
	for _, fault := range []struct {
		name  string
		fault localacr.Fault
		key   credential.AccessKey
		says  []string
	}{
		{"a wrong access key", localacr.Fault{}, credential.AccessKey{ID: "LTAI5tWrong", Secret: credential.NewSecret("wrong")}, []string{"InvalidAccessKeyId"}},
		{"a wrong secret", localacr.Fault{}, credential.AccessKey{ID: good.ID, Secret: credential.NewSecret("wrong-secret")}, []string{"SignatureDoesNotMatch"}},
		{"throttling", localacr.Fault{Kind: localacr.Throttle}, good, []string{"Throttling"}},
		{"an error of the cloud", localacr.Fault{Kind: localacr.ServerError}, good, []string{"503"}},
		{"a page instead of an answer", localacr.Fault{Kind: localacr.HTML}, good, []string{"502"}},
		{"a refusal with status 200", localacr.Fault{Kind: localacr.NotSuccess}, good, []string{"GetAuthorizationToken"}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			o.forgetEvents()
			if fault.fault.Kind != "" {
				if err := o.acr.Faults().Set(fault.fault); err != nil {
					t.Fatal(err)
				}
				defer o.acr.Faults().Clear()
				// A new key makes it ask at once.
				fault.key = o.acr.AddAccessKey(everything)
			}
			o.setAccessKey(t, fault.key)
			o.says(t, append(fault.says, "CredentialFetchFailed", "the pull Secrets stay as they are")...)
			if leaked := o.said(fault.key.Secret.Reveal()); leaked > 0 {
				t.Error("an Event holds the access key's secret")
			}
			after, _, err := o.pullSecret(t.Context(), namespace)
			if err != nil || after.ResourceVersion != before.ResourceVersion {
				t.Errorf("the Secret has changed (%v)", err)
			}
		})
	}
	o.setAccessKey(t, good)
	o.eventually(t, "a new credential arrives after the outage", func(ctx context.Context) error {
		after, _, err := o.pullSecret(ctx, namespace)
		if err != nil || after.ResourceVersion == before.ResourceVersion {
			return fmt.Errorf("not yet (%w)", err)
		}
		return nil
	})
}

func (o *office) forgetEvents() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = nil
}

func TestNamespacesMadeDuringAnOutageAndAfterARestartAreServed(t *testing.T) {
	o := openOffice(t)
	first := o.namespace(t, "first")
	o.configure(t, with(o.config(first), "watch-namespace", "all"))
	o.served(t, first)
	if err := o.acr.Faults().Set(localacr.Fault{Kind: localacr.Hang}); err != nil {
		t.Fatal(err)
	}
	o.served(t, o.namespace(t, "outage"))
	calls := o.calls()
	o.stop()
	o.start(t, o.asProgram(t))
	o.served(t, o.namespace(t, "restarted"))
	if got := o.calls(); got != calls {
		t.Errorf("got %d calls by the restarted controller, want none", got-calls)
	}
}

func TestATerminatingNamespaceIsNotFought(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "leaving")
	ctx := t.Context()
	stay := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "stay", Finalizers: []string{"pullkey.dev/stay"}}}
	if _, err := o.admin.CoreV1().ConfigMaps(namespace).Create(ctx, stay, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = o.admin.CoreV1().ConfigMaps(namespace).Patch(context.WithoutCancel(ctx), "stay", types.MergePatchType,
			[]byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	})
	if err := o.admin.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	other := o.namespace(t, "staying")
	o.configure(t, o.config(namespace, other))
	o.served(t, other)
	if _, _, err := o.pullSecret(ctx, namespace); !apierrors.IsNotFound(err) {
		t.Errorf("got %v, want no Secret", err)
	}
	if got := o.said("SyncFailed"); got != 0 {
		t.Errorf("got %d complaints", got)
	}
}

// swap is a transport that, once, does something right before a request that
// would write the pull Secret reaches the API server.
type swap struct {
	next   http.RoundTripper
	mu     sync.Mutex
	in     string // the namespace; other tests' still leave
	before func()
}

func (s *swap) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/secrets/"+secretName) {
		s.mu.Lock()
		var before func()
		if strings.HasSuffix(r.URL.Path, "/namespaces/"+s.in+"/secrets/"+secretName) {
			before, s.before = s.before, nil
		}
		s.mu.Unlock()
		if before != nil {
			before()
		}
	}
	return s.next.RoundTrip(r)
}

func (s *swap) once(namespace string, do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in, s.before = namespace, do
}

func TestAUsersSecretThatTakesThePlaceOfOursSurvives(t *testing.T) {
	o := openOffice(t)
	o.stop()
	swap := &swap{}
	o.start(t, o.asProgram(t, func(next http.RoundTripper) http.RoundTripper { swap.next = next; return swap }))
	for _, moment := range []struct {
		name   string
		before func(t *testing.T, namespace string)
	}{
		{"between our looking for one and our creating it", func(*testing.T, string) {}},
		{"between our reading ours and our patching it", func(t *testing.T, namespace string) {
			t.Helper()
			o.configure(t, o.config(namespace))
			o.served(t, namespace)
		}},
	} {
		t.Run(moment.name, func(t *testing.T) {
			namespace := o.namespace(t, "race")
			moment.before(t, namespace)
			taken := make(chan *corev1.Secret, 1)
			swap.once(namespace, func() { taken <- o.takePlace(t, namespace) })
			o.configure(t, o.config(namespace))
			o.setAccessKey(t, o.acr.AddAccessKey(everything)) // a new credential is a reason to write
			theirs := <-taken
			o.says(t, "ForeignSecret", secretName)
			now, _, err := o.pullSecret(t.Context(), namespace)
			if err != nil || now.UID != theirs.UID || now.ResourceVersion != theirs.ResourceVersion {
				t.Errorf("their Secret is not as it was (%v)", err)
			}
			o.forgetEvents()
		})
	}
}

// takePlace puts a user's Secret where ours is or would be.
func (o *office) takePlace(t *testing.T, namespace string) *corev1.Secret {
	t.Helper()
	secrets := o.admin.CoreV1().Secrets(namespace)
	if err := secrets.Delete(t.Context(), secretName, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Error(err)
	}
	theirs, err := secrets.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secretName}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{}}`)},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Error(err)
	}
	return theirs
}
