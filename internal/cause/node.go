package cause

func nodes() []Cause {
	return []Cause{
		pluginNotMatched(), pluginFailed(), pluginTimeout(), pluginSAToken(), pluginCacheStale(), nodeConfig(), sandboxImage(),
	}
}

// unseen is where all causes of the node's own credentials look alike.
const unseen = "where no Secret's key matches the image and the runtime was given no password: kubelet may have asked " +
	"the node's credential provider in vain, and says so in its log alone."

func pluginNotMatched() Cause {
	return Cause{
		Code: PluginNotMatched, Link: NodeCredentials, Vantage: Node, Most: Proven,
		Title: "The node's credential provider is not configured for the image's host",
		See:   nothingSent(),
		Means: "kubelet calls a credential provider only for images that one of its `matchImages` covers. The rules " +
			"are those for keys in Secrets: `*` stands for text inside one label, a port must be the same on both " +
			"sides, and a host is not its subdomains.",
		Proof: text("The file of `--image-credential-provider-config` is read on the node, and no `matchImages` "+
			"matches the image by `URLsMatch` of kubelet 1.37 (plugin/plugin.go).", undecided(unseen)),
		Fix: text("Add the host to `matchImages`, one `*` for each label that varies, and restart kubelet:",
			file("yaml", "matchImages:", "- HOST", `- "*.REGION.cr.aliyuncs.com"`),
			sh("systemctl restart kubelet")),
		Check: text("kubelet calls the plugin for the image: the duration has a count for it.",
			sh("kubectl get --raw /api/v1/nodes/NODE/proxy/metrics | grep kubelet_credential_provider_plugin_duration")),
		Similar: []Similar{
			{PluginFailed, "The plugin is called, and fails."},
			{KeyGlob, "The pattern stands in a Secret."},
			{NodeConfig, "The credential should have come from the node's config.json."},
		},
		Reads: observed(),
	}
}

func pluginFailed() Cause {
	return Cause{
		Code: PluginFailed, Link: NodeCredentials, Vantage: Node, Most: Proven,
		Title: "The node's credential provider failed, so kubelet pulled without a credential",
		See:   append(nothingSent(), Said{"kubelet, log", "Failed to provide credentials for image"}),
		Means: "kubelet called the plugin, and it ended with an error, answered in another `apiVersion` than the " +
			"configured one, or gave an answer that cannot be read. kubelet logs that and goes on as if there were no " +
			"credential. Mostly the cloud did not let the node's role fetch one.",
		Proof: text("The metric `kubelet_credential_provider_plugin_errors_total` of the node rises with each attempt, "+
			"and its log has the line (plugin/plugin.go in kubelet 1.37). Neither tells for which image.",
			undecided("where the runtime was given no password, and kubelet's metrics, which the API server passes on to "+
				"whoever has the right to `nodes/proxy`, tell of a plugin that failed.")),
		Fix: text("The log of kubelet has what the plugin wrote to standard error; mend that, mostly the role of the "+
			"node:",
			sh("journalctl -u kubelet --since -1h | grep -A3 'Failed to provide credentials'")),
		Check: text("The counter stands still at the next attempt:",
			sh("kubectl get --raw /api/v1/nodes/NODE/proxy/metrics | grep kubelet_credential_provider_plugin_errors_total")),
		Similar: []Similar{
			{PluginTimeout, "The plugin did not answer within a minute."},
			{PluginNotMatched, "The plugin was not called."},
			{PluginSAToken, "The plugin needs a ServiceAccount's token or annotation."},
		},
		Reads: observed(),
	}
}

