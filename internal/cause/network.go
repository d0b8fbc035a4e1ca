package cause

func networks() []Cause {
	return []Cause{
		netDNS(), netRefused(), netTimeout(), netProxy(), netReset(), tlsUnknownCA(), tlsName(), tlsExpired(), tlsPlainHTTP(),
		tlsHTTPToTLS(), tlsClientCert(), clockSkew(),
	}
}

// head are the texts of a first request that got no answer.
func head(why string) []Said {
	return resolving(`failed to do request: Head "https://<HOST>/v2/<REPOSITORY>/manifests/<TAG>": ` + why)
}

// certificates is where containerd and CRI-O have what to trust for one host.
func certificates() string {
	return text("Have each node trust who signed it; containerd by this:", hosts("https://HOST", "https://HOST",
		`  ca = "/etc/containerd/certs.d/HOST/ca.crt"`),
		"containerd reads it for each pull, if `config_path` of its registry settings is `/etc/containerd/certs.d`. "+
			"CRI-O and docker read `/etc/containers/certs.d/HOST/ca.crt` and `/etc/docker/certs.d/HOST/ca.crt`.")
}

func netDNS() Cause {
	return Cause{
		Code: NetDNS, Link: Network, Vantage: Node, Most: Proven,
		Title: "The node cannot resolve the registry's name",
		See: append(head(`dial tcp: lookup <HOST> on <RESOLVER>:53: no such host`),
			Said{"containerd, where the resolver fails", `dial tcp: lookup <HOST> on <RESOLVER>:53: server misbehaving`},
		),
		Means: "The node's own resolver, not the cluster's DNS, does not know the host, or cannot be asked. Mostly the " +
			"name is one of a private zone that is not linked to the node's network, or is spelled wrongly.",
		Proof: text("The name is resolved on the node and elsewhere, and the answers differ.", undecided("where the "+
			"runtime's text is `no such host` or `server misbehaving`; the resolver that was asked stands in it.")),
		Fix: text("Link the private zone to the node's network, mend the node's resolver, or write the name that it "+
			"knows:",
			sh("getent hosts HOST", "resolvectl query HOST")),
		Check: fromNode("https://HOST/v2/"),
		Similar: []Similar{
			{RefWrongHost, "Another name of the registry would be known to the node."},
			{AuthRealmUnreachable, "The name is that of the token server."},
			{BlobStorageUnreachable, "The name is that of the storage behind the registry."},
		},
		Reads: observed(),
	}
}

func netRefused() Cause {
	return Cause{
		Code: NetRefused, Link: Network, Vantage: Node, Most: Proven,
		Title: "Nobody listens at the registry's address and port",
		See: append(head(`dial tcp <ADDRESS>:<PORT>: connect: connection refused`),
			Said{"kubelet, reason, with CRI-O", "RegistryUnavailable"},
		),
		Means: "The address answers, and refuses the connection: the registry is stopped, listens at another port, or " +
			"a load balancer has no server behind it.",
		Proof: text("A connection from the node to host and port is refused.", undecided("where the text is "+
			"`connection refused` or the reason is RegistryUnavailable.")),
		Fix: text("Start the registry, or write the port at which it listens into the image. In a cluster, see that "+
			"its Service has addresses:",
			sh("kubectl -n NAMESPACE get endpointslices -l kubernetes.io/service-name=SERVICE")),
		Check: fromNode("https://HOST/v2/"),
		Similar: []Similar{
			{NetTimeout, "Nothing answers at all."},
			{NetProxy, "It is the proxy that refuses."},
			{Reg5XX, "The registry's front answers, and what is behind it does not."},
		},
		Reads: observed(),
	}
}

func netTimeout() Cause {
	return Cause{
		Code: NetTimeout, Link: Network, Vantage: Node, Most: Proven,
		Title: "Packets from the node to the registry are not answered",
		See: append(head(`dial tcp <ADDRESS>:443: i/o timeout`),
			Said{"docker", `net/http: request canceled while waiting for connection (Client.Timeout exceeded while ` +
				`awaiting headers)`},
		),
		Means: "A security group, a firewall, a missing route or NAT gateway, or an access list that drops instead of " +
			"refusing. A private node without a way out reaches no public registry.",
		Proof: text("A connection from the node runs into its timeout, and one from elsewhere does not.", undecided("where "+
			"the text is `i/o timeout` at the registry's address.")),
		Fix: text("Open the way from the node's network to the registry's host and port 443, or name an endpoint " +
			"inside the network: at ACR the `-vpc` host of the instance, which must be linked to the VPC."),
		Check: fromNode("https://HOST/v2/"),
		Similar: []Similar{
			{RefWrongHost, "Another endpoint of the registry can be reached."},
			{RegIPACL, "The registry leaves this network out."},
			{NetReset, "The connection is made, and cut."},
		},
		Reads: observed(),
	}
}

