package breaker

import (
	"net/http"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
)

// ofTwoSecrets are two faults at once, as those below: the first that accounts for what
// kubelet saw is told, and after it is mended the other. Here both are of Secrets.
func ofTwoSecrets() []fault {
	return []fault{
		{code: cause.SecretType, then: cause.TagMissing, about: "another type, and no such tag", play: func(s *scene) {
			image := s.Image + "-none"
			s.pod(image, naming(s.secret(s.login(s.Host), opaque)))
			s.then()
			s.pod(image, naming(s.secret(s.login(s.Host))))
		}},
		{code: cause.SecretMissing, then: cause.TagMissing, about: "no such Secret, and no such tag", play: func(s *scene) {
			name, image := random(), s.Image+"-none"
			s.pod(image, naming(name))
			s.then()
			s.secret(s.login(s.Host), named(name))
			s.pod(image, naming(name))
		}},
		{code: cause.SANotReferenced, then: cause.AuthInvalid, about: "nobody names it, and a wrong password", play: func(s *scene) {
			secret := s.secret(s.old(s.Host))
			s.pod(s.Image)
			s.then()
			s.lists(standard, secret)
			s.pod(s.Image)
		}},
		{code: cause.SAPodPredates, then: cause.AuthInvalid, about: "named later, and a wrong password", play: func(s *scene) {
			secret := s.secret(s.old(s.Host))
			s.pod(s.Image)
			s.lists(standard, secret)
			s.then()
			s.pod(s.Image)
		}},
		{code: cause.KeyHostMismatch, then: cause.AuthInvalid, about: "another host, and a wrong password", play: func(s *scene) {
			secret := s.secret(s.old("registry.example.com"))
			s.pod(s.Image, naming(secret))
			s.then()
			s.rewrites(secret, s.old(s.Host))
			s.pod(s.Image, naming(secret))
		}},
		{code: cause.SecretBadAuth, then: cause.AuthInvalid, about: "no base64, and a wrong password", play: func(s *scene) {
			bad, secret := s.secret(document("quay.io", map[string]string{"auth": "!!"})), s.secret(s.old(s.Host))
			s.pod(s.Image, naming(bad, secret))
			s.then()
			s.pod(s.Image, naming(secret))
		}},
	}
}

// ofTwoLinks are faults of the image or its registry, and of a login.
func ofTwoLinks() []fault {
	return []fault{
		{code: cause.RefInvalid, then: cause.AuthNoCredential, about: "a scheme in the image, and no Secret", play: func(s *scene) {
			s.pod("https://" + s.Image)
			s.then()
			s.pod(s.Image)
		}},
		{code: cause.NetDNS, then: cause.AuthNoCredential, about: "a host without an address, and no Secret", play: func(s *scene) {
			s.pod(random() + ".example.com/" + random() + ":1")
			s.then()
			s.pod(s.Image)
		}},
		{code: cause.PolicyNever, then: cause.AuthNoCredential, about: "never pulled, and no Secret", play: func(s *scene) {
			image := s.front() + "/" + random() + ":1"
			s.pod(image, never)
			s.then()
			s.pod(image)
		}},
		{code: cause.TLSUnknownCA, then: cause.AuthNoCredential, about: "a stranger's certificate, and no Secret", play: func(s *scene) {
			f := s.open(func(f *front) { f.stranger = true })
			image := f.host + "/" + random() + ":1"
			s.pod(image)
			s.then()
			s.introduces(f)
			s.pod(image)
		}},
		{code: cause.Reg5XX, then: cause.AuthInvalid, about: "a registry that is down, and a wrong password", play: func(s *scene) {
			f := s.open(answers(func(*http.Request) bool { return true }, http.StatusServiceUnavailable))
			image, secret := f.host+"/"+random()+":1", s.secret(s.old(f.host))
			s.pod(image, naming(secret))
			s.then()
			s.heals(f)
			s.pod(image, naming(secret))
		}},
	}
}

// ofTwoPods are pods that are not made, or have two images, and what is wrong besides.
func ofTwoPods() []fault {
	return []fault{
		{code: cause.SAMissing, then: cause.AuthNoCredential, about: "no ServiceAccount, and no Secret", play: func(s *scene) {
			account := random()
			s.replicaSet(s.Image, under(account))
			s.then()
			s.account(func(sa *corev1.ServiceAccount) { sa.Name = account })
			s.replicaSet(s.Image, under(account))
		}},
		{code: cause.SAEnforced, then: cause.SecretMissing, about: "a ServiceAccount that enforces, and no such Secret", play: func(s *scene) {
			account, name := s.account(enforcing), random()
			s.replicaSet(s.Image, under(account), naming(name))
			s.then()
			s.lists(account, name)
			s.replicaSet(s.Image, under(account), naming(name))
		}},
		{code: cause.VolImage, then: cause.TagMissing, about: "the image of a volume, and no such tag", play: func(s *scene) {
			secret := s.secret(s.login(s.Host))
			s.pod(s.Image+"-none", naming(secret), volume(s.Other+"/"+random()+":1"))
			s.then()
			s.pod(s.Image+"-none", naming(secret))
		}},
	}
}
