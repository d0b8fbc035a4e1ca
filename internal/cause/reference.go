package cause

func references() []Cause {
	return []Cause{
		refInvalid(), refImplicitHub(), refShortname(), refWrongHost(), policyNever(), cacheVerify(), policyAlways(),
		podStatic(), podEphemeral(), podSidecar(), volImage(),
	}
}

func refInvalid() Cause {
	return Cause{
		Code: RefInvalid, Link: Reference, Vantage: API, Most: Proven,
		Title: "The name of the image is none, so kubelet does not try to pull it",
		See: []Said{
			{"kubelet, reason", "InvalidImageName"},
			{"kubelet, Event InspectFailed", `Failed to apply default image tag "<IMAGE>": couldn't parse image name ` +
				`"<IMAGE>": invalid reference format`},
			{"kubelet, of capitals", `Failed to apply default image tag "<IMAGE>": couldn't parse image name ` +
				`"<IMAGE>": invalid reference format: repository name must be lowercase`},
		},
		Means: text("The text in `image` is not the name of an image. It is mostly one of these: a scheme (`https://` "+
			"does not belong there), a capital in the repository, a space or line end, an empty tag after a colon, or "+
			"a template that was never filled in (`${TAG}`, `{{ .Values.image }}`).",
			"Nobody is asked: neither registry nor credential plays a part."),
		Proof: "The name is read with the parser that kubelet uses (distribution/reference, called from " +
			"`applyDefaultImageTag` in kubelet 1.37, images/image_manager.go). It is shown up to the first sign that " +
			"cannot stand there.",
		Fix: text("Write the name as `HOST/REPOSITORY:TAG`, in small letters, without a scheme. If it comes from a "+
			"template, render that and look:",
			sh("helm template RELEASE CHART | grep -n 'image:'",
				"kubectl -n NAMESPACE set image deployment/DEPLOYMENT CONTAINER=HOST/REPOSITORY:TAG")),
		Check: text("The name is what you mean, and the reason of the new pod is no longer `InvalidImageName`:",
			sh(`kubectl -n NAMESPACE get pod POD -o jsonpath='{range .spec.containers[*]}{.name}{" `+
				`["}{.image}{"]\n"}{end}'`)),
		Similar: []Similar{
			{RefImplicitHub, "The name can be read, and means docker.io instead of the registry that was meant."},
			{RefShortname, "The name can be read, and CRI-O wants it to begin with a host."},
		},
		Reads: []string{"pods"},
	}
}

