package cause

func secrets() []Cause {
	return []Cause{
		secretMissing(), secretOtherNamespace(), secretRace(), secretType(), secretBadAuth(), secretBadShape(), secretDoubleB64(),
		secretWrongShapeSilent(), secretNoPassword(), secretIdentityToken(), secretStrayWhitespace(), secretImmutableStale(),
		secretStaleCopy(),
	}
}

func secretMissing() Cause {
	return Cause{
		Code: SecretMissing, Link: PodSecrets, Vantage: API, Most: Proven,
		Title: "The pod names a Secret that does not exist",
		See: append([]Said{
			{
				"kubelet, Event FailedToRetrieveImagePullSecret",
				`Unable to retrieve some image pull secrets (<SECRET>); attempting to pull the image may not succeed.`,
			},
		}, nothingSent()...),
		Means: text("kubelet leaves out a Secret that is not there and pulls with the others, or with none. It says so "+
			"only if the pull then fails, in an Event. Older kubelets say it of every pod that names a Secret which is "+
			"not there, pulled or not.", "The Event alone proves nothing: an image that is public, or for which "+
			"another Secret is, pulls all the same."),
		Proof: text("A name in the pod's `imagePullSecrets` is no Secret of the pod's namespace, and no key of the "+
			"Secrets that are there matches the image (`getPullSecretsForPod` in kubelet_pods.go and `SyncPod` in "+
			"kubelet.go of 1.37).", sent, "Without the right to read Secrets, the Event's list of names makes it strong."),
		Fix: text("Make the Secret, under the name that the pod uses:",
			sh("pullkey login HOST --keep-password", "pullkey secret create SECRET --from-login HOST -n NAMESPACE"), hurry()),
		Check: text("The Secret is there, with a type that kubelet reads, and the pod's Events end with `Pulled`:",
			sh("kubectl -n NAMESPACE get secret SECRET -o jsonpath='{.type}'", "kubectl -n NAMESPACE events --for pod/POD")),
		Similar: []Similar{
			{SecretOtherNamespace, "A Secret of that name is in another namespace."},
			{SecretRace, "The Secret is there now, and was not when the pod was tried."},
			{SANotReferenced, "A Secret for the image is there, under a name that nobody uses."},
		},
		Reads: []string{"pods", "events"},
	}
}

