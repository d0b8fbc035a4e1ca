package cause

func contents() []Cause {
	return []Cause{
		scopeDenied(), scopeAnonymous(), repoMissing(), tagMissing(), digestMissing(), platformMissing(), platformSingle(),
		mediatypeSchema1(), mediatypeArtifact(), manifestTooBig(), manifestCorrupt(), blobMissing(), blobForbidden(),
		blobStorage403(), blobStorageUnreachable(), blobDigest(), blobTruncated(), nodeDisk(), nodeTimeout(), verifySignature(),
		admissionPolicy(), guest(),
	}
}

// denied are the texts of a token that does not grant the pull.
func denied() []Said {
	return append(resolving(`pull access denied, repository does not exist or may require authorization: server `+
		`message: insufficient_scope: authorization failed`),
		Said{"containerd 2.x, where the registry says 403", `failed to pull and unpack image "<IMAGE>": failed to ` +
			`resolve image: unexpected status from HEAD request to https://<HOST>/v2/<REPOSITORY>/manifests/<TAG>: 403 ` +
			`Forbidden`},
		Said{"CRI-O", `reading manifest <TAG> in <HOST>/<REPOSITORY>: denied: <MESSAGE>`},
		Said{"docker", `Error response from daemon: pull access denied for <REPOSITORY>, repository does not exist or ` +
			`may require 'docker login': denied: requested access to the resource is denied`})
}

// absent are the texts of a manifest that is not there.
func absent() []Said {
	return append(resolving(`<IMAGE>: not found`),
		Said{"CRI-O", `reading manifest <TAG> in <HOST>/<REPOSITORY>: manifest unknown: <MESSAGE>`},
		Said{"docker", `Error response from daemon: manifest for <IMAGE> not found: manifest unknown: <MESSAGE>`})
}

func scopeDenied() Cause {
	return Cause{
		Code: ScopeDenied, Link: Scope, Vantage: Client, Most: Proven,
		Title: "The login is good, and this user may not pull this repository",
		See:   denied(),
		Means: "A token server does not say no: it gives a token that grants less. The user of the Secret is known to " +
			"the registry and has no right to pull from this repository; the name may also be misspelt, which many " +
			"registries answer alike.",
		Proof: text("The token's `access` lacks `pull` for the repository, or the registry refuses it, while the same "+
			"credential is granted another one or its login succeeds.", undecided("where a key with a password matches "+
			"and the text is `insufficient_scope`, or `denied`.")),
		Fix: text("At the registry, give the user or robot the right to pull from the repository, or use one that has "+
			"it. This prints user, asked and granted:",
			sh("pullkey token IMAGE"), "At ACR the permission is `cr:PullRepository`; this prints what to grant to "+
				"pullkey's own identity:",
			sh("pullkey policy")),
		Check: asked(),
		Similar: []Similar{
			{ScopeAnonymous, "The same text, and no credential was sent."},
			{RepoMissing, "The same text, and the repository does not exist."},
			{AuthAccountDisabled, "The account may pull nothing at all."},
			{RegIPACL, "It is the network that is not let in."},
		},
		Reads: []string{"pods", "secrets", "events"},
	}
}

func scopeAnonymous() Cause {
	return Cause{
		Code: ScopeAnonymous, Link: Scope, Vantage: API, Most: Strong,
		Title: "No credential was sent, and an anonymous token does not grant this repository",
		See:   denied(),
		Means: "Some registries, Docker Hub first of all, give a token to whoever asks without a credential, and such " +
			"a token is for public repositories. kubelet had no credential for this image. The text says denied, as " +
			"for a user without the right: yet there was no user. It is given only where no cause behind it was found.",
		Proof: "No key of any Secret that the pod names matches the image by kubelet's rules " +
			"(pkg/credentialprovider/keyring.go in 1.37), and the text is `insufficient_scope`. A credential of the " +
			"node cannot be seen from here, and a repository that does not exist is answered alike: strong, not proven.",
		Fix: text("Make a Secret for the registry and name it:",
			sh("pullkey login HOST --keep-password", "pullkey secret create SECRET --from-login HOST -n NAMESPACE"), appendToSA(), recreate(),
			"If the image should be public, check the spelling of its repository."),
		Check: named(),
		Similar: []Similar{
			{ScopeDenied, "A credential was sent."},
			{AuthNoCredential, "The same, at a registry that gives nobody a token."},
			{RepoMissing, "There is no such repository, for nobody and for anybody."},
			{RefImplicitHub, "The image was not meant to come from Docker Hub."},
		},
		Reads: []string{"pods", "secrets"},
	}
}