// serviceHas shows what the runtime's service has set, less who logs in to a proxy.
const serviceHas = "systemctl show containerd --property=Environment | sed 's,//[^ ]*@,//,g'"

func netProxy() Cause {
	return Cause{
		Code: NetProxy, Link: Network, Vantage: Node, Most: Proven,
		Title: "The runtime's HTTP proxy stands in the way",
		See: append(head(`proxyconnect tcp: <ERROR>`),
			Said{"containerd, where the proxy wants a login", "Proxy Authentication Required"},
			Said{
				"containerd, where the proxy gets nowhere",
				`failed to do request: Head "https://<HOST>/v2/<REPOSITORY>/manifests/<TAG>": Service Unavailable`,
			},
		),
		Means: "The runtime's service has `HTTPS_PROXY` set, and the proxy cannot be reached, wants a login, or " +
			"refuses the host; or the registry is inside and `NO_PROXY` does not have it. What your shell has set does " +
			"not count for the service.",
		Proof: text("The runtime's words tell of its proxy. With `--from-node` pullkey shows besides which variables of a proxy the "+
			"drop-ins of the node's services set; it goes through no proxy there, since it reads no password of one.", undecided("where the text has `proxyconnect`, or ends in the words of a status "+
			"without its number: `Proxy Authentication Required`, `Forbidden`, `Bad Gateway`, `Service Unavailable`, `Gateway Timeout`.")),
		Fix: text("On the node, set what containerd's service needs in a drop-in, which root alone may read if it holds a password, "+
			"and restart the service:",
			sh("mkdir -p /etc/systemd/system/containerd.service.d",
				"touch /etc/systemd/system/containerd.service.d/proxy.conf",
				"chmod 600 /etc/systemd/system/containerd.service.d/proxy.conf"),
			file("ini", "# /etc/systemd/system/containerd.service.d/proxy.conf", "[Service]",
				"Environment=HTTPS_PROXY=http://PROXY:PORT", "Environment=NO_PROXY=HOST,10.0.0.0/8,.svc,.cluster.local"),
			sh("systemctl daemon-reload", "systemctl restart containerd"),
			"A proxy that wants a login takes `HTTPS_PROXY=http://USER:PASSWORD@PROXY:PORT`; signs as `@` and `/` in the password are "+
				"written as `%40` and `%2F`, and systemd wants each `%` twice: `%%40`. `systemctl show` tells `Environment` to "+
				"everybody on the node; a file that `EnvironmentFile=` names it does not tell, and there `%` stands once.",
			"docker's and CRI-O's services take the same in `docker.service.d` and `crio.service.d`."),
		Check: text("The service has it, and the runtime pulls:",
			sh(serviceHas, reached())),
		Similar: []Similar{
			{Reg5XX, "The registry itself answers 502: the number is there."},
			{TLSUnknownCA, "The proxy opens TLS and shows a certificate of its own."},
		},
		Reads: observed(),
	}
}

func netReset() Cause {
	return Cause{
		Code: NetReset, Link: Network, Vantage: Node, Most: Strong,
		Title: "The connection to the registry is cut in the middle",
		See: append(head(`EOF`),
			Said{"containerd", "read: connection reset by peer"},
			Said{"containerd", "net/http: TLS handshake timeout"},
		),
		Means: "The connection is made and ends before an answer: a filter that looks at the name in the TLS " +
			"handshake, a load balancer that gives up, or packets that are too large for the way (MTU) and vanish, so " +
			"that small requests work and large ones do not.",
		Proof: text("The request from the node ends like this each time, and from elsewhere it does not.", undecided("where "+
			"the text is `EOF`, `connection reset by peer` or `TLS handshake timeout`.")),
		Fix: text("Find where it ends. Large packets, from the node:",
			sh("ping -M do -s 1472 HOST", "openssl s_client -connect HOST:443 -servername HOST </dev/null"),
			"Lower the MTU, or have the filter let the host through."),
		Check: fromNode("https://HOST/v2/"),
		Similar: []Similar{
			{NetTimeout, "No connection is made at all."},
			{TLSClientCert, "The server cuts it because it wants a certificate."},
			{BlobTruncated, "It is cut in the middle of a layer."},
		},
		Reads: observed(),
	}
}

