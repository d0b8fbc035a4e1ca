package client

import "path/filepath"

// Target is what a client is told of a pull.
type Target struct {
	Reference string
	// Config is the folder of the config.json that says as whom.
	Config string
	// Login says the same to a client that reads no config.json.
	Login Login
	// HostsDir is the folder in which ctr finds how to reach a registry; "" is
	// none. The others are told by Environment and by whom they trust.
	HostsDir string
	// Output is the folder for what is pulled. Engines keep it themselves.
	Output string
}

// Login is what an entry of config.json says.
type Login struct{ User, Password, IdentityToken string }

// Client is a program that pulls, and what its users write to have it do so.
type Client struct {
	Name string
	// Login returns the command that logs in at a host and keeps that in the
	// config.json of the folder. The password comes in by the standard input.
	// It is nil for a client that keeps no logins.
	Login func(p Programs, host, user, config string) []string
	// Pull returns the command that pulls.
	Pull func(p Programs, t Target) []string
}

// Clients are those that others use.
func Clients() []Client {
	return []Client{
		{
			Name: "docker",
			Login: func(p Programs, host, user, _ string) []string {
				return []string{p.Docker, "login", host, "--username", user, "--password-stdin"}
			},
			Pull: func(p Programs, t Target) []string { return []string{p.Docker, "pull", t.Reference} },
		},
		{
			Name: "containerd",
			Pull: func(p Programs, t Target) []string {
				// Without the flag ctr fetches the manifests of all platforms;
				// kubelet has containerd fetch its own alone.
				args := []string{p.Ctr, "images", "pull", "--skip-metadata"}
				if t.HostsDir != "" {
					args = append(args, "--hosts-dir", t.HostsDir)
				}
				return append(append(args, t.Login.ctr()...), t.Reference)
			},
		},
		{
			Name: "skopeo",
			Login: func(p Programs, host, user, config string) []string {
				return []string{p.Skopeo, "login", "--authfile", configFile(config), "--username", user, "--password-stdin", host}
			},
			Pull: func(p Programs, t Target) []string {
				return []string{p.Skopeo, "copy", "--authfile", configFile(t.Config), "docker://" + t.Reference, "oci:" + t.Output + ":1"}
			},
		},
		{
			Name: "oras",
			Login: func(p Programs, host, user, config string) []string {
				return []string{p.Oras, "login", "--registry-config", configFile(config), "--username", user, "--password-stdin", host}
			},
			Pull: func(p Programs, t Target) []string {
				// It would speak http to localhost.
				return []string{
					p.Oras, "copy", "--from-registry-config", configFile(t.Config), "--from-plain-http=false", "--no-tty",
					t.Reference, "--to-oci-layout", t.Output + ":1",
				}
			},
		},
		{
			Name: "crane",
			Login: func(p Programs, host, user, _ string) []string {
				return []string{p.Crane, "auth", "login", host, "--username", user, "--password-stdin"}
			},
			Pull: func(p Programs, t Target) []string {
				return []string{p.Crane, "pull", "--format", "oci", t.Reference, t.Output}
			},
		},
	}
}

// Pullkey is ours. It asks as the program of the given name does, or as it
// does by itself when that is empty.
func Pullkey(like string) Client {
	var flags []string
	if like != "" {
		flags = []string{"--client", like}
	}
	return Client{
		Name: "pullkey",
		Login: func(p Programs, host, user, _ string) []string {
			return append([]string{p.Pullkey, "login", host, "--username", user, "--password-stdin"}, flags...)
		},
		Pull: func(p Programs, t Target) []string {
			return append([]string{p.Pullkey, "pull", t.Reference, "--output", t.Output}, flags...)
		},
	}
}

// CtrFetch returns the command by which ctr pulls the content of an image and
// does not unpack it.
func (p Programs) CtrFetch(t Target) []string {
	return append(append([]string{p.Ctr, "content", "fetch"}, t.Login.ctr()...), t.Reference)
}

func configFile(folder string) string { return filepath.Join(folder, "config.json") }

// ctr are the flags that say to ctr as whom.
func (l Login) ctr() []string {
	switch {
	case l.IdentityToken != "":
		return []string{"--refresh", l.IdentityToken}
	case l.User != "":
		return []string{"--user", l.User + ":" + l.Password}
	}
	return nil
}

// Environment are the variables with which the programs are run in a sandbox.
// Those of trust come on top.
func Environment(home, config string) []string {
	return []string{"HOME=" + home, "DOCKER_CONFIG=" + config, "DOCKER_HOST=" + DockerHost}
}
