package cause

func blobMissing() Cause {
	return Cause{
		Code: BlobMissing, Link: Layers, Vantage: Client, Most: Proven,
		Title: "The registry has lost a layer of the image",
		See: []Said{
			{"containerd", `failed to copy: httpReadSeeker: failed open: could not fetch content descriptor <DIGEST> (<MEDIATYPE>) ` +
				`from remote: not found`},
			{"docker, CRI-O", `blob unknown to registry`},
		},
		Means: "The manifest is there and names a layer that the registry does not have: a garbage collection during a " +
			"push, an incomplete copy between registries, a lost volume.",
		Proof: text("Each layer of the manifest is asked for, and one is 404.", undecided("where the text has `could "+
			"not fetch content descriptor` and `not found`.")),
		Fix: text("Push the image again from where it was built; a client that takes the layer for present must be "+
			"made to send it:",
			sh("skopeo copy --all docker://OTHERHOST/REPOSITORY:TAG docker://HOST/REPOSITORY:TAG")),
		Check: text("All layers come:", sh("pullkey pull IMAGE --output DIR")),
		Similar: []Similar{
			{BlobForbidden, "The layer is there, and is refused."},
			{DigestMissing, "The manifest itself is missing."},
		},
		Reads: observed(),
	}
}

func blobForbidden() Cause {
	return Cause{
		Code: BlobForbidden, Link: Layers, Vantage: Client, Most: Proven,
		Title: "The registry gives out the manifest and refuses a layer",
		See: []Said{{"containerd", `failed to copy: httpReadSeeker: failed open: unexpected status from GET request to ` +
			`https://<HOST>/v2/<REPOSITORY>/blobs/<DIGEST>: 403 Forbidden`}},
		Means: "The refusal comes from the registry's own host: a rule for images with findings of a scan, a " +
			"quarantine, or a firewall that looks at the content.",
		Proof: text("The layer is answered with 403 by the registry, without a redirect.", undecided("where the text "+
			"is a 403 at `/blobs/` of the image's host.")),
		Fix: text("Look for the image in the registry: scan result, quarantine, and the project's rule of what may be "+
			"pulled. The body of the answer mostly names it:",
			sh("pullkey pull IMAGE --output DIR --trace")),
		Check: text("All layers come:", sh("pullkey pull IMAGE --output DIR")),
		Similar: []Similar{
			{BlobStorage403, "It is the storage behind the registry that refuses: the address is of another host."},
			{ScopeDenied, "The manifest is refused already."},
		},
		Reads: observed(),
	}
}

func blobStorage403() Cause {
	return Cause{
		Code: BlobStorage403, Link: Layers, Vantage: Node, Most: Proven,
		Title: "The storage behind the registry refuses the layer",
		See: []Said{{"containerd", `failed to copy: httpReadSeeker: failed open: unexpected status from GET request to ` +
			`https://<STORAGE>/<PATH>?[REDACTED]: 403 Forbidden`}},
		Means: "Registries send whoever wants a layer to object storage, with a signed address. The storage refuses " +
			"it: the signature has ended by a clock that is wrong, a policy of the bucket or of the VPC endpoint " +
			"leaves the node's network out, or a proxy passes the registry's Authorization header on.",
		Proof: text("The redirect is followed from the node; the storage's answer has its reason as `<Code>`.", undecided("where "+
			"the text is a 403 at another host than the registry's, beside PULL-CLOCK-SKEW, which is decided.")),
		Fix: text("Correct the clock, or let the node's network read the bucket in its policy and in that of the VPC "+
			"endpoint. From the node, for the reason:",
			sh("crictl pull IMAGE", askedFor, "date -u")),
		Check: text("On the node:", sh("crictl pull IMAGE", askedFor)),
		Similar: []Similar{
			{BlobForbidden, "It is the registry itself that refuses."},
			{ClockSkew, "The clock is the reason."},
			{BlobStorageUnreachable, "The storage does not answer."},
		},
		Reads: observed(),
	}
}

