package cause

func keys() []Cause {
	return []Cause{
		keyHostMismatch(), keyPort(), keyPath(), keyVPCVsPublic(), keyDockerhub(), keyDefaultServer(), keyCase(), keyGlob(),
		keyShadowed(), keyAmbiguous(), credOnPublic(),
	}
}

// matcher is whose rules the keys are compared by.
const matcher = "(`Add`, `Lookup` and `URLsMatch` in pkg/credentialprovider/keyring.go of kubelet 1.37)"

func keyHostMismatch() Cause {
	return Cause{
		Code: KeyHostMismatch, Link: Keyring, Vantage: API, Most: Proven,
		Title: "The Secrets of the pod are for other registries than the image's",
		See:   nothingSent(),
		Means: "kubelet uses an entry of a Secret only if its key is the image's host, label by label. None is, so it " +
			"pulled without a credential. Names that lead to the same server are different names, and a domain does " +
			"not stand for the hosts below it.",
		Proof: text("Every key of every Secret that the pod names is compared with the image by kubelet's rules "+matcher+"; "+
			"none matches. The nearest one is shown below the image's host, with a mark where they part.", sent),
		Fix: text(addHost(), "If it is another registry, add its credential; `--from-login` once for each registry of "+
			"the Secret:",
			sh(`pullkey login HOST --keep-password`, `pullkey secret create SECRET --from-login OTHERHOST --from-login `+
				`HOST -n NAMESPACE --dry-run -o yaml |`, `  kubectl apply --server-side --force-conflicts -f -`), hurry()),
		Check: keysOf(),
		Similar: []Similar{
			{KeyVPCVsPublic, "The hosts are two forms of one name at ACR."},
			{KeyPort, "The hosts are the same, and the ports are not."},
			{KeyDefaultServer, "The key is Docker Hub's, because no server was named when the Secret was made."},
			{SANotReferenced, "Another Secret of the namespace is for the image, and the pod does not name it."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func keyPort() Cause {
	return Cause{
		Code: KeyPort, Link: Keyring, Vantage: API, Most: Proven,
		Title: "The key and the image have the same host and not the same port",
		See:   nothingSent(),
		Means: "kubelet compares ports as texts. No port is not port 443, nor 80: `HOST` and `HOST:443` are two " +
			"registries for it, whichever of them stands in the image. `*` cannot stand for a port either.",
		Proof: text("A key of the pod's Secrets has the image's host and another port, or one of the two has none "+matcher+"; no other key matches.", sent),
		Fix: text("Write the port on both sides or on neither. To give the entry the image's form, with its port:",
			sh("pullkey secret add-host SECRET HOST:PORT --like HOST -n NAMESPACE"), "If the port in the image is 443, "+
				"leave it out there:",
			sh("kubectl -n NAMESPACE set image deployment/DEPLOYMENT CONTAINER=HOST/REPOSITORY:TAG"), hurry()),
		Check: keysOf(),
		Similar: []Similar{
			{KeyHostMismatch, "The hosts differ."},
			{KeyPath, "Host and port are the same, and the path of the key is not the beginning of the repository."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func keyPath() Cause {
	return Cause{
		Code: KeyPath, Link: Keyring, Vantage: API, Most: Proven,
		Title: "The key has a path with which the image's repository does not begin",
		See:   nothingSent(),
		Means: text("A key may have a path, and is then for repositories that begin with it. It is compared with the "+
			"repository alone, which has neither tag nor digest: `HOST/team/app:1` matches no image.",
			"`/v1/` and `/v2/` at the beginning are left out, but only with the slash at their end: `https://HOST/v2` "+
				"is for repositories that begin with `v2`."),
		Proof: text("A key of the pod's Secrets has the image's host and port, and its path is no prefix of the "+
			"repository "+matcher+"; no other key matches.", sent),
		Fix:   text("Use the host alone as the key, unless there is a credential for each path:", renameKey(), hurry()),
		Check: keysOf(),
		Similar: []Similar{
			{KeyDockerhub, "The path is `/v1` without its slash, of Docker Hub's key."},
			{KeyShadowed, "The path matches, and the entry is the wrong one: longer keys are tried first."},
			{KeyHostMismatch, "The host differs already."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func keyVPCVsPublic() Cause {
	return Cause{
		Code: KeyVPCVsPublic, Link: Keyring, Vantage: API, Most: Proven,
		Title: "The Secret is for another network's form of the same ACR host",
		See:   nothingSent(),
		Means: "A registry of ACR has a name for the Internet, one for VPCs (`-vpc`) and, the Personal Edition, one " +
			"for the classic network (`-internal`). It is one registry with one credential. To kubelet they are " +
			"different hosts: a Secret for the one is none for the other.",
		Proof: text("A key of the pod's Secrets and the image's host are equal once `-vpc`, `-internal` and `-intl` "+
			"are left out of their first label, and differ with them; no key matches "+matcher+". The place is marked.", sent),
		Fix: text("Give the image's form the login of the other one:",
			sh("pullkey secret add-host SECRET HOST --like OTHERHOST -n NAMESPACE"), "Where pullkey's controller keeps "+
				"the Secret, it has all hosts of an instance, and `domains` of `acr-configuration` more of them:",
			sh("pullkey status"), hurry()),
		Check: keysOf(),
		Similar: []Similar{
			{KeyHostMismatch, "The hosts are of two registries, or of two instances."},
			{RefWrongHost, "The Secret is for the image's host, and the node does not reach that."},
			{RegIPACL, "The Secret fits, and the instance does not let this network in."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func keyDockerhub() Cause {
	return Cause{
		Code: KeyDockerhub, Link: Keyring, Vantage: API, Most: Proven,
		Title: "The key is meant for Docker Hub, and kubelet does not know it as Docker Hub's",
		See: []Said{
			{"containerd 2.x", `failed to pull and unpack image "docker.io/<REPOSITORY>:<TAG>": failed to resolve ` +
				`image: pull access denied, repository does not exist or may require authorization: server message: ` +
				`insufficient_scope: authorization failed`},
			{"containerd 1.x", `failed to pull and unpack image "docker.io/<REPOSITORY>:<TAG>": failed to resolve ` +
				`reference "docker.io/<REPOSITORY>:<TAG>": pull access denied, repository does not exist or may ` +
				`require authorization: server message: insufficient_scope: authorization failed`},
			{"docker", `Error response from daemon: pull access denied for <REPOSITORY>, repository does not exist or ` +
				`may require 'docker login': denied: requested access to the resource is denied`},
		},
		Means: text("An image of Docker Hub is one of `docker.io`. kubelet knows two keys for it: `docker.io`, with a "+
			"path or without, and `index.docker.io` without another path than `/`, `/v1/` or `/v2/`. `registry-1.docker.io`, `hub.docker.com`, "+
			"`*.docker.io`, `index.docker.io/ORGANISATION` and `https://index.docker.io/v1` without the slash at its "+
			"end are none.", "The other way round, an image that names `registry-1.docker.io` is not Docker Hub's to "+
			"kubelet, and has no use for Docker Hub's key."),
		Proof: "The image's domain is docker.io, or another name of Docker Hub; the keys of the pod's Secrets hold " +
			"another name of Docker Hub, and none matches " + matcher + ". Docker Hub gives a token to anybody, so the " +
			"runtime's text is the same with a credential: what proves it is that no key matches.",
		Fix: text("Give the entry Docker Hub's own name, with `docker.io` for HOST:", renameKey(), "Or write the Secret anew, all of it:",
			sh(`pullkey login docker.io --keep-password`, `pullkey secret create SECRET --from-login docker.io -n `+
				`NAMESPACE --dry-run -o yaml |`, `  kubectl apply --server-side --force-conflicts -f -`), hurry()),
		Check: text("Among the keys is `docker.io` or `https://index.docker.io/v1/`:",
			sh(`kubectl -n NAMESPACE get secret SECRET -o go-template='{{index .data ".dockerconfigjson"}}' |`, `  base64 -d | jq '.auths | keys'`,
				"kubectl -n NAMESPACE events --for pod/POD")),
		Similar: []Similar{
			{KeyDefaultServer, "The key is Docker Hub's, and the image is not."},
			{KeyShadowed, "Both of Docker Hub's keys are there: `docker.io` wins, and the other is never tried."},
			{RefImplicitHub, "Docker Hub was not meant at all."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func keyDefaultServer() Cause {
	return Cause{
		Code: KeyDefaultServer, Link: Keyring, Vantage: API, Most: Proven,
		Title: "The Secret is for Docker Hub, because no server was named when it was made",
		See:   nothingSent(),
		Means: "`kubectl create secret docker-registry` without `--docker-server` writes the key " +
			"`https://index.docker.io/v1/`, whatever registry the user and password are for. The image is of another " +
			"registry, for which the Secret then has nothing.",
		Proof: text("The only key of the pod's Secrets is `https://index.docker.io/v1/`, the image's domain is not "+
			"docker.io, and no key matches "+matcher+". The default is kubectl's (cmd/create/create_secret_docker.go).", sent),
		Fix:   text(remake(), hurry()),
		Check: keysOf(),
		Similar: []Similar{
			{KeyHostMismatch, "The key is of some other registry."},
			{RefImplicitHub, "The image has no host, and so means Docker Hub."},
			{KeyDockerhub, "The image is Docker Hub's, and the key is not."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func keyCase() Cause {
	return Cause{
		Code: KeyCase, Link: Keyring, Vantage: API, Most: Proven,
		Title: "The key and the image's host differ in capitals alone",
		See:   nothingSent(),
		Means: "To DNS `Registry.Example.com` and `registry.example.com` are one name. kubelet compares letter by " +
			"letter, and they are two. The same goes for a path in the key: repositories have small letters alone.",
		Proof: text("A key of the pod's Secrets matches the image once both are in small letters, and does not as they "+
			"are "+matcher+".", sent),
		Fix: text("Write the host in small letters on both sides. In the Secret:", renameKey(), "If the capitals stand in the image:",
			sh("kubectl -n NAMESPACE set image deployment/DEPLOYMENT CONTAINER=HOST/REPOSITORY:TAG"), hurry()),
		Check: keysOf(),
		Similar: []Similar{
			{KeyHostMismatch, "The hosts differ in more than capitals."},
			{RefInvalid, "The capitals stand in the repository: that is no name of an image."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func keyGlob() Cause {
	return Cause{
		Code: KeyGlob, Link: Keyring, Vantage: API, Most: Proven,
		Title: "The pattern in the key does not cover the image",
		See:   nothingSent(),
		Means: text("In a key `*` stands for any text inside one label of the host. `*.example.com` is for "+
			"`eu.example.com`, and neither for `a.eu.example.com` nor for `example.com`; `*` alone is for no host with "+
			"a dot.", "In a path `*` is an ordinary sign. In a port it makes the entry unreadable, and kubelet drops "+
			"it, and says so in its log alone."),
		Proof: text("A key of the pod's Secrets has a `*`, and would match if it stood for several labels, for a port "+
			"or for part of a path; by kubelet's rules no key matches "+matcher+". Which part fails is named.", sent),
		Fix: text("One `*` for each label, and none elsewhere, or the host itself:",
			sh("pullkey secret add-host SECRET HOST --like '*.example.com' -n NAMESPACE"), hurry()),
		Check: keysOf(),
		Similar: []Similar{
			{KeyHostMismatch, "The key has no pattern, or one for another domain."},
			{PluginNotMatched, "The pattern is in the configuration of the node's credential provider."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func keyShadowed() Cause {
	return Cause{
		Code: KeyShadowed, Link: Keyring, Vantage: API, Most: Strong,
		Title: "Several entries match the image, and a wrong one stands before the right one",
		See: append(refused(),
			Said{"kubelet, of several different errors", `[<ERROR OF THE FIRST>, <ERROR OF THE SECOND>]`},
		),
		Means: text("kubelet tries all entries that match, keys in reverse order of the alphabet: the longer, more "+
			"precise key first, one with `*` last; for the same key in the order of the pod's list. Each costs a "+
			"failed attempt, counts against limits of the registry and may lock an account.",
			"For Docker Hub it is worse: if `docker.io` matches, `https://index.docker.io/v1/` is not tried at all."),
		Proof: "For Docker Hub, both keys are there with different credentials, and the one that is tried was refused " +
			matcher + ". Whether the registry takes the other is not asked: strong, and possible where the text is that of " +
			"a missing right. Elsewhere kubelet goes on to the next entry when one is refused, so a failed pull means that " +
			"all were, and the verdict is PULL-AUTH-INVALID; the entries are shown in the order in which they are tried. " +
			"Brackets in the text prove that at least two were; no brackets prove nothing, as equal errors become one.",
		Fix: text("Take the wrong entry out of its Secret, and keep the rest:", dropKey(), "Or take the Secret out of "+
			"the list, and make the pods anew.", removeFromSA(), hurry()),
		Check: text("With the right login alone, the registry grants `pull`:",
			sh("pullkey token IMAGE --client containerd"), "And the pod's Events end with `Pulled`:",
			sh("kubectl -n NAMESPACE events --for pod/POD")),
		Similar: []Similar{
			{KeyAmbiguous, "The two entries are two spellings of one key in one Secret, in no order."},
			{AuthInvalid, "There is one entry, and it is wrong."},
			{CredOnPublic, "The image is public, and the wrong entry keeps it from being pulled."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func keyAmbiguous() Cause {
	return Cause{
		Code: KeyAmbiguous, Link: Keyring, Vantage: API, Most: Strong,
		Title: "One Secret has the same registry twice, with different credentials, in no order",
		See: append(refused(),
			Said{Text: "It changes from attempt to attempt: sometimes one error, sometimes another order of the same."},
		),
		Means: "`HOST`, `https://HOST`, `http://HOST/` and `https://HOST/v2/` are one key to kubelet. Two of them in " +
			"one Secret come out of a table without an order: which credential is tried first changes from one attempt " +
			"to the next.",
		Proof: "Two keys of one Secret are the same after kubelet has cut scheme, `/v1/`, `/v2/` and the slash at the " +
			"end, they match the image, and their credentials differ " + matcher + ". Which was first at the failed " +
			"attempt cannot be told: strong, not proven.",
		Fix: text("Keep one of them:", dropKey(), hurry()),
		Check: text("Each registry stands there once:",
			sh(`kubectl -n NAMESPACE get secret SECRET -o go-template='{{index .data ".dockerconfigjson"}}' |`, `  base64 -d | jq '.auths | keys'`)),
		Similar: []Similar{
			{KeyShadowed, "The entries are in several Secrets or under different keys, and their order is fixed."},
			{AuthInvalid, "There is one entry, and it is wrong."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func credOnPublic() Cause {
	return Cause{
		Code: CredOnPublic, Link: Token, Vantage: Client, Most: Proven,
		Title: "The image is public, and a bad credential keeps it from being pulled",
		See:   refused(),
		Means: "Once an entry matches the image, kubelet pulls with it, and with the next ones; it never tries " +
			"without. So a credential that has ended breaks even images that anybody may pull.",
		Proof: text("The registry answers for the image without a credential, and refuses the one that matches: the "+
			"pair of answers is the proof (`PullImage` in kuberuntime_image.go of kubelet 1.37 pulls without a "+
			"credential only if none matches).", undecided("where a key matches, the text is `failed to fetch oauth "+
			"token` with 401, and the registry is one whose images are mostly public.")),
		Fix: text("Renew the entry, or take it out:", dropKey(), hurry()),
		Check: text("A file of logins that does not exist is nobody; then the image pulls:",
			sh("pullkey token IMAGE --auth-file /tmp/nobody.json"), "And the pod's Events end with `Pulled`:",
			sh("kubectl -n NAMESPACE events --for pod/POD")),
		Similar: []Similar{
			{AuthInvalid, "The image is private, and the credential is needed and wrong."},
			{KeyShadowed, "Another entry that matches would work."},
			{RegRateLimit, "The credential is good, and too much was pulled."},
		},
		Reads: []string{"pods", "secrets"},
	}
}
