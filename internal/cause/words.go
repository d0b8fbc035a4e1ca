package cause

import "strings"

// text puts paragraphs, lists and blocks together.
func text(parts ...string) string { return strings.Join(parts, "\n\n") }

// sh is a block of commands.
func sh(lines ...string) string { return "```sh\n" + strings.Join(lines, "\n") + "\n```" }

// file is a block of a file, in the language that it is written in.
func file(language string, lines ...string) string {
	return "```" + language + "\n" + strings.Join(lines, "\n") + "\n```"
}

// resolving are the texts of both containerds where tail is what went wrong
// before the manifest was there: 2.x pulls by its transfer service, and 1.x, or
// 2.x with registry settings of old, in the former way.
func resolving(tail string) []Said {
	return []Said{
		{"containerd 2.x", `failed to pull and unpack image "<IMAGE>": failed to resolve image: ` + tail},
		{"containerd 1.x", `failed to pull and unpack image "<IMAGE>": failed to resolve reference "<IMAGE>": ` + tail},
	}
}

// nothingSent are the texts of a pull for which kubelet had no credential.
func nothingSent() []Said {
	return []Said{
		{"kubelet, reason", "ErrImagePull, then ImagePullBackOff"},
		{"containerd 2.x", `failed to pull and unpack image "<IMAGE>": failed to resolve image: failed to authorize: ` +
			`failed to fetch anonymous token: unexpected status from GET request to <REALM>: 401 Unauthorized`},
		{
			"containerd 2.x, where the registry gives tokens to everybody",
			`failed to pull and unpack image "<IMAGE>": failed to resolve image: pull access denied, repository does ` +
				`not exist or may require authorization: server message: insufficient_scope: authorization failed`,
		},
		{
			"containerd 2.x, where the registry asks for Basic authentication",
			`failed to pull and unpack image "<IMAGE>": failed to resolve image: pull access denied, repository does ` +
				`not exist or may require authorization: authorization failed: no basic auth credentials`,
		},
		{"containerd 1.x", `failed to pull and unpack image "<IMAGE>": failed to resolve reference "<IMAGE>": failed ` +
			`to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized`},
		{"CRI-O", `reading manifest <TAG> in <HOST>/<REPOSITORY>: unauthorized: <MESSAGE>`},
		{"docker", `Error response from daemon: pull access denied for <REPOSITORY>, repository does not exist or may ` +
			`require 'docker login': denied: requested access to the resource is denied`},
	}
}

// refused are the texts of a pull whose credential the registry did not take.
func refused() []Said {
	return []Said{
		{"kubelet, reason", "ErrImagePull, then ImagePullBackOff"},
		{"containerd 2.x", `failed to pull and unpack image "<IMAGE>": failed to resolve image: failed to authorize: ` +
			`failed to fetch oauth token: unexpected status from GET request to <REALM>: 401 Unauthorized`},
		{
			"containerd 2.x, where the registry asks for Basic authentication",
			`failed to pull and unpack image "<IMAGE>": failed to resolve image: unexpected status from HEAD request ` +
				`to https://<HOST>/v2/<REPOSITORY>/manifests/<TAG>: 401 Unauthorized`,
		},
		{"containerd 1.x", `failed to pull and unpack image "<IMAGE>": failed to resolve reference "<IMAGE>": failed ` +
			`to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized`},
		{"CRI-O", `unable to retrieve auth token: invalid username/password: <MESSAGE>`},
	}
}

// sent is what the text of the runtime adds to a finding about credentials.
const sent = "The runtime confirms it with `failed to fetch anonymous token` or `no basic auth credentials`: no " +
	"password reached it. With `insufficient_scope` alone the finding is strong, because a pull with a credential gets " +
	"the same text."

// undecided says of a cause that is not to be seen in objects of the API what
// explain makes of it. The sentence goes on with where the text points to it.
func undecided(where string) string {
	return "`pullkey explain` asks the registry with `--probe` alone, and the node with `--from-node`. Without, it goes by what the runtime has said: it names this " + where
}

// recreate is what to do after a change that reaches new pods alone.
func recreate() string {
	return text("A pod keeps the list that it was born with. Make it anew: restart the workload, or delete a pod that "+
		"a controller replaces.",
		sh("kubectl -n NAMESPACE rollout restart deployment/DEPLOYMENT", "# or one pod alone", "kubectl -n NAMESPACE delete pod POD"))
}

// hurry is what to do after a change that pods see by themselves.
func hurry() string {
	return text("kubelet reads the Secret again at its next attempt, after five minutes at most. A new pod does not wait:",
		sh("kubectl -n NAMESPACE delete pod POD"))
}

