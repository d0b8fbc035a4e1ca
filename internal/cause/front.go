package cause

func fronts() []Cause {
	return []Cause{
		regNotRegistry(), reg5XX(), regIPACL(), regRateLimit(), kubeletQPS(), mirrorMasks(), mirrorCreds(), mirrorConfig(),
	}
}

// status are the texts of a first request that was answered with a status.
func status(s string) []Said {
	return resolving(`unexpected status from HEAD request to https://<HOST>/v2/<REPOSITORY>/manifests/<TAG>: ` + s)
}

func regNotRegistry() Cause {
	return Cause{
		Code: RegNotRegistry, Link: Challenge, Vantage: Client, Most: Proven,
		Title: "What answers at the image's host is no registry",
		See: append(resolving(`<IMAGE>: not found`),
			Said{
				"containerd, where pages are sent for everything",
				`get image config descriptor: unexpected media type text/html for sha256:<DIGEST>: not found`,
			},
			Said{
				"containerd, where they are sent for manifests alone",
				`failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:<DIGEST> (text/html) from remote: not found`,
			},
		),
		Means: "The host is that of a web page, of a load balancer's default page, or the registry is served at " +
			"another host or port: consoles of Harbor, GitLab and Nexus are not always where their registry is.",
		Proof: text("`GET /v2/` is answered with a page of HTML, and neither with a challenge nor with JSON.", undecided("where "+
			"the text has `text/html`; a mirror or a proxy may have sent the page.")),
		Fix: text("Ask the registry's own page for its image address, and write that host:",
			sh("curl -sSi https://HOST/v2/ | head -20", "kubectl -n NAMESPACE set image deployment/DEPLOYMENT "+
				"CONTAINER=HOST/REPOSITORY:TAG")),
		Check: asked(),
		Similar: []Similar{
			{RepoMissing, "It is a registry, and has no such repository."},
			{AuthRealmBad, "The registry is one, and its token server's address leads to a page."},
			{NetProxy, "The page is a proxy's."},
		},
		Reads: observed(),
	}
}

func reg5XX() Cause {
	return Cause{
		Code: Reg5XX, Link: Challenge, Vantage: Client, Most: Proven,
		Title: "The registry fails by itself",
		See:   status("503 Service Unavailable"),
		Means: "The registry answers with 500, 502, 503 or 504: it is down or starting, its storage or database fails, " +
			"or its instance is paused or overdue.",
		Proof: text("The same status is answered from here and from the node.", undecided("where the text has a status "+
			"of 500 or more from the registry's own host.")),
		Fix: text("Look at the registry: its status page, its pods, the state of its instance in the cloud's console. " +
			"Nothing in the cluster needs a change; kubelet tries again, and waits five minutes at most."),
		Check: asked(),
		Similar: []Similar{
			{NetProxy, "The status is a proxy's."},
			{AuthTokenShape, "It is the token server that answers so."},
			{MirrorMasks, "It is a mirror that answers so."},
		},
		Reads: observed(),
	}
}

func regIPACL() Cause {
	return Cause{
		Code: RegIPACL, Link: Challenge, Vantage: Client, Most: Strong,
		Title: "The registry does not let this network in",
		See: append(status("403 Forbidden"),
			Said{Text: "Or no answer at all: a timeout, or a name that does not resolve, where the endpoint is " +
				"switched off."},
		),
		Means: "The registry's endpoint has a list of addresses, and the node's is not in it; or the endpoint is " +
			"closed; or the instance is not linked to the node's VPC. A new ACR Enterprise instance is open to no " +
			"network until somebody opens it.",
		Proof: text("The answers from here and from the node differ, or the body of the 403 names the client's "+
			"address; at ACR the endpoint's state can be asked.", undecided("where an ACR Enterprise host gives 403 at "+
			"the first request, or does not answer.")),
		Fix: text("At the registry allow the address by which the nodes go out, or link the instance to their VPC and " +
			"use its `-vpc` host. The body of the 403, or the registry's log of accesses, has the address that it saw."),
		Check: fromNode("https://HOST/v2/"),
		Similar: []Similar{
			{ScopeDenied, "The network is let in, and the user may not pull this."},
			{NetTimeout, "Something on the way drops the packets."},
			{RefWrongHost, "Another endpoint of the registry is open to the node."},
		},
		Reads: observed(),
	}
}