func secretOtherNamespace() Cause {
	return Cause{
		Code: SecretOtherNamespace, Link: PodSecrets, Vantage: API, Most: Proven,
		Title: "The Secret that the pod names is in another namespace",
		See: append([]Said{
			{
				"kubelet, Event FailedToRetrieveImagePullSecret",
				`Unable to retrieve some image pull secrets (<SECRET>); attempting to pull the image may not succeed.`,
			},
		}, nothingSent()...),
		Means: "A pod can name Secrets of its own namespace alone; there is no way to write another one. A pull Secret " +
			"of that name exists elsewhere, and not here.",
		Proof: text("The name in the pod's `imagePullSecrets` is no Secret of its namespace, and is a Secret of a pull " +
			"type in another one (`getPullSecretsForPod` in kubelet_pods.go of 1.37 asks for the pod's namespace). It " +
			"takes the right to list Secrets of all namespaces; without it the verdict is PULL-SECRET-MISSING."),
		Fix: text("Copy it, without what belongs to the other object:",
			sh(`kubectl -n OTHERNAMESPACE get secret SECRET -o json |`,
				`  jq '{apiVersion, kind, type, data, metadata: {name: .metadata.name}}' |`, `  kubectl -n NAMESPACE create -f -`),
			"A copy is not renewed with the original: where the credential changes, something must keep both, as "+
				"pullkey does in the namespaces that it watches.", hurry()),
		Check: pulled(),
		Similar: []Similar{
			{SecretMissing, "No namespace that may be seen has a Secret of that name."},
			{SecretStaleCopy, "A copy is here, and is older than the original."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func secretRace() Cause {
	return Cause{
		Code: SecretRace, Link: PodSecrets, Vantage: API, Most: Strong,
		Title: "The Secret came after the attempt, so the next attempt will find it",
		See: []Said{
			{
				"kubelet, Event FailedToRetrieveImagePullSecret",
				`Unable to retrieve some image pull secrets (<SECRET>); attempting to pull the image may not succeed.`,
			},
			{"kubelet, log", `object "<NAMESPACE>"/"<SECRET>" not registered`},
			{"kubelet, log", `failed to sync secret cache: timed out waiting for the condition`},
		},
		Means: "The pod was tried before its Secret was made, or before kubelet had seen it: kubelet waits for its own " +
			"copy for a second and then goes on without. The Secret is there now and fits. What the pod shows is the " +
			"text of the earlier attempt.",
		Proof: "The Secret that the Event names exists, a key of it matches the image, and its `creationTimestamp` is " +
			"later than the Event (secret manager of kubelet 1.37, util/manager/watch_based_manager.go). Where the " +
			"Secret is older than the Event, kubelet's copy may have been late: possible.",
		Fix: text("Nothing needs to be changed.", hurry(), "To avoid it, make Secrets before the workloads that name "+
			"them."),
		Check: pulled(),
		Similar: []Similar{
			{SecretMissing, "The Secret is not there."},
			{SAPodPredates, "The Secret was there, and its name came into the ServiceAccount after the pod was made: " +
				"waiting does not help."},
		},
		Reads: []string{"pods", "secrets", "events"},
	}
}

func secretType() Cause {
	return Cause{
		Code: SecretType, Link: SecretContent, Vantage: API, Most: Proven,
		Title: "The Secret has a type, or a key in its data, that kubelet does not read",
		See:   nothingSent(),
		Means: text("kubelet reads two kinds of pull Secrets: type `kubernetes.io/dockerconfigjson` with the key "+
			"`.dockerconfigjson`, and type `kubernetes.io/dockercfg` with the key `.dockercfg`. It passes over all "+
			"others without a word, however good their content.",
			"`kubectl create secret generic` makes type Opaque unless `--type` is given."),
		Proof: text("The Secret's type is another one, or its data lack the key that belongs to its type "+
			"(`MakeDockerKeyring` in pkg/credentialprovider/secrets/secrets.go of 1.37).", sent),
		Fix: text(renewal(), "From a docker config.json that holds user and password:",
			sh(`kubectl -n NAMESPACE create secret generic SECRET \`,
				`  --type=kubernetes.io/dockerconfigjson --from-file=.dockerconfigjson=config.json`), hurry()),
		Check: text("Type and key belong together:",
			sh(`kubectl -n NAMESPACE get secret SECRET -o go-template='{{.type}}{{range $k, $v := .data}} `+
				`{{$k}}{{end}}{{"\n"}}'`)),
		Similar: []Similar{
			{SecretWrongShapeSilent, "Type and key are right, and the document in it has the shape of the other type."},
			{SecretDoubleB64, "The value is no document, because it was encoded twice."},
			{SecretNoPassword, "kubelet reads the document, and there is no password in it."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func secretBadAuth() Cause {
	return Cause{
		Code: SecretBadAuth, Link: SecretContent, Vantage: API, Most: Proven,
		Title: "One Secret of the pod cannot be decoded, so kubelet pulls none of its images",
		See: []Said{
			{"kubelet, reason", `illegal base64 data at input byte <N>`},
			{"kubelet, reason, where the colon is missing", `unable to parse auth field, must be formatted as ` +
				`base64(username:password)`},
			{"kubelet, Event Failed", `Error: illegal base64 data at input byte <N>`},
			{Text: "The reason is the decoder's error itself, not ErrImagePull. No text names the Secret or the image, " +
				"and no Event says that a pull was begun."},
		},
		Means: text("In a document of a pull Secret, `auth` is base64 of `user:password`. In this one it is not "+
			"base64, or base64 with the alphabet for URLs (`-` and `_`), or what it decodes to has no colon.",
			"kubelet decodes all Secrets that the pod names before it pulls the first image. One that fails stops them "+
				"all: images of other registries and public ones too."),
		Proof: "Each Secret in the pod's list is decoded as kubelet does it (`decodeDockerConfigFieldAuth` in " +
			"pkg/credentialprovider/config.go of 1.37); this one gives the very error that the container has as its " +
			"reason. The registry key whose `auth` is wrong is named, and its value is not shown. Without the right to " +
			"read Secrets the reason alone proves it, and which Secret it is stays open.",
		Fix: text(remake(), "If the Secret is not needed, take its name out where the pods have it from, and make the "+
			"pods anew.", removeFromSA(), recreate(), auth()),
		Check: text("This prints nothing but user names in front of the colon, one for each `auth`:",
			sh(`kubectl -n NAMESPACE get secret SECRET -o go-template='{{index .data ".dockerconfigjson"}}' | base64 -d |`,
				`  jq -r '.auths[].auth // empty | @base64d | split(":")[0]'`)),
		Similar: []Similar{
			{SecretBadShape, "The document is not of the right shape; the reason begins with `json:`."},
			{SecretStrayWhitespace, "It decodes, and a line end has become part of the password."},
			{SecretNoPassword, "It decodes, and there is no password."},
		},
		Reads: []string{"pods"},
	}
}

func secretBadShape() Cause {
	return Cause{
		Code: SecretBadShape, Link: SecretContent, Vantage: API, Most: Proven,
		Title: "One Secret of the pod has the wrong JSON types, so kubelet pulls none of its images",
		See: []Said{
			{"kubelet, reason", `json: cannot unmarshal array into Go struct field DockerConfigJSON.auths of type ` +
				`credentialprovider.DockerConfig`},
			{"kubelet, Event Failed", `Error: json: cannot unmarshal <TYPE> into Go struct field <FIELD> of type <TYPE>`},
			{Text: "The reason is the decoder's error itself, not ErrImagePull, and names neither the Secret nor the " +
				"image."},
		},
		Means: text("The document is JSON, and not of the shape that kubelet reads: `auths` must be an object from "+
			"registry to entry, an entry an object, and user, password and `auth` texts. Here one of them is a list, a "+
			"text or a number.", "The API server checks only that the value is a JSON object. kubelet decodes all "+
			"Secrets that the pod names before it pulls, and stops at the first error: no image of the pod is pulled."),
		Proof: "Each Secret in the pod's list is decoded as kubelet does it (pkg/credentialprovider/config.go in " +
			"1.37); this one gives an error of types, and the container's reason is such an error. The place in the " +
			"document is named, and its value is not shown. Without the right to read Secrets the reason alone proves " +
			"it, and which Secret it is stays open.",
		Fix: text(remake(), "The shape is:",
			file("json", `{"auths": {"HOST": {"username": "USER", "password": "PASSWORD"}}}`), "If the Secret is not "+
				"needed, take its name out where the pods have it from, and make the pods anew.", removeFromSA()),
		Check: text("It says `object` once, and `object` for each registry:",
			sh(`kubectl -n NAMESPACE get secret SECRET -o go-template='{{index .data ".dockerconfigjson"}}' | base64 -d |`, `  jq '.auths | type, (.[] | type)'`)),
		Similar: []Similar{
			{SecretBadAuth, "The shape is right, and an `auth` cannot be decoded."},
			{SecretWrongShapeSilent, "The shape is that of the other type of Secret, which kubelet reads as no " +
				"credential and without an error."},
		},
		Reads: []string{"pods"},
	}
}

func secretDoubleB64() Cause {
	return Cause{
		Code: SecretDoubleB64, Link: SecretContent, Vantage: API, Most: Proven,
		Title: "The value in the Secret is not the document but an encoding of it",
		See: append([]Said{
			{"API server, of a typed Secret", `The Secret "<SECRET>" is invalid: data[.dockerconfigjson]: Invalid ` +
				`value: "<secret contents redacted>": invalid character 'e' looking for beginning of value`},
		}, nothingSent()...),
		Means: text("The value under `data` is base64 already. Whoever encoded the document before it was put there, "+
			"as with `base64` in front of `kubectl create --from-file` or of `stringData`, has encoded it twice. A "+
			"byte order mark or a placeholder that was not filled in has the same effect.",
			"The API server refuses such a value in a Secret of a pull type. In one of type Opaque it takes it, and "+
				"kubelet reads no Secret of that type."),
		Proof: text("What stands in `data`, decoded once, is no JSON; decoded once more it is a document with `auths`, "+
			"or it begins with a byte order mark. A Secret of a pull type cannot hold it (`ValidateSecret` in "+
			"pkg/apis/core/validation of 1.37), so the Secret is Opaque as well.", sent),
		Fix: text("Let pullkey or kubectl encode.", renewal(), "In a manifest, write the document itself under "+
			"`stringData`:",
			file("yaml", "type: kubernetes.io/dockerconfigjson", "stringData:", "  .dockerconfigjson: |",
				`    {"auths": {"HOST": {"username": "USER", "password": "PASSWORD"}}}`), hurry()),
		Check: text("It prints `object`:",
			sh(`kubectl -n NAMESPACE get secret SECRET -o go-template='{{index .data ".dockerconfigjson"}}' | base64 `+
				`-d | jq type`)),
		Similar: []Similar{
			{SecretType, "The document is right, and the type is not."},
			{SecretBadAuth, "The document is right, and the `auth` in it is not."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func secretWrongShapeSilent() Cause {
	return Cause{
		Code: SecretWrongShapeSilent, Link: SecretContent, Vantage: API, Most: Proven,
		Title: "The document in the Secret has the shape of the other type and gives no credential",
		See:   nothingSent(),
		Means: "`.dockerconfigjson` holds `{\"auths\": {HOST: …}}`, and `.dockercfg`, the older form, `{HOST: …}` " +
			"without `auths`. Here each has the other's shape. kubelet reads both without an error: the first as a " +
			"document without registries, the second as one for a registry that is called `auths`.",
		Proof: text("Of a Secret of type dockerconfigjson, the document has no `auths`, and members that look like "+
			"registries; or of type dockercfg, the one key is `auths` (`ReadDockerConfigFileFromBytes` and its kin in "+
			"pkg/credentialprovider/config.go of 1.37).", sent),
		Fix: text("Convert it, into the newer type under a new name, or under the same one after the old Secret is "+
			"deleted:",
			sh(`kubectl -n NAMESPACE get secret SECRET -o go-template='{{range .data}}{{.}}{{end}}' | base64 -d |`,
				`  jq 'if has("auths") then . else {auths: .} end' |`,
				`  kubectl -n NAMESPACE create secret generic NEWSECRET \`,
				`    --type=kubernetes.io/dockerconfigjson --from-file=.dockerconfigjson=/dev/stdin`),
			"Then name NEWSECRET where SECRET was named.", recreate()),
		Check: keysOf(),
		Similar: []Similar{
			{SecretType, "The type and the key in the data do not belong together."},
			{SecretBadShape, "A value has another JSON type; kubelet stops with an error."},
			{SecretNoPassword, "The registries are there, and the passwords are not."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func secretNoPassword() Cause {
	return Cause{
		Code: SecretNoPassword, Link: SecretContent, Vantage: API, Most: Proven,
		Title: "The Secret has an entry for the registry and no password in it",
		See:   nothingSent(),
		Means: text("The document was copied from a docker or podman whose logins lie in a credential store: "+
			"`credsStore` or `credHelpers` names a program, and the entry of the registry is empty. kubelet runs no "+
			"such program. It takes the entry, whose password is empty, and the runtime pulls as nobody.",
			"As an entry matches, it looks as if all were well."),
		Proof: text("A key matches the image and its entry, decoded as kubelet does it (user, password, `auth`; "+
			"pkg/credentialprovider/config.go in 1.37), has an empty password; the document mostly has `credsStore` or "+
			"`credHelpers`.", sent),
		Fix: text("Put the credential itself into the Secret; pullkey asks the credential store for it.", remake(), hurry()),
		Check: text("It prints `true` for the registry:",
			sh(`kubectl -n NAMESPACE get secret SECRET -o go-template='{{index .data ".dockerconfigjson"}}' | base64 -d |`,
				`  jq '.auths | map_values((.password // (.auth // "" | @base64d | split(":")[1:] | join(":")) // "") `+
					`!= "")'`)),
		Similar: []Similar{
			{SecretIdentityToken, "There is a token instead of a password, which kubelet does not read."},
			{SecretWrongShapeSilent, "kubelet finds no entry at all."},
			{AuthInvalid, "There is a password, and the registry refuses it."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func secretIdentityToken() Cause {
	return Cause{
		Code: SecretIdentityToken, Link: SecretContent, Vantage: API, Most: Proven,
		Title: "The Secret holds an identity token, which kubelet does not read",
		See:   nothingSent(),
		Means: text("After some logins docker stores an identity token or a registry token instead of a password (`az " +
			"acr login`, a login in the browser). docker, crane and oras pull with it. kubelet reads user, password " +
			"and `auth`, and nothing else: for it the entry has no password."),
		Proof: text("A key matches the image, its entry has `identitytoken` or `registrytoken`, and its password is "+
			"empty (`DockerConfigEntry` in pkg/credentialprovider/config.go of 1.37 has no such fields).", sent),
		Fix: text("Log in with user and password and keep the password; where the registry has them, take a token of a "+
			"robot or of a service principal as the password.", remake(), hurry()),
		Check: text("It prints `true`, `false`: a password and no token:",
			sh(`kubectl -n NAMESPACE get secret SECRET -o go-template='{{index .data ".dockerconfigjson"}}' | base64 -d |`,
				`  jq '.auths[] | has("password") or has("auth"), has("identitytoken")'`)),
		Similar: []Similar{
			{SecretNoPassword, "There is neither a password nor a token."},
			{AuthInvalid, "There is a password, and the registry refuses it."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func secretStrayWhitespace() Cause {
	return Cause{
		Code: SecretStrayWhitespace, Link: SecretContent, Vantage: API, Most: Proven,
		Title: "A space or line end has become part of the registry, the user or the password",
		See: append(refused(),
			Said{Text: "Where it is in the registry's name, kubelet drops the entry and the texts are those of a pull " +
				"without a credential."},
		),
		Means: text("`echo user:password | base64` encodes the line end too, and kubelet cuts nothing off: the "+
			"password that is sent ends in it, and the registry refuses it. A file that ends in a line end, given to "+
			"`--from-file`, has the same effect.", "In the name of a registry, a line end makes the name unreadable, "+
			"and a space before it makes it another name: the entry is not used."),
		Proof: text("The key has a space or a control character: kubelet cannot parse it and drops it, or it is not "+
			"equal to the host (`Add` in pkg/credentialprovider/keyring.go of 1.37); proven. Or the decoded user or "+
			"password begins or ends in one, and the runtime's text is a 401 after a credential was sent: strong, "+
			"because such a password is possible.", "What stands there is not shown; only that it is there."),
		Fix: text("pullkey reads a password as one line and cuts the line end off.", remake(), auth(), hurry()),
		Check: text("It prints `false` for all:",
			sh(`kubectl -n NAMESPACE get secret SECRET -o go-template='{{index .data ".dockerconfigjson"}}' | base64 -d |`,
				`  jq '.auths | to_entries[] | .key, .value.username, .value.password, (.value.auth // "" | @base64d) `+
					`| strings | test("^\\s|\\s$")'`)),
		Similar: []Similar{
			{AuthInvalid, "The credential has no stray sign, and is refused."},
			{SecretBadAuth, "What was encoded cannot be decoded."},
			{KeyHostMismatch, "The key is a clean name, of another host."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func secretImmutableStale() Cause {
	return Cause{
		Code: SecretImmutableStale, Link: SecretContent, Vantage: API, Most: Strong,
		Title: "An immutable Secret was made anew, and this node still has the old content",
		See: append(refused(),
			Said{Text: "It fails on nodes that ran pods with the Secret before, and not on the others."},
		),
		Means: "kubelet reads an immutable Secret once and then stops watching it, as it cannot change. It can be " +
			"deleted and made again under its name with other content. A node on which some pod has named it all the " +
			"time keeps using what it read first.",
		Proof: "The Secret has `immutable: true`, and its `creationTimestamp` is later than the start of the oldest " +
			"pod on this node that names it (secret manager of kubelet 1.37, util/manager/watch_based_manager.go). " +
			"Which content the node has cannot be asked: strong, not proven.",
		Fix: text("Give the new content a new name, and name that in ServiceAccount or template:",
			sh("pullkey login HOST --keep-password", "pullkey secret create NEWSECRET --from-login HOST -n NAMESPACE"), appendToSA(), recreate(),
			"Or take all pods that name the Secret off the node, by a drain; when the last is gone, kubelet forgets "+
				"it. Leave `immutable` out of Secrets whose content is renewed."),
		Check: pulled(),
		Similar: []Similar{
			{AuthInvalid, "It fails on every node."},
			{NodeConfig, "It depends on the node too, and the node's own credential is the reason."},
			{SecretStaleCopy, "It depends on the namespace instead of the node."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func secretStaleCopy() Cause {
	return Cause{
		Code: SecretStaleCopy, Link: SecretContent, Vantage: API, Most: Strong,
		Title: "This namespace has an older copy of a Secret that is newer elsewhere",
		See:   refused(),
		Means: "The same Secret stands in several namespaces, and in this one with another credential for the same " +
			"registry, written earlier. What copies it has not reached this namespace since the credential was changed.",
		Proof: "Secrets of one name and type in several namespaces have a key that matches the image. The fingerprint " +
			"of user and password here differs from that elsewhere, and the newer one was written later by " +
			"`managedFields`. That the newer one works is not asked: strong, not proven. No credential is shown.",
		Fix: text("See to the tool that copies (a replicator's annotation, an ExternalSecret, a CronJob); the writer "+
			"of this copy stands in its managed fields. Until then, by hand:",
			sh(`kubectl -n OTHERNAMESPACE get secret SECRET -o json | jq '{data}' |`,
				`  kubectl -n NAMESPACE patch secret SECRET --patch-file /dev/stdin`), hurry()),
		Check: text("The two sums are equal:",
			sh(`kubectl -n NAMESPACE get secret SECRET -o jsonpath='{.data}' | sha256sum`,
				`kubectl -n OTHERNAMESPACE get secret SECRET -o jsonpath='{.data}' | sha256sum`)),
		Similar: []Similar{
			{AuthInvalid, "All copies are alike, and the registry refuses them."},
			{SecretOtherNamespace, "There is no copy here."},
			{SecretImmutableStale, "The Secret is new, and the node uses an old one."},
		},
		Reads: []string{"pods", "secrets"},
	}
}