func blobStorageUnreachable() Cause {
	return Cause{
		Code: BlobStorageUnreachable, Link: Layers, Vantage: Node, Most: Proven,
		Title: "The node reaches the registry and not the storage behind it",
		See: []Said{{"containerd", `failed to copy: httpReadSeeker: failed open: failed to do request: Get ` +
			`"https://<STORAGE>/<PATH>?[REDACTED]": dial tcp <ADDRESS>:443: i/o timeout`}},
		Means: "Layers come from object storage or a CDN, whose host is another one than the registry's. The way to " +
			"the registry is open, and the way to the storage is not.",
		Proof: text("From the node, the manifest comes, and the host of the redirect cannot be resolved or reached.", undecided("where "+
			"the text is a failed connection to another host than the registry's behind `failed open`.")),
		Fix: text("Let the nodes reach the storage's host, port 443; for ACR the region's `*.oss-cn-*.aliyuncs.com`, " +
			"or its internal form. Some registries can serve layers themselves instead."),
		Check: fromNode("https://STORAGEHOST/"),
		Similar: []Similar{
			{BlobStorage403, "The storage answers, and refuses."},
			{NetTimeout, "The registry itself does not answer."},
			{AuthRealmUnreachable, "It is the token server that does not answer."},
		},
		Reads: observed(),
	}
}

func blobDigest() Cause {
	return Cause{
		Code: BlobDigest, Link: Layers, Vantage: Node, Most: Proven,
		Title: "A layer arrives with other content than its digest says",
		See: []Said{{"containerd", `failed commit on ref "layer-<DIGEST>": unexpected commit digest <DIGEST>, expected ` +
			`<DIGEST>`}},
		Means: "Something between changes the content: a cache with damaged files, a proxy that answers with a page of " +
			"its own, a virus scanner; or the registry's storage is damaged. The runtime rightly refuses it.",
		Proof: text("The layer is fetched from the node and hashed, and from elsewhere.", undecided("where the text "+
			"has `unexpected commit digest`.")),
		Fix: text("Compare with another way to the registry; if that is good, empty the cache or take the proxy out " +
			"for this host. If both are wrong, push the image again."),
		Check: text("Every content has its digest, and the node pulls:",
			sh("pullkey pull IMAGE --output DIR", "crictl pull IMAGE", askedFor)),
		Similar: []Similar{
			{BlobTruncated, "The content is right as far as it comes."},
			{ManifestCorrupt, "It is the manifest."},
		},
		Reads: observed(),
	}
}

func blobTruncated() Cause {
	return Cause{
		Code: BlobTruncated, Link: Layers, Vantage: Node, Most: Strong,
		Title: "A layer ends before its end",
		See: []Said{
			{"containerd", `short read: expected <N> bytes but got <N>: unexpected EOF`},
			{"containerd", `httpReadSeeker: read past expected size <N>: …`},
		},
		Means: "A load balancer or proxy ends transfers after a time or at a size, or its disk for buffering is full. " +
			"Small layers come and large ones do not.",
		Proof: text("The length that was announced is compared with what comes, from the node and from elsewhere.", undecided("where "+
			"the text has `short read` or `read past expected size`.")),
		Fix: text("Raise the limits of time and size of what stands before the registry, and switch its buffering to "+
			"disk off (`proxy_read_timeout`, `proxy_max_temp_file_size` in nginx). This goes on where a transfer "+
			"broke, and says how often:",
			sh("pullkey pull IMAGE --output DIR --trace")),
		Check: text("On the node:", sh("crictl pull IMAGE", askedFor)),
		Similar: []Similar{
			{BlobDigest, "All of it comes, and it is wrong."},
			{NodeTimeout, "Nothing comes for minutes."},
			{NetReset, "The connection is cut before anything comes."},
		},
		Reads: observed(),
	}
}