func repoMissing() Cause {
	return Cause{
		Code: RepoMissing, Link: Scope, Vantage: Client, Most: Proven,
		Title: "The registry has no such repository",
		See: append(denied(),
			Said{"containerd, where the registry says 404", `<IMAGE>: not found`},
			Said{"CRI-O", `reading manifest <TAG> in <HOST>/<REPOSITORY>: name unknown: <MESSAGE>`},
		),
		Means: "The repository, or its namespace or project, was never made, was removed, or is spelled otherwise. " +
			"Many registries do not tell that from a missing right, so as not to show what exists.",
		Proof: text("A credential that may see it gets NAME_UNKNOWN, or the registry's own API does not list it. "+
			"Without such a credential it stays possible, beside PULL-SCOPE-DENIED.", undecided("where the text is "+
			"`not found`, `name unknown` or `insufficient_scope`.")),
		Fix: text("Push the image, or correct the name; most errors are in the project or organisation:",
			sh("kubectl -n NAMESPACE set image deployment/DEPLOYMENT CONTAINER=HOST/REPOSITORY:TAG")),
		Check: asked(),
		Similar: []Similar{
			{ScopeDenied, "It exists, and the user may not pull it."},
			{TagMissing, "The repository exists, and the tag does not."},
			{RefImplicitHub, "It exists at another registry."},
		},
		Reads: observed(),
	}
}

func tagMissing() Cause {
	return Cause{
		Code: TagMissing, Link: Manifest, Vantage: Client, Most: Proven,
		Title: "The repository has no such tag",
		See:   absent(),
		Means: "The registry let the pull through as far as the manifest, and has none under this tag: not pushed yet, " +
			"pushed elsewhere, removed by a retention rule, or misspelt. No tag in the image means `latest`.",
		Proof: text("The manifest is 404 and the list of tags of the repository is answered.", undecided("where the "+
			"text is `not found` or `manifest unknown` and no mirror stands in it.")),
		Fix: text("Push the tag, or name one that is there:",
			sh(`curl -sS -H @<(printf 'Authorization: Bearer '; pullkey token IMAGE --reveal) \`, `  https://HOST/v2/REPOSITORY/tags/list`,
				"kubectl -n NAMESPACE set image deployment/DEPLOYMENT CONTAINER=HOST/REPOSITORY:TAG")),
		Check: text("The manifest is there, and its content:", sh("pullkey pull IMAGE --output DIR")),
		Similar: []Similar{
			{RepoMissing, "The whole repository is missing."},
			{DigestMissing, "The image is named by a digest."},
			{MirrorMasks, "It is a mirror that does not have it."},
			{PlatformMissing, "The tag is there, and nothing in it is for this node."},
		},
		Reads: observed(),
	}
}

func digestMissing() Cause {
	return Cause{
		Code: DigestMissing, Link: Manifest, Vantage: Client, Most: Proven,
		Title: "The registry has no manifest of this digest any more",
		See:   absent(),
		Means: "The image is pinned by its digest. The tag was pushed again, and a retention rule or garbage " +
			"collection removed what it pointed to before; or the digest is of another registry's copy.",
		Proof: text("The manifest of the digest is 404, while the repository answers for a tag.", undecided("where the "+
			"image has a digest and the text is `not found`.")),
		Fix: text("Pin what is there, or push the old image again and keep it from removal by a tag of its own:",
			sh("kubectl -n NAMESPACE set image deployment/DEPLOYMENT CONTAINER=HOST/REPOSITORY@DIGEST")),
		Check: text("The manifest is there, and its content:", sh("pullkey pull IMAGE --output DIR")),
		Similar: []Similar{
			{TagMissing, "The image is named by a tag."},
			{BlobMissing, "The manifest is there, and a layer of it is not."},
		},
		Reads: observed(),
	}
}

