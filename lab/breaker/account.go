package breaker

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
)

// faults are all that there are.
func (b *Breaker) faults() []fault {
	return slices.Concat(
		ofPods(), ofAdmission(), ofAccounts(), ofLists(), ofSecrets(), ofLogins(), ofKeys(), ofHub(), ofNetworks(), ofSecond(), ofTokens(), ofContent(),
		ofTwoSecrets(), ofTwoLinks(), ofTwoPods(),
	)
}

// healthy is a pod that names a Secret with a login that works.
func healthy(s *scene) { s.pod(s.Image, naming(s.secret(s.login(s.Host)))) }

func ofPods() []fault {
	return []fault{
		{code: cause.AuthNoCredential, about: "nothing", play: func(s *scene) { s.pod(s.Image) }, twin: healthy},
		{code: cause.RefInvalid, sure: cause.Proven, about: "a scheme in the image", play: func(s *scene) { s.pod("https://" + s.Image) }, twin: healthy},
		{
			code: cause.PolicyNever, about: "never pulled", play: func(s *scene) {
				s.pod(s.Host+"/"+random()+":1", naming(s.secret(s.login(s.Host))), never)
			},
			twin: healthy,
		},
		{
			code: cause.CacheVerify, about: "never pulled by this pod", play: func(s *scene) {
				first := s.pod(s.Image, naming(s.secret(s.login(s.Host))))
				s.runs(first)
				s.now().target = ""
				s.pod(s.Image, never)
			},
			twin: func(s *scene) {
				secret := s.secret(s.login(s.Host))
				s.runs(s.pod(s.Image, naming(secret)))
				s.now().target = ""
				s.pod(s.Image, naming(secret), never)
			},
		},
		{
			code: cause.VolImage, about: "the image of a volume", play: func(s *scene) {
				s.pod(s.Image, naming(s.secret(s.login(s.Host))), volume(s.Other+"/"+random()+":1"))
			},
			twin: func(s *scene) { s.pod(s.Image, naming(s.secret(s.login(s.Host))), volume(s.Image)) },
		},
		{
			code: cause.PodEphemeral, about: "a debug container", play: func(s *scene) {
				s.debugs(s.pod(s.Image, naming(s.secret(s.login(s.Host)))), s.Other+"/"+random()+":1")
			},
			twin: func(s *scene) { s.debugs(s.pod(s.Image, naming(s.secret(s.login(s.Host)))), s.Image) },
		},
		{code: cause.PodStatic, about: "a static pod", play: func(s *scene) { s.secret(s.login(s.Host)); s.static(s.Image) }},
	}
}

// ofAdmission are pods that are changed, or refused, when they are made.
func ofAdmission() []fault {
	return []fault{
		{
			code: cause.PodSidecar, about: "a container that a policy has added", play: func(s *scene) {
				s.mutates(`[JSONPatch{op: "add", path: "/spec/containers/-", value: Object.spec.containers{name: "`+random()+`", image: "`+s.Other+`/`+random()+`:1"}}]`,
					func(p *corev1.Pod) bool { return len(p.Spec.Containers) > 1 })
				s.replicaSet(s.Image, naming(s.secret(s.login(s.Host))))
			},
			twin: func(s *scene) { s.replicaSet(s.Image, naming(s.secret(s.login(s.Host)))) },
		},
		{
			code: cause.WebhookStripped, about: "a policy that takes the list out", play: func(s *scene) {
				s.mutates(`has(object.spec.imagePullSecrets) ? [JSONPatch{op: "remove", path: "/spec/imagePullSecrets"}] : []`,
					func(p *corev1.Pod) bool { return len(p.Spec.ImagePullSecrets) == 0 })
				s.replicaSet(s.Image, naming(s.secret(s.login(s.Host))))
			},
			twin: func(s *scene) { s.replicaSet(s.Image, naming(s.secret(s.login(s.Host)))) },
		},
		{
			code: cause.AdmissionPolicy, about: "a policy that refuses", play: func(s *scene) {
				s.refuses("images must come from another registry")
				s.replicaSet(s.Image, naming(s.secret(s.login(s.Host))))
			},
			twin: func(s *scene) { s.replicaSet(s.Image, naming(s.secret(s.login(s.Host)))) },
		},
	}
}