func nodeDisk() Cause {
	return Cause{
		Code: NodeDisk, Link: Disk, Vantage: API, Most: Proven,
		Title: "The node has no room for the image",
		See: []Said{
			{"containerd", `failed to extract layer <DIGEST>: <ERROR>: no space left on device`},
			{"kubelet, Event of the node", `FreeDiskSpaceFailed`},
			{"node, condition", "DiskPressure"},
		},
		Means: "The file system of images is full, in bytes or in inodes. kubelet removes images that nobody uses, " +
			"from 85 % on, and found too little; with DiskPressure it evicts pods and takes no new ones.",
		Proof: "The text of the runtime has `no space left on device`: proven. Or the node's condition DiskPressure is " +
			"True, and the pull was given up: strong. Beside any other text the condition is only noticed.",
		Fix: text("Make room on the node, or give it a larger disk:",
			sh("crictl rmi --prune", "df -h /var/lib/containerd", "df -i /var/lib/containerd"), "kubelet's limits are "+
				"`imageGCHighThresholdPercent` and `imageGCLowThresholdPercent`. What fills a disk is often logs and "+
				"`emptyDir`, not images."),
		Check: text("The condition is False, and the pod's Events end with `Pulled`:",
			sh(`kubectl get node NODE -o jsonpath='{.status.conditions[?(@.type=="DiskPressure")].status}'`,
				"kubectl -n NAMESPACE events --for pod/POD")),
		Similar: []Similar{
			{NodeTimeout, "The disk is slow instead of full."},
			{BlobTruncated, "It is a proxy's disk that is full."},
		},
		Reads: []string{"pods", "nodes", "events"},
	}
}

func nodeTimeout() Cause {
	return Cause{
		Code: NodeTimeout, Link: Layers, Vantage: API, Most: Strong,
		Title: "The pull made no progress for minutes and was given up",
		See: []Said{
			{"containerd", `failed to pull and unpack image "<IMAGE>": context canceled`},
			{"docker, CRI-O", `context deadline exceeded`},
		},
		Means: "containerd ends a pull in which nothing arrives for five minutes (`image_pull_progress_timeout`): a " +
			"slow or blocked way, a registry under load, or a disk that cannot keep up while a large layer is " +
			"unpacked. A restart of kubelet or containerd in the middle has the same text.",
		Proof: "The text is `context canceled` or `context deadline exceeded`, and between the Events `Pulling` and " +
			"`Failed` lie 300 seconds or more. Sooner, somebody has ended the pull: possible. What stood still does " +
			"not show: strong, not proven.",
		Fix: text("Take smaller layers, or a registry or mirror near the node. If the disk is slow, let fewer pulls "+
			"run at once (`maxParallelImagePulls` of kubelet). The time, in containerd 2.x:",
			file("toml", "# /etc/containerd/config.toml", "[plugins.'io.containerd.cri.v1.images']", "  image_pull_progress_timeout = '15m'"),
			sh("systemctl restart containerd")),
		Check: text("`Pulled` says how long it took:", sh("kubectl -n NAMESPACE events --for pod/POD")),
		Similar: []Similar{
			{NetTimeout, "The connection is not even made; it takes half a minute."},
			{BlobTruncated, "The transfer is cut, with its own text."},
			{NodeDisk, "The disk is full."},
		},
		Reads: []string{"pods", "events"},
	}
}

func verifySignature() Cause {
	return Cause{
		Code: VerifySignature, Link: Verification, Vantage: API, Most: Proven,
		Title: "The node runs only images with a signature that it accepts, and this has none",
		See: []Said{
			{"kubelet, reason, with CRI-O", "SignatureValidationFailed"},
			{"CRI-O", `SignatureValidationFailed: Source image rejected: <REASON>`},
			{"containerd 2.x", `image verifier <NAME> blocked pull of <IMAGE> with digest <DIGEST> for reason: <REASON>`},
		},
		Means: "The runtime of the node checks images: CRI-O by its policy.json, containerd by verifier programs. The " +
			"image has no signature, or not one of those who are trusted. The credential and the way are good.",
		Proof: "The container's reason is SignatureValidationFailed, or the text is one of these (kubelet 1.37, " +
			"images/image_manager.go; containerd, image-verifier plugin).",
		Fix: text("Sign the image with a key that the node trusts, or add its key for this repository to the node's "+
			"policy:",
			sh("cosign sign HOST/REPOSITORY@DIGEST", "cat /etc/containers/policy.json")),
		Check: pulled(),
		Similar: []Similar{
			{AdmissionPolicy, "The cluster refuses the pod before there is a node."},
			{BlobForbidden, "The registry refuses, after its own check."},
		},
		Reads: []string{"pods", "events"},
	}
}