func platformMissing() Cause {
	return Cause{
		Code: PlatformMissing, Link: Platform, Vantage: Client, Most: Proven,
		Title: "The image was not built for this node's platform",
		See: []Said{
			{"containerd", `failed to pull and unpack image "<IMAGE>": no match for platform in manifest: not found`},
			{"CRI-O", `no image found in image index for architecture "<ARCH>", variant "<VARIANT>", OS "<OS>"`},
			{"docker", `no matching manifest for linux/<ARCH> in the manifest list entries`},
		},
		Means: "The tag is an index of images for several platforms, and none is for the operating system and " +
			"processor of the node on which the pod landed.",
		Proof: text("The platforms of the index are compared with the node's `status.nodeInfo`.", undecided("where the "+
			"text is one of these; the node's platform is shown beside it.")),
		Fix: text("Build for that platform too, or keep the pod on nodes for which there is an image:",
			sh(`kubectl -n NAMESPACE patch deployment DEPLOYMENT \`,
				`  -p '{"spec":{"template":{"spec":{"nodeSelector":{"kubernetes.io/arch":"ARCH"}}}}}'`)),
		Check: text("There is an image for the platform:", sh("pullkey pull IMAGE --output DIR --platform linux/ARCH")),
		Similar: []Similar{
			{PlatformSingle, "The image pulls, and its program does not start."},
			{TagMissing, "The tag itself is missing."},
		},
		Reads: []string{"pods", "nodes"},
	}
}

func platformSingle() Cause {
	return Cause{
		Code: PlatformSingle, Link: Platform, Vantage: Client, Most: Proven,
		Title: "The image pulls, and is for another processor",
		See:   []Said{{"container, log", "exec format error"}, {"kubelet, reason", "CrashLoopBackOff"}},
		Means: "An image without an index is taken as it is, whatever it was built for. The pull is good; the program " +
			"cannot start on this processor. It is no failure of the pull, and is named because it is taken for one.",
		Proof: text("`architecture` in the image's configuration is not the node's.", undecided("where a container "+
			"ends at once with `exec format error` in its state.")),
		Fix: text("Build for the node's platform, or keep the pod on nodes of the other one:",
			sh(`kubectl -n NAMESPACE patch deployment DEPLOYMENT \`,
				`  -p '{"spec":{"template":{"spec":{"nodeSelector":{"kubernetes.io/arch":"ARCH"}}}}}'`)),
		Check: text("The container runs:",
			sh("kubectl -n NAMESPACE get pod POD -o wide", "kubectl -n NAMESPACE logs POD -c CONTAINER --previous")),
		Similar: []Similar{
			{PlatformMissing, "The tag is an index, and nothing in it is for the node: the pull fails."},
		},
		Reads: []string{"pods", "nodes"},
	}
}

func mediatypeSchema1() Cause {
	return Cause{
		Code: MediatypeSchema1, Link: Manifest, Vantage: Client, Most: Proven,
		Title: "The manifest is of docker's first schema, which runtimes no longer read",
		See: []Said{
			{"containerd 2.x", `media type "application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer ` +
				`supported since containerd v2.0, please rebuild the image as ` +
				`"application/vnd.docker.distribution.manifest.v2+json" or "application/vnd.oci.image.manifest.v1+json"`},
			{"containerd", `application/vnd.docker.distribution.manifest.v1+prettyjws not supported`},
		},
		Means: "The image was pushed many years ago, or by a very old client, or the registry converts for clients " +
			"that it takes for old ones.",
		Proof: text("The registry answers with this media type.", undecided("where the text names it.")),
		Fix: text("Build and push the image again with a client of today, or convert it:",
			sh("skopeo copy --format oci docker://HOST/REPOSITORY:TAG docker://HOST/REPOSITORY:NEWTAG")),
		Check: text("The image comes as one of today:", sh("pullkey pull IMAGE --output DIR")),
		Similar: []Similar{
			{MediatypeArtifact, "It is of today, and no image for containers."},
			{ManifestCorrupt, "It cannot be read at all."},
		},
		Reads: observed(),
	}
}

