package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/credential"
)

func masterCopyWith(content string) *corev1.Secret {
	return &corev1.Secret{Type: masterCopyType, Data: map[string][]byte{masterCopyKey: []byte(content)}}
}

func TestTheMasterCopyGivesBackWhatItWasGiven(t *testing.T) {
	t.Parallel()
	all := map[string]credential.Credential{
		"a": {Username: "u", Password: credential.NewSecret("p\x00\"</script>ü"), Hosts: []string{"a.example.com", "b:1"}, IssuedAt: noon, ExpiresAt: noon.Add(time.Hour)},
		"b": {Username: "u", Password: credential.NewSecret("q"), Hosts: []string{"c.example.com"}, IssuedAt: noon},
	}
	body, err := encode(all)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(masterCopyWith(string(body)))
	if err != nil || len(got) != len(all) {
		t.Fatalf("got %v, %v", got, err)
	}
	for key, want := range all {
		c := got[key]
		if c.Username != want.Username || !c.Password.Equal(want.Password) || !slices.Equal(c.Hosts, want.Hosts) ||
			!c.IssuedAt.Equal(want.IssuedAt) || !c.ExpiresAt.Equal(want.ExpiresAt) || c.ExpiresAt.IsZero() != want.ExpiresAt.IsZero() {
			t.Errorf("%s: got %+v, want %+v", key, c, want)
		}
	}
}

func TestAMasterCopyThatIsNotOursIsRefusedAndNotQuoted(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	for name, found := range map[string]*corev1.Secret{
		"another type":       {Type: corev1.SecretTypeOpaque, Data: masterCopyWith("{}").Data},
		"no data":            {Type: masterCopyType},
		"no JSON":            masterCopyWith(secret),
		"cut off":            masterCopyWith(`{"a":{"password":"` + secret),
		"a list":             masterCopyWith(`["` + secret + `"]`),
		"a number":           masterCopyWith(`{"a":` + "5" + `}`),
		"a password of none": masterCopyWith(`{"a":{"username":"u","password":{"` + secret + `":1}}}`),
		"a time that is not": masterCopyWith(`{"a":{"username":"u","password":"p","expiresAt":"` + secret + `"}}`),
		"something after it": masterCopyWith(`{} ` + secret),
		"brackets in depth":  masterCopyWith(strings.Repeat(`{"a":`, 100000)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decode(found)
			if err == nil || got != nil {
				t.Fatalf("got %v, %v; want an error", got, err)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
				t.Errorf("the error quotes the content: %v", err)
			}
		})
	}
}

// One that lacks a part would be used, and never renewed.
func TestACredentialThatLacksAPartIsAskedForAnew(t *testing.T) {
	t.Parallel()
	const issued = `"issuedAt":"2026-07-01T12:00:00Z"`
	got, err := decode(masterCopyWith(`{
		"whole": {"username":"u","password":"p","hosts":["h"],` + issued + `},
		"empty": {}, "null": null,
		"no user": {"password":"p","hosts":["h"],` + issued + `},
		"no password": {"username":"u","hosts":["h"],` + issued + `},
		"no host": {"username":"u","password":"p","hosts":[],` + issued + `},
		"no time": {"username":"u","password":"p","hosts":["h"]}}`))
	if err != nil || len(got) != 1 || got["whole"].Username != "u" {
		t.Errorf("got %v, %v; want the whole one alone", got, err)
	}
	for _, nothing := range []string{"null", "{}"} {
		if got, err := decode(masterCopyWith(nothing)); err != nil || len(got) > 0 {
			t.Errorf("%s: got %v, %v", nothing, got, err)
		}
	}
}