func pluginTimeout() Cause {
	return Cause{
		Code: PluginTimeout, Link: NodeCredentials, Vantage: Node, Most: Proven,
		Title: "The node's credential provider did not answer within a minute",
		See: append(nothingSent(),
			Said{"kubelet, log", "Failed to provide credentials for image … context deadline exceeded"},
		),
		Means: "kubelet gives a plugin one minute and then pulls without a credential. Mostly the plugin waits for the " +
			"cloud's metadata service or token service, which cannot be reached from where it runs.",
		Proof: text("The histogram `kubelet_credential_provider_plugin_duration` has calls above its last bound of ten seconds, and their sum by their number comes near 60; and "+
			"the log names the deadline (plugin/plugin.go in kubelet 1.37).", undecided(unseen+" A minute between the "+
			"Events `Pulling` and `Failed` points to it.")),
		Fix: text("Let the node reach the metadata service and the cloud's token service (routes, firewall, hop "+
			"limit), and try from the node:",
			sh("curl -sS -m 5 -o /dev/null -w '%{http_code}\\n' http://100.100.100.200/latest/meta-data/")),
		Check: text("`Failed` or `Pulled` follows `Pulling` within seconds:",
			sh("kubectl -n NAMESPACE events --for pod/POD")),
		Similar: []Similar{
			{PluginFailed, "The plugin answered, with an error."},
			{NetTimeout, "It is the registry that does not answer."},
		},
		Reads: observed(),
	}
}

func pluginSAToken() Cause {
	return Cause{
		Code: PluginSAToken, Link: NodeCredentials, Vantage: API, Most: Possible,
		Title: "The credential provider wants an annotation or a token that the ServiceAccount lacks",
		See:   nothingSent(),
		Means: "A credential provider may ask for the pod's identity instead of the node's (`tokenAttributes` in its " +
			"configuration; on by default from Kubernetes 1.34). If the ServiceAccount lacks an annotation that is " +
			"required there, kubelet does not call the plugin and says so in no log of ordinary detail. An audience " +
			"that the API server does not allow ends the same way.",
		Proof: text("No Secret's key matches the image, the node's kubelet is of minor 34 or later, and the pod's "+
			"ServiceAccount has no annotations. Whether the provider requires any, and which, stands in a file of the "+
			"node (plugin/plugin.go in kubelet 1.37), which is not read: possible.", sent),
		Fix: text("Give the ServiceAccount the annotations that the provider's documentation requires, and make the "+
			"pods anew:",
			sh("kubectl -n NAMESPACE annotate serviceaccount SERVICEACCOUNT KEY=VALUE"), recreate(),
			"If the audience is refused, kubelet's log says so; the node must be allowed to ask for it "+
				"(`request-serviceaccounts-token-audience`)."),
		Check: pulled(),
		Similar: []Similar{
			{PluginFailed, "The plugin is called, and fails."},
			{PluginNotMatched, "The plugin is not for this host."},
			{SANotReferenced, "The image needs a Secret, and nobody names it."},
		},
		Reads: []string{"pods", "serviceaccounts", "secrets", "nodes"},
	}
}

func pluginCacheStale() Cause {
	return Cause{
		Code: PluginCacheStale, Link: NodeCredentials, Vantage: Node, Most: Strong,
		Title: "kubelet keeps the provider's credential longer than it lives",
		See:   refused(),
		Means: "kubelet keeps what a plugin gave for as long as the plugin's answer says (`cacheDuration`), or else " +
			"its configuration (`defaultCacheDuration`). If the credential ends before, all pulls of the node fail " +
			"until the time is over; a restart of kubelet seems to mend it.",
		Proof: text("The configured or answered duration is longer than the credential's life, and pulls fail after "+
			"that life and not before.", undecided("where the runtime sent a credential that was refused, and no "+
			"Secret's key matches the image: then it came from the node.")),
		Fix: text("Set `defaultCacheDuration` well below the credential's life, or have the plugin answer so, and "+
			"restart kubelet:",
			sh("systemctl restart kubelet")),
		Check: text("Pulls of this node succeed still when the credential's life is over:",
			sh("kubectl -n NAMESPACE events --for pod/POD")),
		Similar: []Similar{
			{AuthExpired, "The credential is in a Secret."},
			{PluginFailed, "The plugin gives none at all."},
		},
		Reads: []string{"pods", "secrets", "events"},
	}
}

