package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/status"
)

func TestTheStatusSaysWhoInjects(t *testing.T) {
	t.Parallel()
	const active = "active: pods are born with the name of the pull Secret"
	for _, c := range []struct {
		is   status.Injection
		want []string
	}{
		{status.Injection{State: status.InjectionActive, By: status.ByPolicy}, []string{active}},
		{status.Injection{State: status.InjectionActive, By: status.ByWebhook}, []string{active + ", by the webhook"}},
		{status.Injection{State: status.InjectionInactive, Problem: "p", Hint: "h"}, []string{"NOT ACTIVE", "p", "hint: h"}},
	} {
		if diff := cmp.Diff(c.want, injectionText(c.is)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.is, diff)
		}
	}
}