func regRateLimit() Cause {
	return Cause{
		Code: RegRateLimit, Link: Manifest, Vantage: Node, Most: Proven,
		Title: "The registry has counted too many pulls",
		See: append(status("429 Too Many Requests"),
			Said{"Docker Hub", "toomanyrequests: You have reached your pull rate limit. You may increase the limit by " +
				"authenticating and upgrading"},
			Said{"CRI-O", "too many requests to registry"},
		),
		Means: "The registry limits pulls per time: for an account if there is a credential, else for the address, " +
			"which all nodes behind one gateway share. Pulls without a credential have the lowest limit.",
		Proof: text("The answer is 429, and its headers say who was counted (`docker-ratelimit-source`: an address is "+
			"nobody, an identifier is an account).", undecided("where the text has 429 or `toomanyrequests`; whether a "+
			"credential was sent is told by the keyring.")),
		Fix: text("Give the pods a login of the registry, if kubelet found none for the image; where there is a login already, "+
			"another account, or a mirror:",
			sh("pullkey login HOST --keep-password", "pullkey secret create SECRET --from-login HOST -n NAMESPACE"),
			appendToSA(), "Docker Hub's HOST is `docker.io`. A mirror, or a registry of your own that holds a copy, is not counted there. "+
				"`IfNotPresent` with tags that do not move asks less often."),
		Check: pulled(),
		Similar: []Similar{
			{KubeletQPS, "It is kubelet that counts, before it asks anybody."},
			{KeyDockerhub, "Why the credential for Docker Hub was not used."},
			{CredOnPublic, "A credential was sent, and refused."},
		},
		Reads: observed(),
	}
}

func kubeletQPS() Cause {
	return Cause{
		Code: KubeletQPS, Link: ImageCache, Vantage: API, Most: Proven,
		Title: "kubelet starts no more pulls at this moment, by its own limit",
		See: []Said{{"kubelet, reason", "ErrImagePull, then ImagePullBackOff"}, {
			"kubelet",
			`Failed to pull image "<IMAGE>": pull QPS exceeded`,
		}},
		Means: "kubelet starts at most `registryPullQPS` pulls per second (5, with a burst of `registryBurst`, 10). " +
			"Many pods came to the node at once. The registry was not asked, and the next attempt mostly succeeds.",
		Proof: "The message of the container or the Event is `pull QPS exceeded`, without the beginning of a runtime's " +
			"error (images/helpers.go in kubelet 1.37).",
		Fix: text("Wait for the next attempt. If it comes often, raise the limits in the node's kubelet configuration, "+
			"and restart kubelet:",
			file("yaml", "registryPullQPS: 20", "registryBurst: 40"),
			sh("kubectl get --raw /api/v1/nodes/NODE/proxy/configz | jq '.kubeletconfig | {registryPullQPS, "+
				"registryBurst}'")),
		Check: pulled(),
		Similar: []Similar{
			{RegRateLimit, "It is the registry that counts: the text has 429."},
			{NodeTimeout, "The pull was begun, and did not get on."},
		},
		Reads: []string{"pods", "events"},
	}
}

