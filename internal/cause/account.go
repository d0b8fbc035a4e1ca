package cause

func accounts() []Cause {
	return []Cause{
		saNotReferenced(), saPodOverrides(), saEmptyName(), saPodPredates(), saCustom(), saReverted(), saMissing(), saEnforced(),
		webhookStripped(),
	}
}

func saNotReferenced() Cause {
	return Cause{
		Code: SANotReferenced, Link: ServiceAccount, Vantage: API, Most: Proven,
		Title: "A Secret for this image is in the namespace, and nobody names it",
		See:   nothingSent(),
		Means: "kubelet looks at the Secrets that the pod names, and at no others. Neither this pod nor its " +
			"ServiceAccount names one, so the image was pulled without a credential, while a Secret whose key is for " +
			"it lies beside.",
		Proof: text("`imagePullSecrets` is empty in the pod and in its ServiceAccount, and at least one Secret of the "+
			"namespace has a type that kubelet reads and a key that matches the image (`getPullSecretsForPod` in "+
			"kubelet_pods.go and pkg/credentialprovider/keyring.go in 1.37). Whether the registry takes what is in "+
			"that Secret is not asked.", sent),
		Fix:   text("Name the Secret in the ServiceAccount of the pod.", appendToSA(), recreate()),
		Check: named(),
		Similar: []Similar{
			{SAPodPredates, "The ServiceAccount names the Secret now, and did not when the pod was made."},
			{SACustom, "Another ServiceAccount of the namespace names it."},
			{SAPodOverrides, "The pod has a list of its own, so the ServiceAccount's does not count."},
			{SecretOtherNamespace, "The Secret is in another namespace."},
		},
		Reads: []string{"pods", "serviceaccounts", "secrets"},
	}
}