func nodeConfig() Cause {
	return Cause{
		Code: NodeConfig, Link: NodeCredentials, Vantage: Node, Most: Proven,
		Title: "This node lacks a credential that other nodes have",
		See:   append(nothingSent(), Said{Text: "The same image pulls on other nodes."}),
		Means: "kubelet reads a config.json of the node: in its root directory (`/var/lib/kubelet`), its working " +
			"directory, `$HOME/.docker` and `/.docker`, the first that can be read. Here it is absent, cannot be read, " +
			"or has no entry for the host. `docker login` on the node writes another file, for another user.",
		Proof: text("The file is read on the node, and its keys are compared with the image as those of a Secret "+
			"(config.go in pkg/credentialprovider of kubelet 1.37).", undecided("where no Secret's key matches the "+
			"image and pods with the same image and the same Secrets run on other nodes.")),
		Fix: text("Name a Secret: that works on every node.", appendToSA(), "Or see that each node's image or "+
			"bootstrap writes the file; kubelet reads it anew within five minutes:",
			sh("jq '.auths | keys' /var/lib/kubelet/config.json")),
		Check: pulled(),
		Similar: []Similar{
			{SANotReferenced, "It fails on every node."},
			{SecretImmutableStale, "It depends on the node, and the Secret is the reason."},
			{CacheVerify, "The other nodes have the image already."},
		},
		Reads: []string{"pods", "secrets", "nodes"},
	}
}

func sandboxImage() Cause {
	return Cause{
		Code: SandboxImage, Link: Sandbox, Vantage: API, Most: Proven,
		Title: "The node's pause image cannot be pulled, so no pod starts there",
		See: []Said{
			{"kubelet, Event FailedCreatePodSandBox", `Failed to create pod sandbox: rpc error: code = <CODE> desc = ` +
				`failed to start sandbox "<ID>": failed to get sandbox image "<IMAGE>": failed to pull image ` +
				`"<IMAGE>": <ERROR>`},
			{
				"kubelet, Event FailedCreatePodSandBox, containerd 1.x",
				`Failed to create pod sandbox: rpc error: code = <CODE> desc = failed to get sandbox image "<IMAGE>": ` +
					`failed to pull image "<IMAGE>": <ERROR>`,
			},
			{Text: "The containers stay in ContainerCreating; there is no Event `Pulling`."},
		},
		Means: "Before the first container the runtime starts a pause container, and pulls its image by itself. The " +
			"pod's Secrets are not for it. Its registry cannot be reached from the node, or asks for a credential that " +
			"the runtime does not have.",
		Proof: "The pod has an Event `FailedCreatePodSandBox` with `failed to get sandbox image`, and none of its " +
			"images was tried (containerd, CRI). The error behind it is that of any pull, and is read as one.",
		Fix: text("Name an image in the runtime's configuration that the node can pull, or load it on the node. "+
			"containerd 2.x, `/etc/containerd/config.toml`:",
			file("toml", "[plugins.'io.containerd.cri.v1.images'.pinned_images]", "  sandbox = 'HOST/REPOSITORY:TAG'"), "containerd 1.x:",
			file("toml", `[plugins."io.containerd.grpc.v1.cri"]`, `  sandbox_image = "HOST/REPOSITORY:TAG"`),
			sh("systemctl restart containerd", "crictl pull HOST/REPOSITORY:TAG")),
		Check: text("The pod leaves ContainerCreating, and its Events have `Pulling` or `Started`:",
			sh("kubectl -n NAMESPACE events --for pod/POD")),
		Similar: []Similar{
			{PodStatic, "The image is the pod's own, and the pod is static."},
			{NetTimeout, "The image is the pod's own, and the registry does not answer."},
		},
		Reads: []string{"pods", "events"},
	}
}
