package breaker

import (
	"encoding/base64"
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
)

// document is one of docker's, with an entry under a key.
func document(key string, entry map[string]string) string {
	text, _ := json.Marshal(map[string]any{"auths": map[string]any{key: entry}}) // never fails on texts
	return string(text)
}

// login is a document with the login that works.
func (s *scene) login(key string) string { return document(key, s.entry()) }

func (s *scene) entry() map[string]string {
	return map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(s.User + ":" + s.Password))}
}

// old is one with a password that does not.
func (s *scene) old(key string) string {
	return document(key, map[string]string{"username": s.User, "password": random()})
}

// holding is a pod that names a Secret with such a document.
func holding(text func(*scene) string, changes ...func(*corev1.Secret)) func(*scene) {
	return func(s *scene) { s.pod(s.Image, naming(s.secret(text(s), changes...))) }
}

// entered is one whose Secret has such an entry for the image's host.
func entered(entry func(*scene) map[string]string) func(*scene) {
	return holding(func(s *scene) string { return document(s.Host, entry(s)) })
}

// ofSecrets are Secrets from which kubelet gets no login, or another than was meant.
func ofSecrets() []fault {
	return []fault{
		{code: cause.SecretMissing, about: "no such Secret", play: func(s *scene) { s.pod(s.Image, naming(random())) }, twin: healthy},
		{code: cause.SecretType, about: "another type", play: holding(func(s *scene) string { return s.login(s.Host) }, opaque), twin: healthy},
		{
			code: cause.SecretDoubleB64, about: "base64 twice", twin: healthy,
			play: holding(func(s *scene) string { return base64.StdEncoding.EncodeToString([]byte(s.login(s.Host))) }, opaque),
		},
		{code: cause.SecretBadAuth, about: "no base64", twin: healthy, play: holding(func(*scene) string { return document("quay.io", map[string]string{"auth": "!!"}) })},
		{
			code: cause.SecretBadAuth, about: "no base64, and a public image", twin: healthy,
			play: func(s *scene) {
				s.pod(s.front()+"/"+random()+":1", naming(s.secret(document("quay.io", map[string]string{"auth": "!!"}))))
			},
		},
		{code: cause.SecretBadShape, about: "a list of registries", play: holding(func(*scene) string { return `{"auths":[]}` }), twin: healthy},
		{
			code: cause.SecretWrongShapeSilent, about: "the form of the other type", twin: healthy,
			play: holding(func(s *scene) string { return `{"` + s.Host + `":{"auth":"` + s.entry()["auth"] + `"}}` }),
		},
		{code: cause.SecretNoPassword, about: "a helper of docker's", play: holding(func(s *scene) string { return `{"auths":{"` + s.Host + `":{}},"credsStore":"desktop"}` }), twin: healthy},
		{code: cause.SecretIdentityToken, about: "a token alone", twin: healthy, play: entered(func(*scene) map[string]string { return map[string]string{"identitytoken": random()} })},
		{
			code: cause.SecretStrayWhitespace, about: "the end of a line in the password", twin: healthy,
			play: entered(func(s *scene) map[string]string {
				return map[string]string{"username": s.User, "password": s.Password + "\n"}
			}),
		},
	}
}

// ofLogins are Secrets that are not where they should be, or whose login is not taken.
func ofLogins() []fault {
	return []fault{
		{
			code: cause.SecretOtherNamespace, about: "in another namespace", play: func(s *scene) {
				s.pod(s.Image, naming(s.secret(s.login(s.Host), in(s.another()))))
			},
			twin: func(s *scene) {
				secret := s.secret(s.login(s.Host), in(s.another()))
				s.secret(s.login(s.Host), named(secret))
				s.pod(s.Image, naming(secret))
			},
		},
		{
			code: cause.SecretStaleCopy, about: "an old copy", play: func(s *scene) { s.copied(s.old(s.Host)) },
			twin: func(s *scene) { s.copied(s.login(s.Host)) },
		},
		{
			code: cause.SecretImmutableStale, about: "an immutable one, made anew", play: func(s *scene) { s.remade(immutable) },
			twin: func(s *scene) { s.remade(func(*corev1.Secret) {}) },
		},
		{code: cause.AuthInvalid, about: "a wrong password", play: holding(func(s *scene) string { return s.old(s.Host) }), twin: healthy},
		{
			code: cause.AuthExpired, sure: cause.Proven, about: "pullkey's own, which has ended",
			play: holding(func(s *scene) string { return s.old(s.Host) }, ending(-time.Minute)), twin: holding(func(s *scene) string { return s.login(s.Host) }, ending(time.Hour)),
		},
		{
			code: cause.SecretMissing, about: "a Secret that is made late", then: cause.SecretRace, waits: true, play: func(s *scene) {
				name := random()
				pod := s.pod(s.Image, naming(name))
				s.fails(pod)
				s.then()
				s.passes()
				s.secret(s.login(s.Host), named(name))
			},
		},
	}
}

// copied makes a pod with a Secret, of which a better one is in another namespace, and
// newer.
func (s *scene) copied(document string) {
	secret := s.secret(document)
	source := s.another()
	s.passes()
	s.secret(s.login(s.Host), named(secret), in(source))
	s.pod(s.Image, naming(secret))
}

// remade has a pod run all the time while a Secret is made anew.
func (s *scene) remade(change func(*corev1.Secret)) {
	secret := s.secret(s.old(s.Host), change)
	s.runs(s.pod(s.Image, naming(secret, s.secret(s.login(s.Host)))))
	s.now().target = ""
	s.passes()
	s.forgets(secret)
	s.secret(s.login(s.Host), named(secret), change)
	s.passes()
	s.pod(s.Image, naming(secret))
}

// ending marks a Secret as one of pullkey's that ends then.
func ending(after time.Duration) func(*corev1.Secret) {
	return func(secret *corev1.Secret) {
		secret.Annotations = map[string]string{"pullkey.dev/expires-at": time.Now().Add(after).UTC().Format(time.RFC3339)}
	}
}