func saPodOverrides() Cause {
	return Cause{
		Code: SAPodOverrides, Link: PodSecrets, Vantage: API, Most: Proven,
		Title: "The pod has a list of Secrets of its own, so its ServiceAccount's does not count",
		See:   nothingSent(),
		Means: "The ServiceAccount's `imagePullSecrets` are copied into a pod only if the pod brings none. The two " +
			"lists are never put together. This pod brings a list, no Secret in it is for the image, and the " +
			"ServiceAccount names one that is.",
		Proof: text("The pod's list is not empty and no key of its Secrets matches the image; a key of a Secret in the "+
			"ServiceAccount's list does (admission plugin ServiceAccount in 1.37, "+
			"plugin/pkg/admission/serviceaccount/admission.go: the test is the length of the pod's list).", sent),
		Fix: text("Name both Secrets in the template of the pod, or take its list out, so that the ServiceAccount's is "+
			"used:",
			sh(`kubectl -n NAMESPACE patch deployment DEPLOYMENT \`,
				`  -p '{"spec":{"template":{"spec":{"imagePullSecrets":[{"name":"SECRET"}]}}}}'`),
			"In a template this list is merged by name: the patch adds SECRET and keeps the others. A changed template "+
				"makes new pods by itself.", managed),
		Check: named(),
		Similar: []Similar{
			{SAEmptyName, "The pod's own list holds nothing but an empty name."},
			{WebhookStripped, "The list is not the template's: admission put it there."},
			{SAPodPredates, "The pod's list is the ServiceAccount's of an earlier time."},
		},
		Reads: []string{"pods", "serviceaccounts", "secrets"},
	}
}

func saEmptyName() Cause {
	return Cause{
		Code: SAEmptyName, Link: PodSecrets, Vantage: API, Most: Proven,
		Title: "An entry without a name in the pod keeps the ServiceAccount's Secrets out",
		See: append(nothingSent(),
			Said{"API server, warning when the pod is made", `spec.imagePullSecrets[0].name: invalid empty name ""`},
		),
		Means: "The pod has `imagePullSecrets: [{name: \"\"}]`, mostly because a chart wrote a value that was not set. " +
			"Such an entry names nothing, and makes the list longer than zero: the ServiceAccount's list is not " +
			"copied. kubelet passes over the entry without a word.",
		Proof: text("The pod's list has an entry whose name is empty and none whose name is not, and the "+
			"ServiceAccount names at least one Secret (admission plugin ServiceAccount in 1.37 tests the length alone; "+
			"`getPullSecretsForPod` in kubelet_pods.go skips empty names).", sent),
		Fix: text("Leave the entry out where the value is empty. In a chart:",
			file("yaml", "{{- with .Values.imagePullSecrets }}", "imagePullSecrets:", "  {{- toYaml . | nindent 2 }}", "{{- end }}"),
			"Or in the workload as it stands:",
			sh(`kubectl -n NAMESPACE patch deployment DEPLOYMENT --type=json \`,
				`  -p `+
					`'[{"op":"test","path":"/spec/template/spec/imagePullSecrets/0","value":{}},{"op":"remove","path":"/spec/template/spec/imagePullSecrets/0"}]'`), managed),
		Check: named(),
		Similar: []Similar{
			{SAPodOverrides, "The pod's own list names a Secret, which is not for this image."},
			{SANotReferenced, "Neither list has an entry."},
		},
		Reads: []string{"pods", "serviceaccounts"},
	}
}

func saPodPredates() Cause {
	return Cause{
		Code: SAPodPredates, Link: PodSecrets, Vantage: API, Most: Proven,
		Title: "The pod is older than the entry in its ServiceAccount",
		See:   nothingSent(),
		Means: "A pod copies the ServiceAccount's list once, when it is made. The entry that it would need was written " +
			"afterwards. All is well for new pods; this one will never see it, however often it tries.",
		Proof: text("The ServiceAccount names a Secret that the pod does not, and its `managedFields` date the last "+
			"write of `imagePullSecrets` after the pod's `creationTimestamp` (admission plugin ServiceAccount in 1.37 "+
			"copies on creation alone). Without that date the finding is strong: the API server keeps no `managedFields` of "+
			"a ServiceAccount that was made without any field, as `default` is, until it is applied by the server. Then "+
			"its `resourceVersion` beside that of the pod in the Event `Scheduled` tells whether it was written since.", sent),
		Fix:   recreate(),
		Check: named(),
		Similar: []Similar{
			{SANotReferenced, "The ServiceAccount does not name the Secret even now."},
			{SAPodOverrides, "The pod brought a list of its own, so that a new one would not get the entry either."},
			{SAReverted, "The entry comes and goes: somebody takes it out again."},
			{SecretRace, "The name was in the pod, and the Secret came later."},
		},
		Reads: []string{"pods", "serviceaccounts"},
	}
}

func saCustom() Cause {
	return Cause{
		Code: SACustom, Link: ServiceAccount, Vantage: API, Most: Strong,
		Title: "The pod runs under another ServiceAccount than the one that names the Secret",
		See:   nothingSent(),
		Means: "The ServiceAccount `default` of the namespace names a pull Secret. This pod runs under one of its own, " +
			"whose list is empty: a chart or an operator made it. Lists of ServiceAccounts are not inherited.",
		Proof: text("The pod's `serviceAccountName` is not `default`, its list and that of its ServiceAccount are "+
			"empty, and `default` names a Secret (admission plugin ServiceAccount in 1.37 reads the pod's own "+
			"ServiceAccount alone). Whether that Secret is for this image is looked at where Secrets may be read.", sent),
		Fix:   text("Name the Secret in the ServiceAccount that the pod uses.", appendToSA(), recreate()),
		Check: named(),
		Similar: []Similar{
			{SANotReferenced, "No ServiceAccount that counts here names the Secret."},
			{SAReverted, "The pod's ServiceAccount had the entry, and its owner took it out."},
		},
		Reads: []string{"pods", "serviceaccounts"},
	}
}

func saReverted() Cause {
	return Cause{
		Code: SAReverted, Link: ServiceAccount, Vantage: API, Most: Strong,
		Title: "Somebody keeps taking the entry out of the ServiceAccount",
		See: append(nothingSent(),
			Said{Text: "It comes and goes: pods that are made while the entry is there pull, and the others do not."},
		),
		Means: "The ServiceAccount belongs to a tool (Helm, Argo CD, Flux, OLM, an operator) whose source has no such " +
			"entry. Each time the tool applies its source, the list is what it says: the list is atomic, so whoever " +
			"writes it owns all of it.",
		Proof: text("Pods of the ServiceAccount differ: some have copied the entry, and younger ones have not. Or its " +
			"`managedFields` name a manager that wrote `imagePullSecrets`, or applied the object, after the one that " +
			"put the entry there. Labels and annotations of Helm, Argo CD, Flux or OLM and the owner references name " +
			"who it is. One look shows the last write only: strong, not proven."),
		Fix: text("Name the Secret in the source of the ServiceAccount. Or have the tool leave the field alone; for "+
			"Argo CD:",
			file("yaml", "ignoreDifferences:", "- kind: ServiceAccount", "  jqPathExpressions: [.imagePullSecrets]", "syncPolicy:",
				"  syncOptions: [RespectIgnoreDifferences=true]"),
			"Or name it in pods instead of ServiceAccounts: in the template, or by pullkey's injection.", recreate()),
		Check: text("The entry is there still after the tool has run again; this prints who wrote the list, and when:",
			sh("kubectl -n NAMESPACE get serviceaccount SERVICEACCOUNT -o yaml --show-managed-fields")),
		Similar: []Similar{
			{SAPodPredates, "The entry is there to stay, and the pod is older."},
			{WebhookStripped, "The ServiceAccount has the entry, and the pod loses it at its birth."},
		},
		Reads: []string{"pods", "serviceaccounts"},
	}
}

func saMissing() Cause {
	return Cause{
		Code: SAMissing, Link: ServiceAccount, Vantage: API, Most: Proven,
		Title: "The ServiceAccount does not exist, so the pod is not made",
		See: []Said{
			{
				"ReplicaSet, Job or StatefulSet, Event FailedCreate",
				`Error creating: pods "<POD>" is forbidden: error looking up service account ` +
					`<NAMESPACE>/<SERVICEACCOUNT>: serviceaccount "<SERVICEACCOUNT>" not found`,
			},
		},
		Means: "The workload names a ServiceAccount that is not in its namespace. The API server refuses its pods, so " +
			"there is no pod to look at, and nothing is pulled.",
		Proof: "The owner of the pods has this Event, or wants more pods than it has and its template's " +
			"`serviceAccountName` is not among the ServiceAccounts of the namespace (admission plugin ServiceAccount " +
			"in 1.37, plugin/pkg/admission/serviceaccount/admission.go).",
		Fix: text("Make the ServiceAccount, or name one that exists:",
			sh("kubectl -n NAMESPACE create serviceaccount SERVICEACCOUNT", "# or",
				"kubectl -n NAMESPACE set serviceaccount deployment/DEPLOYMENT SERVICEACCOUNT"),
			"The controller tries again by itself, with growing waits; a restart does not wait:",
			sh("kubectl -n NAMESPACE rollout restart deployment/DEPLOYMENT"), "A new ServiceAccount has no pull "+
				"Secrets: name them, if its images are private."),
		Check: text("The workload has its pods:", sh("kubectl -n NAMESPACE get deployment/DEPLOYMENT")),
		Similar: []Similar{
			{SAEnforced, "The ServiceAccount exists and does not let its pods name that Secret."},
			{AdmissionPolicy, "Another admission refuses the pod."},
		},
		Reads: []string{"replicasets", "serviceaccounts", "events"},
	}
}

func saEnforced() Cause {
	return Cause{
		Code: SAEnforced, Link: ServiceAccount, Vantage: API, Most: Proven,
		Title: "The ServiceAccount lets its pods name only Secrets that it names itself",
		See: []Said{
			{
				"ReplicaSet, Job or StatefulSet, Event FailedCreate",
				`Error creating: pods "<POD>" is forbidden: imagePullSecrets[<INDEX>].name="<SECRET>" is not allowed ` +
					`because service account <SERVICEACCOUNT> does not reference that imagePullSecret`,
			},
		},
		Means: "The ServiceAccount has the annotation `kubernetes.io/enforce-mountable-secrets: \"true\"`. A pod under " +
			"it may name a pull Secret only if the ServiceAccount names it too. This one is named by the pod's " +
			"template, or by an injection into pods, and not by the ServiceAccount: the pod is refused.",
		Proof: "The ServiceAccount has the annotation, and the template, or the Event, names a Secret that is not in " +
			"its `imagePullSecrets` (admission plugin ServiceAccount in 1.37, " +
			"plugin/pkg/admission/serviceaccount/admission.go).",
		Fix: text("Name the Secret in the ServiceAccount.", appendToSA(), "The controller of the pods tries again by "+
			"itself. The annotation is deprecated; where nothing needs it, it can go:",
			sh("kubectl -n NAMESPACE annotate serviceaccount SERVICEACCOUNT kubernetes.io/enforce-mountable-secrets-")),
		Check: text("The workload has its pods:", sh("kubectl -n NAMESPACE get deployment/DEPLOYMENT")),
		Similar: []Similar{
			{SAMissing, "The ServiceAccount does not exist."},
			{AdmissionPolicy, "Another admission refuses the pod."},
		},
		Reads: []string{"replicasets", "serviceaccounts", "events"},
	}
}

func webhookStripped() Cause {
	return Cause{
		Code: WebhookStripped, Link: PodSecrets, Vantage: API, Most: Strong,
		Title: "Admission replaced the pod's list of Secrets",
		See:   nothingSent(),
		Means: "The pod's list is neither that of its template nor that of its ServiceAccount. The ServiceAccount's " +
			"list is copied before webhooks and mutating policies run, so one of them that sets the list, instead of " +
			"appending to it, wipes what was there.",
		Proof: text("The pod's `imagePullSecrets` lack a name that the template has or, where the template has none, "+
			"that the ServiceAccount has had since before the pod was made (`AllOrderedPlugins` in 1.37, "+
			"pkg/kubeapiserver/options/plugins.go: ServiceAccount comes first). Which webhook it was does not show in "+
			"the pod: strong, not proven.", sent),
		Fix: text("Find who changes pods at their birth,",
			sh("kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies",
				"kubectl -n NAMESPACE create -f POD.yaml --dry-run=server -o jsonpath='{.spec.imagePullSecrets}'"),
			"and have it append: in a JSON Patch the path is `/spec/imagePullSecrets/-`, without the dash the whole "+
				"list is replaced, and where there is no list it must be added first. In a strategic merge or an apply "+
				"configuration the list is merged by name.", recreate()),
		Check: named(),
		Similar: []Similar{
			{SAPodOverrides, "The list is the one that the template brings."},
			{SAReverted, "It is the ServiceAccount that loses the entry."},
			{PodSidecar, "Admission added a container, and left the list."},
		},
		Reads: []string{"pods", "serviceaccounts", "replicasets"},
	}
}