func admissionPolicy() Cause {
	return Cause{
		Code: AdmissionPolicy, Link: Admission, Vantage: API, Most: Proven,
		Title: "A policy of the cluster refuses the pod because of its image",
		See: []Said{
			{
				"ReplicaSet, Job or StatefulSet, Event FailedCreate",
				`Error creating: admission webhook "<WEBHOOK>" denied the request: <REASON>`,
			},
			{
				"ReplicaSet, Job or StatefulSet, Event FailedCreate",
				`Error creating: pods "<POD>" is forbidden: ValidatingAdmissionPolicy '<POLICY>' with binding ` +
					`'<BINDING>' denied request: <REASON>`,
			},
		},
		Means: "Somebody decides which images may run: Kyverno, Gatekeeper, Ratify, a ValidatingAdmissionPolicy, " +
			"ImagePolicyWebhook. It refused the pod, so there is none, and nothing is pulled.",
		Proof: "The owner of the pods has an Event FailedCreate with such a text, and fewer pods than it wants. The " +
			"name of the webhook or policy and its reason stand there. That it is because of the image is proven of " +
			"ImagePolicyWebhook, which judges nothing else, and strong where the reason speaks of images, registries or " +
			"signatures; of another reason there is no verdict.",
		Fix: text("Do what the reason says (a registry that is allowed, a digest, a signature), or have the owner of "+
			"the policy except the workload:",
			sh("kubectl -n NAMESPACE events --for replicaset/REPLICASET",
				"kubectl get validatingwebhookconfigurations,validatingadmissionpolicies")),
		Check: text("The workload has its pods:", sh("kubectl -n NAMESPACE get deployment/DEPLOYMENT")),
		Similar: []Similar{
			{SAMissing, "The pod is refused because its ServiceAccount is missing."},
			{SAEnforced, "The pod is refused because of the Secret that it names."},
			{VerifySignature, "The pod is made, and its node refuses the image."},
		},
		Reads: []string{"replicasets", "events"},
	}
}

func guest() Cause {
	return Cause{
		Code: Guest, Link: NodeCredentials, Vantage: API, Most: Strong,
		Title: "The image is pulled inside a virtual machine, which has none of the pod's Secrets",
		See: []Said{{
			"kubelet, Event Failed, with Kata Containers",
			`failed to pull manifest Not authorized: url https://<HOST>/v2/<REPOSITORY>/manifests/<TAG>`,
		}},
		Means: "With confidential or peer-pod runtimes the guest pulls the image itself. What kubelet found in the " +
			"pod's Secrets stays on the host.",
		Proof: "The pod has a `runtimeClassName`, and the text is the guest's (`failed to pull manifest`), not that of " +
			"the node's runtime. A key of its Secrets may match: it does not count. That the class pulls in the guest " +
			"is concluded from the text: strong, not proven.",
		Fix: text("Give the guest its credentials in the way of its runtime (for Confidential Containers the "+
			"`registry_credentials` of its agent, from the key broker), or use an image that needs none. The handler "+
			"of the class:",
			sh("kubectl get runtimeclass RUNTIMECLASS -o jsonpath='{.handler}'")),
		Check: pulled(),
		Similar: []Similar{
			{AuthNoCredential, "The node's runtime pulls, and had no credential."},
			{PodStatic, "The pod's Secrets do not count, because the pod is static."},
		},
		Reads: []string{"pods", "events"},
	}
}
