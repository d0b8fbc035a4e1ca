package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/pullkey/pullkey/lab/localacr"
)

// describe says what is running and what to try with it.
func describe(a *localacr.ACR, dir string) string {
	var b strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&b, format+"\n", values...) }
	user, _ := a.Owner()
	line("A local ACR is running. Ctrl-C stops it and removes %s.", dir)
	for _, i := range a.Instances() {
		line("")
		if i.ID == "" {
			line("Personal Edition, %s", i.Region)
		} else {
			line("Enterprise instance %s (%s), %s", i.ID, i.Name, i.Region)
		}
		line("  OpenAPI        %s", a.Endpoint(i.Region))
		line("  registry       %s", i.Hosts[0])
		line("  its VPC host   %s", i.Hosts[1])
		line("  token server   %s", i.Realm)
		line("  service        %s", i.Service)
		line("  an image       %s/%s:1", i.Hosts[0], helloRepository)
	}
	line("")
	line("STS              %s", a.STS())
	line("Metadata service %s", a.Metadata())
	line("Role             acs:ram::%s:role/%s, who may pull demo/*; the default user may assume it,", a.Account(), role)
	line("                 and the metadata service hands out its sessions")
	line("Access key       %s, its secret in %s", a.AccessKey().ID, filepath.Join(dir, fileSecret))
	line("Registry user    %s, who may push everywhere, password in %s", user, filepath.Join(dir, filePassword))
	line("Person           %s, who may pull demo/*, password in %s", person, filepath.Join(dir, filePerson))
	line("Robot            %s, who may too, secret in %s", robot, filepath.Join(dir, fileRobot))
	if a.CA() != nil {
		line("CA certificate   %s", filepath.Join(dir, fileCA))
	}
	line("Access log       %s/log", a.Admin())
	line("Token servers    %s/authorization/stop and /start (POST)", a.Admin())
	line("The cloud's APIs %s/cloud/stop and /start (POST)", a.Admin())
	line("STS alone        %s/sts/stop and /start (POST)", a.Admin())
	line("Faults           %s/faults (GET, POST, DELETE), as:", a.Admin())
	line(`  curl -d '{"fault":"throttle","action":"Registry","times":3}' %s/faults`, a.Admin())
	line("")
	line("Try:")
	for _, command := range commands(a, dir) {
		line("  %s", command)
	}
	return b.String()
}

// commands are some to try, which work as they are written, from the root of
// the repository.
func commands(a *localacr.ACR, dir string) []string {
	host := a.Instances()[0].Hosts[0]
	curl, trust, ca := "curl -i --cacert "+filepath.Join(dir, fileCA)+" https://"+host+"/v2/", "--cert-dir "+dir, " --ca-file "+filepath.Join(dir, fileCA)
	if a.CA() == nil {
		curl, trust, ca = "curl -i http://"+host+"/v2/", "--tls-verify=false", ""
	}
	logins := " --auth-file " + filepath.Join(dir, fileLogins)
	return []string{
		curl,
		"go run ./cmd/pullkey login " + host + " -u " + person + logins + ca + " --password-stdin < " + filepath.Join(dir, filePerson),
		"go run ./cmd/pullkey login " + host + " --web" + logins + ca,
		"go run ./cmd/pullkey pull " + host + "/" + helloRepository + ":1 --trace --output " + filepath.Join(dir, "hello") + logins + ca,
		"skopeo inspect --authfile " + filepath.Join(dir, fileAuth) + " " + trust + " docker://" + host + "/" + helloRepository + ":1",
	}
}
