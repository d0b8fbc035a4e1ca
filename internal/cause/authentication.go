package cause

func authentication() []Cause {
	return []Cause{
		authNoCredential(), authInvalid(), authExpired(), authAccountDisabled(), authRealmUnreachable(), authRealmBad(),
		authService(), authTokenShape(), authChallenge(),
	}
}

// fetching are the texts of a token that was asked for with a credential.
func fetching(why string) []Said {
	return resolving("failed to authorize: failed to fetch oauth token: " + why)
}

func authNoCredential() Cause {
	return Cause{
		Code: AuthNoCredential, Link: Keyring, Vantage: API, Most: Proven,
		Title: "The image is private, and kubelet had no credential for it",
		See:   nothingSent(),
		Means: "kubelet found no credential for the image, neither in a Secret nor at the node, and pulled as nobody. " +
			"It does not say so anywhere: the registry's refusal is all that is seen. This code is given only where no " +
			"cause behind it was found: no Secret for this registry is named, and none is in the namespace.",
		Proof: text("No key of any Secret that the pod names matches the image (`PullImage` in kuberuntime_image.go "+
			"and pkg/credentialprovider/keyring.go of kubelet 1.37), and none of the causes of links before accounts "+
			"for it.", "Without the right to read Secrets, `failed to fetch anonymous token` or `no basic auth "+
			"credentials` proves that no password was sent; why there was none stays open."),
		Fix: text("Make a Secret for the registry and name it:",
			sh("pullkey login HOST --keep-password", "pullkey secret create SECRET --from-login HOST -n NAMESPACE"), appendToSA(), recreate(),
			"For ACR, pullkey's controller does this in all namespaces that it watches; look how it fares:",
			sh("pullkey status")),
		Check: named(),
		Similar: []Similar{
			{SANotReferenced, "A Secret for the image is there, and nobody names it."},
			{KeyHostMismatch, "A Secret is named, and is for another host."},
			{ScopeAnonymous, "The same, at a registry that gives tokens to everybody."},
			{AuthInvalid, "A credential was sent, and refused."},
		},
		Reads: []string{"pods"},
	}
}

func authInvalid() Cause {
	return Cause{
		Code: AuthInvalid, Link: Token, Vantage: Client, Most: Proven,
		Title: "The registry refuses user and password",
		See:   refused(),
		Means: "A credential matched and was sent, and the registry does not take it: the password was changed, the " +
			"token was revoked, the user is gone, or the Secret was made with the wrong one.",
		Proof: text("The registry's token server, or the registry where it wants Basic authentication, answers 401 to "+
			"the credential that matches.", undecided("where a key matches and the text is `failed to fetch oauth "+
			"token` with 401, or a 401 of a Basic registry. Then no cause about Secrets that are not used is left.")),
		Fix:   text("Get a new password or token from the registry, and write it into the Secret.", remake(), hurry()),
		Check: asked(),
		Similar: []Similar{
			{AuthExpired, "The credential was good, for a time that is over."},
			{AuthAccountDisabled, "The password is right, and the account is switched off."},
			{SecretStrayWhitespace, "The password has a line end at its end."},
			{KeyShadowed, "Another entry that matches may be good."},
		},
		Reads: []string{"pods", "secrets", "events"},
	}
}

func authExpired() Cause {
	return Cause{
		Code: AuthExpired, Link: Token, Vantage: Client, Most: Proven,
		Title: "The credential was for a time that is over",
		See:   refused(),
		Means: "Clouds give out passwords for registries that hold for hours: ACR's temporary password for one hour, " +
			"or as long as the session for which it was asked. In a Secret that nobody renews, all is well until then, " +
			"and pods that must pull later fail.",
		Proof: text("The registry refuses the credential, and its end is known and past: from the token itself "+
			"(`exp`), from an annotation of who wrote it, or from the time of the write and the life that such "+
			"credentials have.", undecided("where a credential was refused and what it says of its own end, or the "+
			"annotation of pullkey's controller, is past, or the Secret of ECR's user AWS was last written more than 12 "+
			"hours before the attempt.")),
		Fix: text("Have it renewed: pullkey's controller does that for ACR. If it should have done so, it says what "+
			"hinders it:",
			sh("pullkey status", "pullkey verify --image IMAGE"), "For the moment, by hand.", remake(), hurry()),
		Check: text("The account is fresh, and the pod's Events end with `Pulled`:",
			sh("pullkey status", "kubectl -n NAMESPACE events --for pod/POD")),
		Similar: []Similar{
			{AuthInvalid, "The credential has no end, and is refused."},
			{PluginCacheStale, "kubelet keeps an ended one from the node's credential provider."},
			{ClockSkew, "It ended only by a clock that is wrong."},
		},
		Reads: []string{"pods", "secrets", "events"},
	}
}