func tlsUnknownCA() Cause {
	return Cause{
		Code: TLSUnknownCA, Link: TLS, Vantage: Node, Most: Proven,
		Title: "The node does not trust who signed the registry's certificate",
		See:   head(`tls: failed to verify certificate: x509: certificate signed by unknown authority`),
		Means: "The registry has a certificate of a private authority, or sends no intermediate certificate, or a " +
			"proxy opens TLS. Your machine may trust it; the runtime of the node does not.",
		Proof: text("The chain that the registry shows to the node ends at no authority that the node trusts.", undecided("where "+
			"the text says `certificate signed by unknown authority`.")),
		Fix: text(certificates()),
		Check: text("On the node, with the authority's certificate:",
			sh("curl -sS -o /dev/null -w '%{http_code}\\n' --cacert ca.crt https://HOST/v2/", reached())),
		Similar: []Similar{
			{TLSName, "The authority is trusted, and the name in the certificate is another one."},
			{TLSExpired, "The certificate has ended."},
			{NetProxy, "The certificate is that of a proxy."},
		},
		Reads: observed(),
	}
}

func tlsName() Cause {
	return Cause{
		Code: TLSName, Link: TLS, Vantage: Node, Most: Proven,
		Title: "The registry's certificate is for another name",
		See: append(head(`tls: failed to verify certificate: x509: certificate is valid for <NAMES>, not <HOST>`),
			Said{"containerd, of an address", `x509: cannot validate certificate for <ADDRESS> because it doesn't ` +
				`contain any IP SANs`},
		),
		Means: "The host in the image is none of the names in the certificate: an address instead of a name, an alias, " +
			"or another server that answers in the registry's place.",
		Proof: text("The names of the certificate, read from the node, do not cover the host.", undecided("where the "+
			"text says `certificate is valid for` and names the others.")),
		Fix: text("Write a name that the certificate has into image and Secret, or have a certificate made for this one:",
			sh("openssl s_client -connect HOST:443 -servername HOST </dev/null | openssl x509 -noout -ext subjectAltName")),
		Check: fromNode("https://HOST/v2/"),
		Similar: []Similar{
			{TLSUnknownCA, "The name is right, and nobody who is trusted has signed it."},
			{RegNotRegistry, "The other server is no registry at all."},
		},
		Reads: observed(),
	}
}

func tlsExpired() Cause {
	return Cause{
		Code: TLSExpired, Link: TLS, Vantage: Node, Most: Proven,
		Title: "The registry's certificate has ended, or has not begun by the node's clock",
		See: head(`tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time ` +
			`<TIME> is after <TIME>`),
		Means: "The text has both times. If the node's is right, the certificate must be renewed. If it is not, see " +
			"PULL-CLOCK-SKEW.",
		Proof: text("The certificate's begin and end are compared with the node's clock and with another one.", undecided("where "+
			"the text says `certificate has expired or is not yet valid`.")),
		Fix: text("Renew the registry's certificate and restart what serves it:",
			sh("openssl s_client -connect HOST:443 -servername HOST </dev/null | openssl x509 -noout -dates", "date -u")),
		Check: fromNode("https://HOST/v2/"),
		Similar: []Similar{
			{ClockSkew, "The certificate is good, and the node's clock is wrong."},
			{TLSUnknownCA, "It is an authority's certificate that is missing."},
		},
		Reads: observed(),
	}
}

func tlsPlainHTTP() Cause {
	return Cause{
		Code: TLSPlainHTTP, Link: TLS, Vantage: Node, Most: Proven,
		Title: "The registry speaks HTTP, and the runtime asks it by HTTPS",
		See:   head(`http: server gave HTTP response to HTTPS client`),
		Means: "Runtimes use HTTPS unless the node's configuration says otherwise for a host (localhost aside). This " +
			"registry, or the port that was named, has no TLS.",
		Proof: text("The first bytes that the server sends are those of HTTP.", undecided("where the text is this one.")),
		Fix: text("Give the registry a certificate. Where that cannot be, tell each node; credentials then go over the "+
			"network in the clear:", hosts("http://HOST:PORT", "http://HOST:PORT")),
		Check: text("On the node:", sh(reached())),
		Similar: []Similar{
			{TLSHTTPToTLS, "The other way round: the runtime uses HTTP, and the server wants TLS."},
			{RegNotRegistry, "What answers is no registry."},
		},
		Reads: observed(),
	}
}

