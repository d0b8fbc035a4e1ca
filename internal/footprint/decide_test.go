package footprint

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/selection"
)

// secret is one that pullkey made in namespace shop, changed.
func secret(change ...func(*corev1.Secret)) *corev1.Secret {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: SecretName,
			Labels: map[string]string{LabelManagedBy: ManagedBy}, Annotations: map[string]string{AnnotationNamespace: "shop"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "pullkey"}, {Manager: "kubectl"}, {Manager: "pullkey"}},
		},
		Type: corev1.SecretTypeDockerConfigJson,
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func foreign(s *corev1.Secret)   { s.Labels = nil }
func immutable(s *corev1.Secret) { yes := true; s.Immutable = &yes }
func deleted(s *corev1.Secret)   { now := metav1.Now(); s.DeletionTimestamp = &now }

func TestACopyUnderAnotherNameWasNotMadeByPullkey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*corev1.Secret)
		want   bool
	}{
		{"made by pullkey", func(*corev1.Secret) {}, true},
		{"written by others alone", func(s *corev1.Secret) { s.ManagedFields = s.ManagedFields[1:2] }, false},
		{"of another type", func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }, false},
		{"somebody else's", foreign, false},
	} {
		if got := Made(secret(c.change)); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

// before is what was in force, as the controller keeps it.
func before(t *testing.T, settings, own string) *Choice {
	t.Helper()
	c := InForce(map[string]string{KeySettings: settings, KeySelection: own})
	if c == nil {
		t.Fatalf("%s and %s are not read", settings, own)
	}
	return c
}

func TestWhatIsInForceIsReadOrNotKnown(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]map[string]string{
		"nothing": {}, "no JSON": {KeySettings: "{"}, "a selection that is none": {KeySettings: "{}", KeySelection: "[]"},
		"a selection of another version": {KeySettings: "{}", KeySelection: `{"namespaces.include":"[","a":"b"}`},
	} {
		if c := InForce(data); c != nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func adopts(c *Choice) { c.Selection.Adopt = true }

func TestWhatPullkeyDoesInANamespace(t *testing.T) {
	t.Parallel()
	writers := []string{"kubectl", "pullkey"}
	accounts := []Account{{"builder", false}, {"default", false}, {"old", true}}
	for _, c := range []struct {
		name   string
		found  Found
		choice func(*Choice)
		want   Decision
	}{
		{"nothing stands there", Found{}, nil, Decision{Act: Create, Watched: true, Attach: []string{"default"}}},
		{"ours", Found{Secret: secret()}, nil, Decision{Act: Keep, Watched: true, Attach: []string{"default"}}},
		{"ours, and never to be adopted", Found{Secret: secret()}, adopts, Decision{Act: Keep, Watched: true, Attach: []string{"default"}}},
		{"somebody else's", Found{Secret: secret(foreign)}, nil, Decision{Act: LeaveAlone, Watched: true, Why: "was not made by pullkey", Writers: writers, Adoptable: true}},
		{"somebody else's, adopted", Found{Secret: secret(foreign)}, adopts, Decision{Act: Adopt, Watched: true, Why: "was not made by pullkey", Writers: writers, Attach: []string{"default"}}},
		{"somebody else's that cannot be adopted", Found{Secret: secret(foreign, immutable)}, adopts, Decision{Act: LeaveAlone, Watched: true, Why: "is immutable", Writers: writers}},
		{"ours that cannot be changed", Found{Secret: secret(immutable)}, nil, Decision{Act: LeaveAlone, Watched: true, Why: "is immutable", Writers: writers}},
		{"a namespace that goes away", Found{Terminating: true, Secret: secret()}, nil, Decision{Act: Nothing, Watched: true, Terminating: true}},
		{
			"ours where nobody is served any more",
			Found{Secret: secret()},
			func(c *Choice) { c.Settings.Namespaces.All = false },
			Decision{Act: Remove, Detach: []string{"old"}},
		},
		{
			"ours where no instance is for",
			Found{Secret: secret()},
			func(c *Choice) { c.Settings.Instances[0].Namespaces = []string{"other"} },
			Decision{Act: Remove, Watched: true, Detach: []string{"old"}},
		},
		{
			"ours that is going already",
			Found{Secret: secret(deleted)},
			func(c *Choice) { c.Settings.Namespaces.All = false },
			Decision{Act: Nothing},
		},
		{
			"somebody else's where nobody is served",
			Found{Secret: secret(foreign)},
			func(c *Choice) { c.Settings.Namespaces.All, c.Selection.Adopt = false, true },
			Decision{Act: Nothing},
		},
		{
			"ServiceAccounts are none of its business",
			Found{Secret: secret()},
			func(c *Choice) { c.Selection.NoServiceAccounts = true },
			Decision{Act: Keep, Watched: true},
		},
		{
			"ours, where all is handed back",
			Found{Secret: secret()},
			func(c *Choice) { c.Selection = parsed(t, "handBack", "true") },
			Decision{Act: HandBack, Watched: true},
		},
		{
			"somebody else's, where all is handed back",
			Found{Secret: secret(foreign)},
			func(c *Choice) { c.Selection = parsed(t, "handBack", "true") },
			Decision{Act: Nothing, Watched: true},
		},
		{
			"chosen by a label, but excluded",
			Found{Labels: map[string]string{"team": "a"}},
			func(c *Choice) { c.Selection = parsed(t, "namespaces.selector", "team=a", "namespaces.exclude", "sh*") },
			Decision{Act: Nothing},
		},
		{
			"chosen by a label, ServiceAccounts by a glob",
			Found{Labels: map[string]string{"team": "a"}},
			func(c *Choice) {
				c.Settings.Namespaces.All = false
				c.Selection = parsed(t, "namespaces.selector", "team=a", "serviceAccounts.include", "build*")
			},
			Decision{Act: Create, Watched: true, Attach: []string{"builder", "default"}},
		},
		{
			"who was chosen until now, and is not any more",
			Found{Secret: secret()},
			func(c *Choice) {
				c.Before = before(t, `{"Namespaces":{"All":true},"ServiceAccounts":{"List":["old"]}}`, `{}`)
			},
			Decision{Act: Keep, Watched: true, Attach: []string{"default"}, Detach: []string{"old"}},
		},
		{
			"who was chosen by a glob until now",
			Found{Secret: secret()},
			func(c *Choice) {
				c.Before = before(t, `{"Namespaces":{"All":true}}`, `{"serviceAccounts.include":"o*"}`)
			},
			Decision{Act: Keep, Watched: true, Attach: []string{"default"}, Detach: []string{"old"}},
		},
		{
			"who named it without having been chosen",
			Found{Secret: secret()},
			func(c *Choice) {
				c.Before = before(t, `{"Namespaces":{"List":["other"]},"ServiceAccounts":{"All":true}}`, `{}`)
			},
			Decision{Act: Keep, Watched: true, Attach: []string{"default"}},
		},
		{
			"who was chosen while ServiceAccounts were none of its business",
			Found{Secret: secret()},
			func(c *Choice) {
				c.Before = before(t, `{"Namespaces":{"All":true},"ServiceAccounts":{"All":true}}`, `{"inject.serviceAccounts":"false"}`)
			},
			Decision{Act: Keep, Watched: true, Attach: []string{"default"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			choice := &Choice{Settings: acrconfig.Settings{
				Instances:  []acrconfig.Instance{{ID: "cri-a"}},
				Namespaces: acrconfig.Names{All: true}, ServiceAccounts: acrconfig.Names{List: []string{"default"}},
			}}
			if c.choice != nil {
				c.choice(choice)
			}
			c.found.Namespace, c.found.Accounts, c.want.Namespace = "shop", accounts, "shop"
			if diff := cmp.Diff(c.want, choice.Decide(c.found)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func parsed(t *testing.T, keysAndValues ...string) selection.Selection {
	t.Helper()
	data := map[string]string{}
	for i := 0; i < len(keysAndValues); i += 2 {
		data[keysAndValues[i]] = keysAndValues[i+1]
	}
	s, err := selection.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