func authAccountDisabled() Cause {
	return Cause{
		Code: AuthAccountDisabled, Link: Token, Vantage: Client, Most: Strong,
		Title: "The account at the registry is switched off, locked or not released",
		See: append(refused(),
			Said{"containerd, where the login succeeds", `pull access denied, repository does not exist or may require ` +
				`authorization: server message: insufficient_scope: authorization failed`},
		),
		Means: "The password is right. The account or robot is disabled, its time is over, it is locked after failed " +
			"attempts, or its token is not released for the organisation (single sign-on). Some registries refuse the " +
			"login then, others give a token that is good for nothing.",
		Proof: text("The body of the refusal says so; or the same credential gets no right on anything, the own "+
			"repositories of the account included.", undecided("where a credential was sent and the runtime's text "+
			"quotes a message of the registry about the account.")),
		Fix: text("Enable, unlock or renew the account at the registry, or release its token for the organisation. If "+
			"that makes a new password, write it into the Secret.", remake(), hurry()),
		Check: asked(),
		Similar: []Similar{
			{AuthInvalid, "The password is wrong."},
			{ScopeDenied, "The account is good, and may not pull this repository."},
		},
		Reads: []string{"pods", "secrets", "events"},
	}
}

func authRealmUnreachable() Cause {
	return Cause{
		Code: AuthRealmUnreachable, Link: Token, Vantage: Node, Most: Proven,
		Title: "The node reaches the registry and not its token server",
		See: append(fetching(`Post "https://<REALM>": dial tcp <ADDRESS>:443: i/o timeout`), resolving(`failed to `+
			`authorize: failed to fetch anonymous token: Get "https://<REALM>": dial tcp: lookup <REALM HOST> on `+
			`<RESOLVER>:53: no such host`)...),
		Means: "The registry sends whoever has no token to its token server, which has another host: `auth.docker.io` " +
			"for Docker Hub, `dockerauth.REGION.aliyuncs.com` for ACR. A firewall or an access list lets the registry " +
			"through and not that one.",
		Proof: text("From the node, the registry's host answers and the realm's host does not.", undecided("where the "+
			"text names a failed connection behind `failed to fetch oauth token` or `failed to fetch anonymous token`: "+
			"the registry had answered by then.")),
		Fix: text("Let the nodes reach the token server's host, port 443. This prints it as `realm`:",
			sh("curl -sSi https://HOST/v2/ | grep -i www-authenticate")),
		Check: fromNode("https://REALMHOST/"),
		Similar: []Similar{
			{NetTimeout, "It is the registry's own host that does not answer."},
			{AuthRealmBad, "The address of the token server is wrong."},
		},
		Reads: observed(),
	}
}

func authRealmBad() Cause {
	return Cause{
		Code: AuthRealmBad, Link: Challenge, Vantage: Client, Most: Proven,
		Title: "The registry names a token server that cannot be one",
		See: append(fetching(`Post "<REALM>": unsupported protocol scheme ""`), append(fetching(`unable to decode `+
			`token response: invalid character '<' looking for beginning of value`), resolving(`failed to authorize: `+
			`no realm specified for token auth challenge`)...)...),
		Means: "The `realm` of the registry's challenge is a path without a host, an address inside the registry's own " +
			"network, one by HTTP, or a page of HTML; or it is missing. Mostly the registry, or a proxy before it, was " +
			"not told its own outer address.",
		Proof: text("The header `WWW-Authenticate` is read: its realm is no address that can be asked, or what stands "+
			"there answers no JSON.", undecided("where the text has `unsupported protocol scheme`, `no realm "+
			"specified` or `unable to decode token response`.")),
		Fix: text("Set the registry's outer address (`externalURL` in Harbor; `auth.token.realm` in distribution), and "+
			"have proxies pass Host and X-Forwarded-Proto on:",
			sh("curl -sSi https://HOST/v2/ | grep -i www-authenticate")),
		Check: asked(),
		Similar: []Similar{
			{AuthRealmUnreachable, "The address is right, and the node does not reach it."},
			{AuthChallenge, "There is no challenge that can be used."},
			{RegNotRegistry, "It is no registry at all."},
		},
		Reads: observed(),
	}
}