func ofAccounts() []fault {
	return []fault{
		{
			code: cause.SANotReferenced, about: "nobody names it", play: func(s *scene) { s.secret(s.login(s.Host)); s.pod(s.Image) },
			twin: func(s *scene) { s.lists(standard, s.secret(s.login(s.Host))); s.pod(s.Image) },
		},
		{
			code: cause.SAPodPredates, about: "named later", play: func(s *scene) {
				secret := s.secret(s.login(s.Host))
				s.pod(s.Image)
				s.lists(standard, secret)
			},
			twin: func(s *scene) { s.lists(standard, s.secret(s.login(s.Host))); s.pod(s.Image) },
		},
		{
			code: cause.SAPodPredates, sure: cause.Proven, about: "named later, with a date", play: func(s *scene) {
				secret, account := s.secret(s.login(s.Host)), s.account()
				s.pod(s.Image, under(account))
				s.passes()
				s.lists(account, secret)
			},
			twin: func(s *scene) {
				account := s.account()
				s.lists(account, s.secret(s.login(s.Host)))
				s.pod(s.Image, under(account))
			},
		},
		{
			code: cause.SACustom, about: "another ServiceAccount", play: func(s *scene) {
				s.lists(standard, s.secret(s.login(s.Host)))
				s.pod(s.Image, under(s.account()))
			},
			twin: func(s *scene) {
				secret, account := s.secret(s.login(s.Host)), s.account()
				s.lists(standard, secret)
				s.lists(account, secret)
				s.pod(s.Image, under(account))
			},
		},
		{
			code: cause.SAReverted, about: "taken out again", play: func(s *scene) {
				s.lists(standard, s.secret(s.login(s.Host)))
				set := s.replicaSet(s.Image)
				s.scales(set, 1)
				s.passes()
				s.lists(standard)
				s.scales(set, 2)
			},
			twin: func(s *scene) {
				s.lists(standard, s.secret(s.login(s.Host)))
				s.scales(s.replicaSet(s.Image), 2)
			},
		},
	}
}

// ofLists are pods and ServiceAccounts whose lists do not go together.
func ofLists() []fault {
	return []fault{
		{
			code: cause.SAMissing, sure: cause.Proven, about: "no ServiceAccount", play: func(s *scene) { s.replicaSet(s.Image, under(random())) },
			twin: func(s *scene) {
				account := s.account()
				s.lists(account, s.secret(s.login(s.Host)))
				s.replicaSet(s.Image, under(account))
			},
		},
		{
			code: cause.SAEnforced, sure: cause.Proven, about: "a ServiceAccount that enforces", play: func(s *scene) {
				s.replicaSet(s.Image, under(s.account(enforcing)), naming(s.secret(s.login(s.Host))))
			},
			twin: func(s *scene) {
				secret, account := s.secret(s.login(s.Host)), s.account(enforcing)
				s.lists(account, secret)
				s.replicaSet(s.Image, under(account), naming(secret))
			},
		},
		{
			code: cause.SAPodOverrides, about: "a list of its own", play: func(s *scene) {
				s.lists(standard, s.secret(s.login(s.Host)))
				s.pod(s.Image, naming(s.secret(s.login("registry.example.com"))))
			},
			twin: func(s *scene) { s.lists(standard, s.secret(s.login(s.Host))); s.pod(s.Image) },
		},
		{
			code: cause.SAEmptyName, about: "an empty name", play: func(s *scene) { s.lists(standard, s.secret(s.login(s.Host))); s.pod(s.Image, naming("")) },
			twin: func(s *scene) { s.lists(standard, s.secret(s.login(s.Host))); s.pod(s.Image) },
		},
	}
}

// enforcing has a ServiceAccount let pods name those Secrets alone that it names itself.
func enforcing(sa *corev1.ServiceAccount) {
	sa.Annotations = map[string]string{"kubernetes.io/enforce-mountable-secrets": "true"}
}

// ofKeys are Secrets whose key is not that of the image.
func ofKeys() []fault {
	under := func(key func(*scene) string) func(*scene) {
		return func(s *scene) { s.pod(s.Image, naming(s.secret(s.login(key(s))))) }
	}
	var all []fault
	for _, k := range []struct {
		code  cause.Code
		about string
		key   func(*scene) string
	}{
		{cause.KeyPort, "a port", func(s *scene) string { return s.Host + ":443" }},
		{cause.KeyPath, "a path", func(s *scene) string { return s.Host + "/" + random() }},
		{cause.KeyPath, "a version without a slash", func(s *scene) string { return "https://" + s.Host + "/v2" }},
		{cause.KeyCase, "a capital", func(s *scene) string { return strings.ToUpper(s.Host[:1]) + s.Host[1:] }},
		{cause.KeyGlob, "a glob for too few labels", func(s *scene) string { return "*." + strings.SplitN(s.Host, ".", 3)[2] }},
		{cause.KeyVPCVsPublic, "the name within a VPC", func(s *scene) string { return s.VPC }},
		{cause.KeyDefaultServer, "no --docker-server", func(*scene) string { return "https://index.docker.io/v1/" }},
		{cause.KeyHostMismatch, "another host", func(*scene) string { return "registry.example.com" }},
		{cause.SecretStrayWhitespace, "a space in the key", func(s *scene) string { return " " + s.Host }},
	} {
		all = append(all, fault{code: k.code, about: k.about, play: under(k.key), twin: under(func(s *scene) string { return s.Host })})
	}
	return all
}
