package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/selection"
)

func chosen(t *testing.T, accounts []string, own map[string]string) choice {
	t.Helper()
	s, err := selection.Parse(own)
	if err != nil {
		t.Fatal(err)
	}
	return choice{acrconfig.Names{List: []string{"a"}}, acrconfig.Names{List: accounts}, own, s}
}

func TestWhatWasChosenBeforeIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	want := []choice{chosen(t, []string{"default"}, map[string]string{"serviceAccounts.include": "build-*"}), chosen(t, []string{"x"}, nil)}
	text, err := encodeChoices(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeChoices(map[string]string{lastGoodBefore: text})
	if err != nil || len(got) != 2 || !got[0].same(want[0]) || !got[1].same(want[1]) || !got[0].attached("build-bot") {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, text := range []string{"{", `[{"Namespaces":{},"ServiceAccounts":{"All":true}}]`, `[{"Namespaces":{"All":true},"ServiceAccounts":{"All":true},"Own":{"x":"y"}}]`} {
		if got, err := decodeChoices(map[string]string{lastGoodBefore: text}); err == nil {
			t.Errorf("%s: taken for %+v", text, got)
		}
	}
}

func TestAServiceAccountWasAttachedIfItWasChosenAndPullkeyHadTheRight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, account string
		own           map[string]string
		want          bool
	}{
		{"by the vendor's list", "default", nil, true},
		{"by a glob", "build-bot", map[string]string{"serviceAccounts.include": "build-*"}, true},
		{"not chosen", "build-bot", nil, false},
		{"without the right", "default", map[string]string{"inject.serviceAccounts": "false"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := chosen(t, []string{"default"}, c.own).attached(c.account); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestAChoiceIsDroppedOnceInEachNamespace(t *testing.T) {
	t.Parallel()
	first, second := chosen(t, []string{"1"}, nil), chosen(t, []string{"2"}, nil)
	d := &drops{}
	d.add("a", first)
	d.add("b", first)
	looked := len(d.in("a"))
	d.add("a", second) // another plan comes meanwhile
	if d.done("a", looked) || !d.in("a")[0].same(second) {
		t.Errorf("of a is left %+v", d.in("a"))
	}
	if d.done("b", allOf) || d.done("gone", allOf) || d.none() {
		t.Error("a is forgotten")
	}
	if !d.done("a", allOf) || !d.none() || d.done("a", allOf) {
		t.Error("it does not end, or ends twice")
	}
	if diff := cmp.Diff(0, len(d.in("a"))); diff != "" {
		t.Error(diff)
	}
}
