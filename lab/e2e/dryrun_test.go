package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A controller that only rehearses asks the cloud and the API server, tells each
// write once, and changes nothing: no Secret, no list, no lease, no Event.
func TestADryRunTellsEachWriteOnceAndWritesNothing(t *testing.T) {
	s := openSite(t)
	namespace := s.namespace(t, "watched")
	s.eventually(t, "the namespace is complete", func(ctx context.Context) error {
		_, err := s.admin.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	s.configure(t, with(s.watching(namespace), "service-account", "*"))
	began := time.Now()
	running := s.run(t, "--dry-run")
	at := "/api/v1/namespaces/" + namespace
	would := []string{
		`verb=PATCH object=` + at + `/secrets/` + secretName, `verb=PATCH object=` + at + `/serviceaccounts/default`,
		`verb=PATCH object=/api/v1/namespaces/` + home + `/secrets/pullkey-credentials`,
		`verb=PATCH object=/api/v1/namespaces/` + home + `/configmaps/pullkey-injection`,
	}
	toldOnce := func(context.Context) error {
		for _, write := range would {
			if n := strings.Count(running.log.String(), `msg="would write" `+write); n != 1 {
				return fmt.Errorf("%s is told %d times:\n%s", write, n, running.log.String())
			}
		}
		return nil
	}
	s.eventually(t, "it tells what it would write", toldOnce)
	for i := range 10 { // each has the namespace looked at again, often enough for a quarrel
		label := fmt.Appendf(nil, `{"metadata":{"labels":{"round":"%d"}}}`, i)
		if _, err := s.admin.CoreV1().Namespaces().Patch(t.Context(), namespace, types.MergePatchType, label, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	more := s.namespace(t, "more") // is chosen last: when it is told, all before has been looked at
	s.configure(t, with(s.watching(namespace, more), "service-account", "*"))
	s.eventually(t, "it tells of the other namespace", func(context.Context) error {
		if !strings.Contains(running.log.String(), "namespaces/"+more+"/secrets/") {
			return errors.New(running.log.String())
		}
		return nil
	})
	if err := toldOnce(t.Context()); err != nil {
		t.Error(err)
	}
	if strings.Contains(running.log.String(), "Contested") {
		t.Errorf("it quarrels:\n%s", running.log.String())
	}
	if _, _, err := s.pullSecret(t.Context(), namespace); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret: %v", err)
	}
	s.attached(t, namespace, "default")
	s.wroteNothing(t, began)
}

// wroteNothing looks in the audit log for what pullkey did since.
func (s *site) wroteNothing(t *testing.T, since time.Time) {
	t.Helper()
	asked, err := s.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	looked := false
	for _, e := range asked {
		if e.User != identity || e.Time.Before(since) || slices.Contains([]string{"get", "list", "watch"}, e.Verb) {
			continue
		}
		looked = true
		if !strings.Contains(e.RequestURI, "dryRun=All") {
			t.Errorf("it writes: %s %s, %d", e.Verb, e.RequestURI, e.Code)
		}
	}
	if !looked {
		t.Error("the audit log shows no rehearsed write")
	}
}