func mediatypeArtifact() Cause {
	return Cause{
		Code: MediatypeArtifact, Link: Manifest, Vantage: Client, Most: Proven,
		Title: "What stands under the tag is no image for a container",
		See: []Said{
			{"containerd", `failed to pull and unpack image "<IMAGE>": mismatched image rootfs and manifest layers`},
			{"containerd, of a manifest that is called another thing", `get image config descriptor: unexpected media type <TYPE> for sha256:<DIGEST>: not found`},
			{"containerd, of the same", `failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:<DIGEST> (application/json) from remote: not found`},
			{Text: "Runtimes have several texts for it, most of them about unpacking or about the configuration."},
		},
		Means: "Registries hold other things too: Helm charts, signatures, attestations, WebAssembly, models. The tag " +
			"is one of them, often because chart and image have the same repository name.",
		Proof: text("The media type of the manifest's configuration, or its `artifactType`, is not that of an image.", undecided("where "+
			"the text is about unpacking or the configuration, and not about the node's disk.")),
		Fix: text("Name the image's own tag or repository; this shows what a tag is:",
			sh("pullkey pull IMAGE --output DIR", "blob=$(jq -r '.manifests[-1].digest' DIR/index.json | tr : /)",
				"jq '{artifactType, config: .config.mediaType}' DIR/blobs/$blob")),
		Check: pulled(),
		Similar: []Similar{
			{MediatypeSchema1, "It is an image, of a form that is out of use."},
			{TagMissing, "There is nothing under the tag."},
			{VolImage, "A volume may be an artifact; its pull failed for another reason."},
		},
		Reads: observed(),
	}
}

func manifestTooBig() Cause {
	return Cause{
		Code: ManifestTooBig, Link: Manifest, Vantage: Client, Most: Proven,
		Title: "The manifest is larger than runtimes take",
		See:   []Said{{"containerd", `rejecting <N> byte manifest for <IMAGE>: not found`}},
		Means: "A manifest is a list of layers with their annotations, a few kilobytes. containerd takes 4 MiB at " +
			"most. Mostly a tool has put files into annotations.",
		Proof: text("The manifest's length is asked and compared.", undecided("where the text has `rejecting` and a "+
			"number of bytes; a page of another server may be as long.")),
		Fix: text("Build the image anew without the large annotations, and with fewer layers:",
			sh("skopeo inspect --raw docker://IMAGE | wc -c")),
		Check: text("The image comes:", sh("pullkey pull IMAGE --output DIR")),
		Similar: []Similar{
			{ManifestCorrupt, "The size is right, and the content cannot be read."},
		},
		Reads: observed(),
	}
}

func manifestCorrupt() Cause {
	return Cause{
		Code: ManifestCorrupt, Link: Manifest, Vantage: Client, Most: Proven,
		Title: "The manifest cannot be read, or is not what its digest says",
		See: []Said{
			{"containerd", `failed to unmarshal <DIGEST>: invalid character '<CHARACTER>' looking for beginning of value`},
			{"containerd", `failed commit on ref "manifest-<DIGEST>": unexpected commit digest <DIGEST>, expected ` +
				`<DIGEST>`},
		},
		Means: "What the registry, or a proxy or cache before it, gives out as the manifest is no JSON, names no " +
			"layers, or has been changed on its way.",
		Proof: text("The manifest is fetched, hashed and read; from here and from the node, if they differ.", undecided("where "+
			"the text names a manifest that cannot be decoded or has an unexpected digest.")),
		Fix: text("Empty the cache that stands between, or push the image again:",
			sh("skopeo inspect --raw docker://IMAGE | jq .")),
		Check: text("The image comes, and each content has its digest:", sh("pullkey pull IMAGE --output DIR")),
		Similar: []Similar{
			{BlobDigest, "It is a layer that is not what its digest says."},
			{RegNotRegistry, "What answers is a page."},
			{ManifestTooBig, "It can be read, and is too large."},
		},
		Reads: observed(),
	}
}