// appendToSA names a Secret in a ServiceAccount and loses no entry of it.
func appendToSA() string {
	return text("Set an empty list as a whole. To a list with entries append: it is atomic, and the first of these "+
		"commands would replace it.",
		sh(`# the list is empty or absent`,
			`kubectl -n NAMESPACE patch serviceaccount SERVICEACCOUNT \`,
			`  -p '{"imagePullSecrets":[{"name":"SECRET"}]}'`,
			`# the list has entries`,
			`kubectl -n NAMESPACE patch serviceaccount SERVICEACCOUNT --type=json \`,
			`  -p '[{"op":"add","path":"/imagePullSecrets/-","value":{"name":"SECRET"}}]'`),
		managed)
}

// removeFromSA takes one entry out of a ServiceAccount's list.
func removeFromSA() string {
	return text("Look up the entry's index, which begins at 0. The `test` keeps the patch from taking out another "+
		"entry if somebody has changed the list meanwhile.",
		sh(`kubectl -n NAMESPACE get serviceaccount SERVICEACCOUNT -o jsonpath='{.imagePullSecrets}'`,
			`kubectl -n NAMESPACE patch serviceaccount SERVICEACCOUNT --type=json \`,
			`  -p `+
				`'[{"op":"test","path":"/imagePullSecrets/0/name","value":"SECRET"},{"op":"remove","path":"/imagePullSecrets/0"}]'`))
}

const managed = "Where Helm, Argo CD or Flux keeps the object, make the change in its source, or it is undone."

// remake writes the document of a Secret anew, in place: its UID stays, by
// which kubelet remembers who may use an image that is there.
func remake() string {
	return text("Log in with a credential that may pull, and write the Secret's document anew. All of it is replaced: "+
		"give `--from-login` once for each registry that it is for.",
		sh(`pullkey login HOST --keep-password`,
			`pullkey secret create SECRET --from-login HOST -n NAMESPACE --dry-run -o yaml |`,
			`  kubectl apply --server-side --force-conflicts -f -`))
}

// renewal makes a Secret anew whose type is wrong, or which is immutable.
func renewal() string {
	return text("Type and immutability of a Secret cannot be changed, so delete it and make it anew under the same name:",
		sh(`kubectl -n NAMESPACE delete secret SECRET`,
			`pullkey login HOST --keep-password`,
			`pullkey secret create SECRET --from-login HOST -n NAMESPACE`))
}

// addHost gives the host of the image the login of the one that is there.
func addHost() string {
	return text("If it is the same registry under two names, give the image's host the login that the Secret has for "+
		"the other one:",
		sh(`pullkey secret add-host SECRET HOST --like OTHERHOST -n NAMESPACE`))
}

// renameKey gives an entry another key, letter by letter: add-host would take
// spellings that docker takes for one for the same.
func renameKey() string {
	return edit(`.auths["HOST"] = .auths["KEY"] | del(.auths["KEY"])`)
}

// dropKey takes one entry out.
func dropKey() string { return edit(`del(.auths["KEY"])`) }

// edit changes the document of a Secret in place. The version that was read goes
// along, so that the API server refuses it if somebody was quicker.
func edit(filter string) string {
	return sh(`kubectl -n NAMESPACE get secret SECRET -o json |`,
		`  jq '.data[".dockerconfigjson"] |= (@base64d | fromjson | `+filter+` | tojson | @base64)' |`,
		`  kubectl replace -f -`)
}

// pulled looks for the Event that ends a pull.
func pulled() string {
	return text("The pod's Events end with `Pulled`:", sh("kubectl -n NAMESPACE events --for pod/POD"))
}

// named looks for the Secret's name in a new pod.
func named() string {
	return text("The new pod names the Secret, and its Events end with `Pulled`:",
		sh(`kubectl -n NAMESPACE get pod POD -o jsonpath='{.spec.imagePullSecrets}'`,
			"kubectl -n NAMESPACE events --for pod/POD"))
}

// auth makes the value of an entry's auth; the password stands in no argument
// and in no history.
func auth() string {
	return text("By hand, `auth` is made without a line end:",
		sh(`read -rsp 'password: ' PASSWORD; printf %s "USER:$PASSWORD" | base64 -w0`))
}

// keysOf shows for which registries a Secret is, and no password.
func keysOf() string {
	return text("The Secret has a key for the host of the image, letter by letter, and the pod's Events end with "+
		"`Pulled`:",
		sh(`kubectl -n NAMESPACE get secret SECRET -o go-template='{{index .data ".dockerconfigjson"}}' |`,
			`  base64 -d | jq '.auths | keys'`, "kubectl -n NAMESPACE events --for pod/POD"))
}

// asked goes through the registry's conversation as containerd does.
func asked() string {
	return text("The same conversation as containerd's, from where you are, ends with a token that grants `pull`:",
		sh("pullkey token IMAGE --client containerd --trace"))
}

// observed are the resources in which the text of a runtime is found.
func observed() []string { return []string{"pods", "events"} }

// fromNode is a request from the node's network, by an image that is there.
func fromNode(url string) string {
	return text("On the node itself any HTTP status will do, 401 included:", sh(`curl -sS -o /dev/null -w '%{http_code}\n' `+url),
		"Without a shell there, have a pod on the node ask, and tell how far it comes:",
		sh("pullkey explain pod/POD -n NAMESPACE --from-node pullkey-system"))
}

// reached is a pull on the node that shows how far it comes: crictl has none of the logins
// that kubelet finds.
func reached() string {
	return "crictl pull IMAGE # private: \"denied\" or 401 will do, since crictl has no login"
}

// askedFor is the same pull where it must have layers.
const askedFor = "# of a private image: crictl pull -u USER IMAGE, which asks for the password"

// hosts is the file by which containerd knows a registry, and asks at another
// address for it, with more lines about that one.
func hosts(server, host string, more ...string) string {
	_, folder, _ := strings.Cut(server, "://")
	return file("toml", append([]string{
		"# /etc/containerd/certs.d/" + folder + "/hosts.toml",
		`server = "` + server + `"`, `[host."` + host + `"]`, `  capabilities = ["pull", "resolve"]`,
	}, more...)...)
}