func authService() Cause {
	return Cause{
		Code: AuthService, Link: Token, Vantage: Client, Most: Strong,
		Title: "The registry does not accept the tokens of its own token server",
		See: resolving(`pull access denied, repository does not exist or may require authorization: server message: ` +
			`invalid_token: authorization failed`),
		Means: "The token server gave a token, and the registry finds it invalid: they differ in `service`, in the " +
			"issuer, or in the key that signs, as after a change of keys of which only one of them was told.",
		Proof: text("The token's `aud` and `iss` are compared with the challenge, and the token is shown to the registry.", undecided("where "+
			"the text has `invalid_token`, beside PULL-CLOCK-SKEW, which is decided.")),
		Fix: text("Give registry and token server the same service, issuer and keys, and restart both. This shows what "+
			"the token says of itself:",
			sh("pullkey token IMAGE --client containerd --trace")),
		Check: asked(),
		Similar: []Similar{
			{ClockSkew, "The token is good, and a clock is wrong."},
			{ScopeDenied, "The token is valid, and grants too little."},
		},
		Reads: observed(),
	}
}

func authTokenShape() Cause {
	return Cause{
		Code: AuthTokenShape, Link: Token, Vantage: Client, Most: Proven,
		Title: "The token server does not get along with how containerd asks",
		See: append(fetching(`unexpected status from POST request to <REALM>: 403 Forbidden`), fetching(`authorization `+
			`server did not include a token in the response`)...),
		Means: text("With a password containerd asks by POST first, as OAuth 2.0 does, and by GET only if that is "+
			"answered with 400, 401, 404 or 405. A server, or a firewall before it, that answers 403, 422, 429 or 500 "+
			"ends it. So does one that answers the POST with `token` and without `access_token`.",
			"docker, crane and oras ask by GET: with them it works."),
		Proof: text("The same credential gets a token by GET and none by POST.", undecided("where the text has "+
			"`unexpected status from POST request` or `did not include a token`.")),
		Fix: text("Have the token server answer the POST, or refuse it with 405, and what stands before it let POST "+
			"through. Compare both ways:",
			sh("pullkey token IMAGE --client containerd --trace", "pullkey token IMAGE --client docker --trace")),
		Check: asked(),
		Similar: []Similar{
			{AuthInvalid, "Both ways are refused: it is the credential."},
			{AuthRealmBad, "What answers is no token server."},
			{Reg5XX, "The whole registry fails."},
		},
		Reads: observed(),
	}
}

func authChallenge() Cause {
	return Cause{
		Code: AuthChallenge, Link: Challenge, Vantage: Client, Most: Proven,
		Title: "The registry refuses without a challenge that the runtime can answer",
		See:   status("401 Unauthorized"),
		Means: "A 401 must say how to authenticate: Bearer or Basic. This one has no `WWW-Authenticate`, because a " +
			"proxy took it out, or one that no runtime knows (Negotiate).",
		Proof: text("The headers of the 401 are read, from here and from the node.", undecided("where the text is a "+
			"401 of the first request and a key with a password matches; a refused Basic credential has the same text.")),
		Fix: text("Have the proxy pass the header on, or have the registry offer Bearer or Basic:",
			sh("curl -sSi https://HOST/v2/ | grep -i www-authenticate")),
		Check: asked(),
		Similar: []Similar{
			{AuthInvalid, "There is a challenge, Basic, and the credential is refused."},
			{AuthRealmBad, "There is a challenge, and its realm is wrong."},
			{AuthNoCredential, "There is a challenge, and nothing to answer it with."},
		},
		Reads: observed(),
	}
}