func tlsHTTPToTLS() Cause {
	return Cause{
		Code: TLSHTTPToTLS, Link: TLS, Vantage: Node, Most: Proven,
		Title: "The node is told to use HTTP for a registry that wants TLS",
		See: resolving(`unexpected status from HEAD request to http://<HOST>/v2/<REPOSITORY>/manifests/<TAG>: 400 Bad ` +
			`Request`),
		Means: "A hosts.toml of the node, or an insecure-registry setting, has `http://` for this host, and its port " +
			"speaks TLS.",
		Proof: text("The server answers a request by HTTP with 400 and takes one by HTTPS.", undecided("where the text "+
			"has `http://` and `400 Bad Request`.")),
		Fix:   text("Write `https://` in the node's file for the host:", sh("grep -rn 'http://' /etc/containerd/certs.d/")),
		Check: text("On the node:", sh(reached())),
		Similar: []Similar{
			{TLSPlainHTTP, "The other way round: the runtime uses TLS, and the server has none."},
			{MirrorConfig, "The file is wrong in another way."},
		},
		Reads: observed(),
	}
}

func tlsClientCert() Cause {
	return Cause{
		Code: TLSClientCert, Link: TLS, Vantage: Node, Most: Proven,
		Title: "The registry wants a client certificate that the node does not show",
		See:   head(`remote error: tls: certificate required`),
		Means: "The server, or what stands before it, asks for mutual TLS. Secrets of a pod hold no certificates; the " +
			"node's configuration must name one.",
		Proof: text("The handshake from the node ends with this alert.", undecided("where the text has `certificate "+
			"required` or `bad certificate`.")),
		Fix: text("Put certificate and key on each node, and name them for the host:", hosts("https://HOST", "https://HOST",
			`  client = [["/etc/containerd/certs.d/HOST/client.crt", "/etc/containerd/certs.d/HOST/client.key"]]`)),
		Check: text("On the node:",
			sh("curl -sS -o /dev/null -w '%{http_code}\\n' --cert client.crt --key client.key https://HOST/v2/", reached())),
		Similar: []Similar{
			{TLSUnknownCA, "It is the node that does not trust the server."},
			{NetReset, "The connection ends without an alert."},
		},
		Reads: observed(),
	}
}

func clockSkew() Cause {
	return Cause{
		Code: ClockSkew, Link: TLS, Vantage: API, Most: Strong,
		Title: "The clock of the node is wrong",
		See: []Said{
			{"containerd", `tls: failed to verify certificate: x509: certificate has expired or is not yet valid: ` +
				`current time <TIME> is before <TIME>`},
			{"containerd", `pull access denied, repository does not exist or may require authorization: server ` +
				`message: invalid_token: authorization failed`},
			{"containerd, of a layer", `failed to copy: httpReadSeeker: failed open: unexpected status from GET ` +
				`request to <URL>: 403 Forbidden`},
		},
		Means: "Certificates, tokens and signed addresses of layers hold from a time to a time. To a node whose clock " +
			"is minutes off, good ones have ended or not begun.",
		Proof: "kubelet writes its own time into the node's Lease (`spec.renewTime` in kube-node-lease) every ten " +
			"seconds. It is compared with the time at which the API server stored it (`managedFields`) or with its " +
			"`Date`: a time in the future, or a steady distance of more than 15 seconds, is the clock's. A Lease that " +
			"is merely old is a node that does not report: no finding. Strong, because the error must be one of these " +
			"three as well.",
		Fix: text("Let the node have its time from a server that it reaches:",
			sh("timedatectl", "chronyc sources", "systemctl restart chronyd")),
		Check: text("The Lease is at most ten seconds behind the time of now, and not ahead of it:",
			sh(`kubectl -n kube-node-lease get lease NODE -o jsonpath='{.spec.renewTime}{"\n"}'`, "date -u")),
		Similar: []Similar{
			{TLSExpired, "The clocks agree, and the certificate has ended."},
			{AuthService, "The clocks agree, and the token is not accepted for another reason."},
			{BlobStorage403, "The clocks agree, and the storage refuses."},
		},
		Reads: []string{"pods", "leases"},
	}
}