func refImplicitHub() Cause {
	return Cause{
		Code: RefImplicitHub, Link: Reference, Vantage: API, Most: Strong,
		Title: "The name of the image has no host, so it means Docker Hub",
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
		Means: "The part before the first slash is a host only if it has a dot or a colon, or is `localhost`. " +
			"`registry/app:1` and `team/app:1` are repositories at docker.io. The pod names a pull Secret for another " +
			"registry, so the image was meant to come from there.",
		Proof: "The image's normalised domain is docker.io, the text in the pod has no domain, and a Secret that the " +
			"pod names has keys for other registries and none for Docker Hub (`ParseNormalizedNamed` in " +
			"distribution/reference, which kubelet 1.37 calls before it looks for credentials). That another registry " +
			"was meant is a conclusion: strong, not proven.",
		Fix: text("Write the host in front:",
			sh("kubectl -n NAMESPACE set image deployment/DEPLOYMENT CONTAINER=HOST/REPOSITORY:TAG"),
			"If Docker Hub was meant, the Secret needs a key for it: see PULL-KEY-DOCKERHUB."),
		Check: text("The runtime's text names the host that you mean, or the pod's Events end with `Pulled`:",
			sh("kubectl -n NAMESPACE events --for pod/POD")),
		Similar: []Similar{
			{KeyDefaultServer, "The other way round: the image has a host, and the Secret is for Docker Hub."},
			{RefShortname, "CRI-O refuses a name without a host instead of asking Docker Hub."},
			{RepoMissing, "Docker Hub was meant, and has no such repository."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func refShortname() Cause {
	return Cause{
		Code: RefShortname, Link: Reference, Vantage: API, Most: Proven,
		Title: "The name of the image has no host, and CRI-O does not guess one",
		See: []Said{
			{"kubelet, reason", "ErrImagePull or ImageInspectError"},
			{"CRI-O", `short-name "<REPOSITORY>:<TAG>" did not resolve to an alias and no unqualified-search ` +
				`registries are defined in "<FILE>"`},
			{"CRI-O, older", `no registries configured while trying to pull an unqualified image`},
		},
		Means: "containerd and docker take a name without a host for one at docker.io. CRI-O does so only if the " +
			"node's registries.conf says which registries to search, or has an alias for the name. On this node it has " +
			"neither.",
		Proof: "The image in the pod has no domain, the node's `status.nodeInfo.containerRuntimeVersion` begins with " +
			"`cri-o://`, and the message has one of these texts (containers/image, package shortnames).",
		Fix: text("Write the whole name, for Docker Hub too:",
			sh("kubectl -n NAMESPACE set image deployment/DEPLOYMENT CONTAINER=docker.io/library/REPOSITORY:TAG"),
			"A search list in registries.conf also works, and lets whoever owns the name at the first registry choose "+
				"what runs."),
		Check: pulled(),
		Similar: []Similar{
			{RefImplicitHub, "With containerd or docker the same name goes to Docker Hub, and is refused there."},
			{RefInvalid, "The name cannot be read at all."},
		},
		Reads: []string{"pods", "nodes"},
	}
}

func refWrongHost() Cause {
	return Cause{
		Code: RefWrongHost, Link: Reference, Vantage: Node, Most: Proven,
		Title: "The image names an address of its registry that this node cannot use",
		See: resolving(`failed to do request: Head "https://<HOST>/v2/<REPOSITORY>/manifests/<TAG>": dial tcp ` +
			`<ADDRESS>: i/o timeout`),
		Means: "Many registries have several names: public, for a VPC, internal, and former ones. The image names one " +
			"that does not lead anywhere from this node, while another name of the same registry would: a public name " +
			"without a way to the Internet, a VPC name in another VPC, a domain that was given up, or another port.",
		Proof: text("The host is not among the endpoints that the registry's cloud lists, or the node cannot resolve "+
			"or reach it while it reaches another of them.", undecided("where an ACR host has a form for another "+
			"network and the runtime's text is a timeout or a host that is not found.")),
		Fix: text("Name the host that nodes reach, and see that the pull Secret has a key for it:",
			sh("kubectl -n NAMESPACE set image deployment/DEPLOYMENT CONTAINER=HOST/REPOSITORY:TAG",
				"pullkey secret add-host SECRET HOST --like OTHERHOST -n NAMESPACE")),
		Check: text("On the node itself any HTTP status will do, 401 included:",
			sh("curl -sS -o /dev/null -w '%{http_code}\\n' https://HOST/v2/")),
		Similar: []Similar{
			{KeyVPCVsPublic, "The node reaches the host, and the Secret is for the other form of its name."},
			{NetDNS, "The host is right, and the node's resolver does not know it."},
			{NetTimeout, "The host is right, and something on the way drops the packets."},
		},
		Reads: []string{"pods", "events"},
	}
}

func policyNever() Cause {
	return Cause{
		Code: PolicyNever, Link: ImageCache, Vantage: API, Most: Proven,
		Title: "The pull policy is Never, and the image is not on the node",
		See: []Said{
			{"kubelet, reason", "ErrImageNeverPull"},
			{"kubelet, Event ErrImageNeverPull", `Container image "<IMAGE>" is not present with pull policy of Never`},
		},
		Means: "With `imagePullPolicy: Never` kubelet starts a container only if the image is on the node already. It " +
			"is not, under this very name, and kubelet asks no registry for it.",
		Proof: "The container's policy is Never, and its reason is `ErrImageNeverPull` (kubelet 1.37, " +
			"images/image_manager.go): proven of a kubelet up to 1.34. From 1.35 on kubelet says the same of an image that " +
			"is there and not for this pod. Where the node's `status.images` has the image's name the verdict is " +
			"PULL-CACHE-VERIFY, else this one, and strong: the list has 50 images unless told otherwise, and is minutes " +
			"old. It is strong too where the node may not be read.",
		Fix: text("Let kubelet pull what is absent:",
			sh(`kubectl -n NAMESPACE patch deployment DEPLOYMENT \`,
				`  -p `+
					`'{"spec":{"template":{"spec":{"containers":[{"name":"CONTAINER","imagePullPolicy":"IfNotPresent"}]}}}}'`),
			"Or load the image on every node on which the pod may run, under the name that the pod uses:",
			sh("ctr -n k8s.io images import IMAGE.tar")),
		Check: text("The container has left `ErrImageNeverPull`:", sh("kubectl -n NAMESPACE get pod POD -o wide")),
		Similar: []Similar{
			{CacheVerify, "The image is on the node; from kubelet 1.35 on, a pod that has not shown its right to it " +
				"gets the same text."},
		},
		Reads: []string{"pods", "nodes"},
	}
}

func cacheVerify() Cause {
	return Cause{
		Code: CacheVerify, Link: ImageCache, Vantage: API, Most: Strong,
		Title: "The image is on the node, and kubelet wants this pod to show its right to it",
		See: []Said{
			{"kubelet, policy Never", `Container image "<IMAGE>" is not present with pull policy of Never`},
			{"kubelet, policy IfNotPresent", `Failed to pull image "<IMAGE>": <ERROR OF THE RUNTIME>`},
			{Text: "Neither text says that the image is there: kubelet does not tell a pod without the right to an " +
				"image that the node has it."},
		},
		Means: text("From Kubernetes 1.35 on, kubelet remembers with which Secret or ServiceAccount an image was "+
			"pulled. A pod with the same one, or with the same content, starts from what is on the node. Another pod "+
			"must pull, that is, show the registry a credential. Before, every pod on the node could use the image.",
			"So a pod without a working pull Secret that used to start now fails, and an outage of the registry "+
				"reaches pods whose image is on the node."),
		Proof: "The node's kubelet is of minor 35 or later (`status.nodeInfo.kubeletVersion`), the image stands in the " +
			"node's `status.images`, the container's policy is Never or IfNotPresent, and kubelet refused it or tried " +
			"to pull (feature KubeletEnsureSecretPulledImages, policy `NeverVerifyPreloadedImages` by default; " +
			"images/pullmanager in kubelet 1.37). The policy in force is in the node's configuration, which is not " +
			"read: strong, not proven.",
		Fix: text("Give the pod a Secret with which the registry lets it pull the image: by the ServiceAccount or by "+
			"the pod. The pull then takes one exchange with the registry, as the layers are there.", appendToSA(), recreate(),
			"For images that every pod may use, allow them in the node's kubelet configuration:",
			file("yaml", "imagePullCredentialsVerificationPolicy: NeverVerifyAllowlistedImages", "preloadedImagesVerificationAllowlist:", "- HOST/REPOSITORY"),
			"Renew a Secret in place: kubelet knows it by its UID, which another one of the same name does not have."),
		Check: text("The Event says `already present on machine and can be accessed by the pod`, or `Pulled`:",
			sh("kubectl -n NAMESPACE events --for pod/POD")),
		Similar: []Similar{
			{PolicyNever, "The image is not on the node at all."},
			{SANotReferenced, "Why the pod has no credential, where a Secret for the image is in its namespace."},
			{PolicyAlways, "The registry is asked because the policy says so, whoever pulled the image before."},
		},
		Reads: []string{"pods", "nodes", "events"},
	}
}

func policyAlways() Cause {
	return Cause{
		Code: PolicyAlways, Link: ImageCache, Vantage: API, Most: Strong,
		Title: "The pull policy became Always, so each start needs the registry",
		See: []Said{{Text: "No text of its own: what is seen is the error of the registry or of the way to it, at a " +
			"start that needed no registry before."}},
		Means: "The workload asks for `IfNotPresent`, or for nothing, and its pod has `Always`. Either the admission " +
			"plugin AlwaysPullImages or a webhook has set it, or the tag is `latest` or absent, for which Always is " +
			"the default. A container that starts again then needs the registry, though its image is on the node.",
		Proof: "The pod's container has `imagePullPolicy: Always`; the template of its ReplicaSet, Job, StatefulSet or " +
			"DaemonSet has another value, and the image stands in the node's `status.images`. That the pull failed is " +
			"another cause, named beside this one.",
		Fix: text("Mend the other cause first. To need the registry less often, name a tag that does not move, or a "+
			"digest, and the policy:",
			sh(`kubectl -n NAMESPACE patch deployment DEPLOYMENT \`,
				`  -p `+
					`'{"spec":{"template":{"spec":{"containers":[{"name":"CONTAINER","image":"HOST/REPOSITORY@DIGEST","imagePullPolicy":"IfNotPresent"}]}}}}'`),
			"If new pods still have Always, admission sets it: AlwaysPullImages is in `--enable-admission-plugins` of "+
				"the API server, webhooks and policies are listed by:",
			sh("kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies")),
		Check: text("The new pod has the policy that the template asks for:",
			sh(`kubectl -n NAMESPACE get pod POD -o jsonpath='{.spec.containers[*].imagePullPolicy}'`)),
		Similar: []Similar{
			{CacheVerify, "The policy is not Always, and kubelet pulls all the same, because this pod has not shown " +
				"its right to the image."},
			{Reg5XX, "The outage that makes the policy felt."},
		},
		Reads: []string{"pods", "nodes", "replicasets"},
	}
}

func podStatic() Cause {
	return Cause{
		Code: PodStatic, Link: PodSecrets, Vantage: API, Most: Proven,
		Title: "A static pod cannot use pull Secrets",
		See:   nothingSent(),
		Means: "kubelet starts this pod from a file of the node, and what the API server shows is its mirror. A mirror " +
			"pod may name no Secret, and kubelet could not read one before it reaches the API server. Only credentials " +
			"of the node count: its config.json and its credential provider.",
		Proof: text("The pod has the annotation `kubernetes.io/config.mirror` (admission plugin ServiceAccount in "+
			"1.37, plugin/pkg/admission/serviceaccount/admission.go: a mirror pod may reference no Secrets). Its "+
			"images are matched against nothing that the API server knows.", sent),
		Fix: text("Put a credential on the node: into kubelet's config.json, which it reads anew within five minutes,",
			sh("ls -l /var/lib/kubelet/config.json"),
			"or by a credential provider of kubelet (`--image-credential-provider-config`). A login of docker on the "+
				"node is not read. Or load the image on the node under the name that the pod uses:",
			sh("ctr -n k8s.io images import IMAGE.tar")),
		Check: text("The mirror pod runs:", sh("kubectl -n NAMESPACE get pod POD -o wide")),
		Similar: []Similar{
			{NodeConfig, "The node has a config.json, and it is not the one that is needed."},
			{SandboxImage, "It is the pause image that fails, for which the pod's Secrets do not count either."},
		},
		Reads: []string{"pods"},
	}
}

func podEphemeral() Cause {
	return Cause{
		Code: PodEphemeral, Link: Keyring, Vantage: API, Most: Proven,
		Title: "No Secret of the pod is for the image of a debug container",
		See:   nothingSent(),
		Means: "An ephemeral container, as `kubectl debug` adds it, pulls with the pull Secrets of its pod. Those are " +
			"for the registries of the pod's own images, and the debug image is from another one. The pod's list " +
			"cannot be changed after its birth.",
		Proof: text("The container that fails stands in `spec.ephemeralContainers`, and no key of the Secrets in "+
			"`spec.imagePullSecrets` matches its image by kubelet's rules (pkg/credentialprovider/keyring.go in 1.37), "+
			"while the others may.", sent),
		Fix: text("Debug with an image that needs no credential, or from a registry for which the pod has one:",
			sh("kubectl -n NAMESPACE debug POD -it --image=HOST/REPOSITORY:TAG --target=CONTAINER"),
			"Or debug a copy: new pods get the ServiceAccount's list if they bring none. A Secret that the pod names "+
				"already can be given the host as well:",
			sh("pullkey secret add-host SECRET HOST --like OTHERHOST -n NAMESPACE")),
		Check: text("The ephemeral container runs:",
			sh(`kubectl -n NAMESPACE get pod POD -o jsonpath='{.status.ephemeralContainerStatuses}'`)),
		Similar: []Similar{
			{PodSidecar, "The image was added at the pod's birth, by admission."},
			{KeyHostMismatch, "It is an image of the pod itself that no key matches."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func podSidecar() Cause {
	return Cause{
		Code: PodSidecar, Link: Keyring, Vantage: API, Most: Proven,
		Title: "No Secret of the pod is for the image of a container that admission added",
		See:   nothingSent(),
		Means: "The workload's template does not have this container: a webhook or policy (a service mesh, an agent, a " +
			"proxy) put it into the pod. Its image is from a registry for which the pod names no Secret. The other " +
			"containers pull.",
		Proof: text("The container stands in the pod and not in the template of its owner, no key of the pod's Secrets "+
			"matches its image, and one matches the image of another container (kubelet looks for credentials per "+
			"image: pkg/credentialprovider/keyring.go in 1.37).", sent),
		Fix: text("Name a Secret for that registry in the ServiceAccount, if the pod brings no list of its own, else "+
			"in the template; or let the injector take its image from a registry for which the pods have a Secret.", appendToSA(), recreate()),
		Check: named(),
		Similar: []Similar{
			{PodEphemeral, "The container was added later, by kubectl debug."},
			{WebhookStripped, "Admission replaced the pod's list of Secrets."},
			{KeyHostMismatch, "The container is the workload's own."},
		},
		Reads: []string{"pods", "secrets", "replicasets"},
	}
}

func volImage() Cause {
	return Cause{
		Code: VolImage, Link: Keyring, Vantage: API, Most: Proven,
		Title: "The image of a volume cannot be pulled, so no container of the pod starts",
		See: append(nothingSent(),
			Said{Text: "The texts are those of any image. They stand at the container that mounts the volume, and name " +
				"the image of the volume instead of the container's."},
		),
		Means: "A volume of the pod is an image (`volumes[].image`). kubelet pulls it as it pulls those of containers, " +
			"with the pod's Secrets and by the same rules. None of the keys is for it.",
		Proof: text("The reference in `spec.volumes[].image` is that of the text, and no key of the pod's Secrets "+
			"matches it (kubelet 1.37 takes the same way for volumes: images/image_manager.go). Where a key matches, "+
			"the verdict is the cause that any image would have.", sent),
		Fix: text("Treat it as the image of a container: either name a Secret for its registry, or give one that is "+
			"named the volume's host.", appendToSA(), recreate(), "The host in a Secret that is named:",
			sh("pullkey secret add-host SECRET HOST --like OTHERHOST -n NAMESPACE")),
		Check: pulled(),
		Similar: []Similar{
			{KeyHostMismatch, "It is the image of a container that no key matches."},
			{PodSidecar, "The image is that of a container which admission added."},
			{MediatypeArtifact, "A volume may be an artifact, and a container may not."},
		},
		Reads: []string{"pods", "secrets"},
	}
}