func mirrorMasks() Cause {
	return Cause{
		Code: MirrorMasks, Link: Manifest, Vantage: Node, Most: Proven,
		Title: "The error is a mirror's and hides what the registry says",
		See: append(resolving(`unexpected status from HEAD request to `+
			`https://<MIRROR>/v2/<REPOSITORY>/manifests/<TAG>?ns=<HOST>: <STATUS>`),
			Said{"containerd, where the mirror does not have it", "<IMAGE>: not found"},
		),
		Means: "The node asks mirrors first, and then the registry. Of several errors containerd reports the one that " +
			"got furthest: a mirror's 404 or 5xx wins over the registry's refusal to authorize. So `not found` may " +
			"mean that the mirror lacks the image, and that the registry wanted a credential.",
		Proof: text("Mirror and registry are asked one by one from the node.", undecided("where the address in the "+
			"text has `?ns=`, or another host than the image.")),
		Fix: text("On the node, ask the mirror so, then the registry, and mend the one that should have it:", sh("curl -sSi https://HOST/v2/"),
			"Without the mirror, for this host:", sh("mv /etc/containerd/certs.d/HOST /etc/containerd/HOST.off")),
		Check: text("On the node, with the mirror again:", sh(reached())),
		Similar: []Similar{
			{MirrorCreds, "The mirror refuses the credential that was meant for the registry."},
			{MirrorConfig, "The file that names the mirror is wrong."},
			{TagMissing, "There is no mirror, and the tag is missing."},
		},
		Reads: observed(),
	}
}

func mirrorCreds() Cause {
	return Cause{
		Code: MirrorCreds, Link: Token, Vantage: Node, Most: Proven,
		Title: "A mirror refuses the pod's credential, which is for the registry",
		See: append(refused(),
			Said{Text: "The address in the text is the mirror's, or has `?ns=`. `crictl pull` without a credential " +
				"works on the node."},
		),
		Means: "containerd sends the credential that kubelet gives it to whatever host it asks for this image, mirrors " +
			"too. A mirror that would serve everybody refuses a user that it does not know.",
		Proof: text("The mirror answers a request without a credential, and refuses one with the pod's.", undecided("where "+
			"a credential was refused and the address in the text is not that of the image's host.")),
		Fix: text("Let the mirror take requests without looking at their credential, or log in to it with the same "+
			"user and password; or take the Secret out for images that the mirror serves. Keep in mind that whoever "+
			"runs the mirror sees the credential.", removeFromSA(), recreate()),
		Check: pulled(),
		Similar: []Similar{
			{AuthInvalid, "It is the registry itself that refuses the credential."},
			{MirrorMasks, "The mirror's error has nothing to do with credentials."},
		},
		Reads: observed(),
	}
}

func mirrorConfig() Cause {
	return Cause{
		Code: MirrorConfig, Link: Network, Vantage: Node, Most: Proven,
		Title: "The node's file for this host is wrong or not read",
		See: append(resolving(`no resolve hosts: not found`),
			Said{"containerd, where a certificate is missing", `unable to read CA cert "<FILE>"`},
			Said{Text: "A hosts.toml that cannot be parsed is logged and left out: then the error is that of the " +
				"registry itself."},
		),
		Means: "containerd looks for `certs.d/HOST/hosts.toml`, with `HOST:PORT` or `HOST_PORT_` as the folder where " +
			"there is a port. The folder has another name, the file does not parse, no host has the capability " +
			"`resolve`, or `config_path` is not set, or old settings for mirrors stand beside it.",
		Proof: text("The files are read on the node as containerd reads them.", undecided("where the text is `no "+
			"resolve hosts` or `unable to read CA cert`.")),
		Fix: text("Correct folder and file; containerd reads them anew for each pull:", hosts("https://HOST", "https://MIRROR"),
			sh("grep -n config_path /etc/containerd/config.toml", "journalctl -u containerd --since -1h | grep -i hosts")),
		Check: text("On the node, and containerd's log has no line about the file:", sh(reached())),
		Similar: []Similar{
			{MirrorMasks, "The file is right, and the mirror's answer hides the registry's."},
			{TLSHTTPToTLS, "The file names HTTP for a host with TLS."},
		},
		Reads: observed(),
	}
}
