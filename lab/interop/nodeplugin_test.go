package interop_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/sandbox"
)

// attachRole makes the machine one whose RAM role may pull everything.
func attachRole(t *testing.T, acr *localacr.ACR) (arn string) {
	t.Helper()
	arn = acr.AddRole(localacr.Role{Name: "worker", Grants: []localacr.Grant{
		{Instance: localacr.Everything, Repository: localacr.Everything, Actions: []string{"pull"}},
	}})
	if err := acr.AttachRole(arn); err != nil {
		t.Fatal(err)
	}
	return arn
}

// configured writes the configuration of both programs, with all instances.
func configured(t *testing.T, acr *localacr.ACR, file string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("instances:\n")
	for _, i := range acr.Instances() {
		fmt.Fprintf(&b, "- instanceId: %q\n  regionId: %s\n  domains: %q\n", i.ID, i.Region, strings.Join(i.Hosts, ","))
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// calls counts what the cloud was asked: credentials by instance, and the rest by who
// was asked.
func calls(acr *localacr.ACR) (credentials, others map[string]int) {
	credentials, others = map[string]int{}, map[string]int{}
	for _, e := range acr.AccessLog().Entries() {
		if e.Server == localacr.ServerAPI {
			credentials[e.Instance]++
		}
		if slices.Contains([]localacr.ServerKind{localacr.ServerSTS, localacr.ServerMetadata}, e.Server) {
			others[string(e.Server)]++
		}
	}
	return credentials, others
}

// once is one call for each instance.
func once(acr *localacr.ACR) map[string]int {
	want := map[string]int{}
	for _, i := range acr.Instances() {
		want[i.ID] = 1
	}
	return want
}

// Each program finds the helper by config.json alone, as its users have it, and the
// machine's RAM role is who asks: nobody ever types a password.
func TestEachProgramPullsThroughDockersHelper(t *testing.T) {
	p := open(t)
	caller := attachRole(t, p.ACR)
	configured(t, p.ACR, filepath.Join(p.dir, ".config", "pullkey", "credential-provider.yaml"))
	config, host := p.folder(), p.ACR.Instances()[0].Hosts[0]
	if _, err := client.BuildCommand(t.Context(), root, config, client.Helper, os.Stderr); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, c := range client.Clients() {
		if c.Login == nil {
			continue // ctr reads no config.json
		}
		for way, settings := range map[string]string{
			"credHelpers": fmt.Sprintf(`{"credHelpers": {%q: "pullkey"}}`, host), "credsStore": `{"credsStore": "pullkey"}`,
		} {
			// containers/image, which is skopeo's and podman's, reads credHelpers alone.
			reads := c.Name != "skopeo" || way == "credHelpers"
			t.Run(c.Name+" by "+way, func(t *testing.T) { p.pullsByHelper(t, c, config, settings, reads) })
			ran++
		}
	}
	if ran != 8 {
		t.Errorf("%d pulls were tried, want those of four programs in two ways", ran)
	}
	t.Run("docker login leaves who asks", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(`{"credsStore": "pullkey"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		user, password := p.ACR.Owner()
		docker := named("docker")
		if out, err := p.as(config, password.Reveal(), docker.Login(p.programs, host, user, config)...); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if err := p.pulls(docker, p.push(), config, entry{}); err != nil {
			t.Error(err)
		}
	})
	p.pulledFor(t, caller)
	got, others := calls(p.ACR)
	t.Logf("calls for a credential: %v; others: %v", got, others)
	if diff := cmp.Diff(map[string]int{p.ACR.Instances()[0].ID: 1}, got); diff != "" {
		t.Errorf("calls for a credential (-want +got):\n%s", diff)
	}
	p.keepsNothing(t, config)
}

// pullsByHelper has a program pull without the helper, which must fail, and with it.
func (p *place) pullsByHelper(t *testing.T, c client.Client, config, settings string, reads bool) {
	t.Helper()
	for content, want := range map[string]bool{"{}": false, settings: reads} {
		if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err := p.pulls(c, p.push(), config, entry{})
		t.Logf("with %s: %s", content, time.Since(began))
		if (err == nil) != want {
			t.Errorf("with %s it pulls: want %v, got: %v", content, want, err)
		}
	}
}

// pulledFor looks at the registry's log: all that was read was read with a temporary
// user of the caller's.
func (p *place) pulledFor(t *testing.T, caller string) {
	t.Helper()
	owner, got := map[int]string{}, map[string]bool{}
	for _, e := range p.ACR.AccessLog().Entries() {
		switch {
		case e.Action == localacr.ActionGetAuthorizationToken && e.Credential != 0:
			owner[e.Credential] = e.Caller
		case e.Server == localacr.ServerRegistry && e.Method == http.MethodGet && strings.Contains(e.Path, "/blobs/") && e.Status == http.StatusOK:
			got[owner[e.Credential]] = true
		}
	}
	if diff := cmp.Diff(map[string]bool{caller: true}, got); diff != "" {
		t.Errorf("for whom the blobs were read (-want +got):\n%s", diff)
	}
}

// keepsNothing looks for a login in docker's folder, where none may be.
func (p *place) keepsNothing(t *testing.T, config string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(config, "config.json"))
	if err != nil || bytes.Contains(text, []byte(`"auth":`)) || bytes.Contains(text, []byte("identitytoken")) {
		t.Errorf("config.json has a login (%v): %s", err, text)
	}
}

// A node whose images are all gone: kubelet asks for each pod's, as many at once as it
// has pulls.
func TestAStormOfPullsAsksTheCloudOnceForEachInstance(t *testing.T) {
	const images, callers, atOnce = 30, 20, 40
	l := openCloud(t)
	attachRole(t, l.ACR)
	config, cache := filepath.Join(l.Dir, "credential-provider.yaml"), filepath.Join(l.Dir, "credentials")
	configured(t, l.ACR, config)
	program, err := client.BuildCommand(t.Context(), root, l.Dir, client.Provider, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	instances := l.ACR.Instances()
	slots := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	for range callers {
		for i := range images {
			slots <- struct{}{}
			wait.Go(func() {
				defer func() { <-slots }()
				host := instances[i%len(instances)].Hosts[0]
				cmd := l.Inside(t.Context(), program, "--config", config, "--cache", cache)
				cmd.Stdin = strings.NewReader(fmt.Sprintf(`{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"%s/storm/app-%d"}`, host, i))
				var failure bytes.Buffer
				cmd.Stderr = &failure
				out, err := cmd.Output()
				var answer struct {
					Auth map[string]struct{ Username, Password string }
				}
				if decoding := json.Unmarshal(out, &answer); err != nil || decoding != nil || answer.Auth[host].Password == "" || failure.Len() > 0 {
					t.Errorf("image %d of %s: %v, %v, %d bytes: %s", i, host, err, decoding, len(out), failure.String())
				}
			})
		}
	}
	wait.Wait()
	got, others := calls(l.ACR)
	t.Logf("%d processes, %d at once; calls for a credential by instance: %v; others: %v", images*callers, atOnce, got, others)
	if diff := cmp.Diff(once(l.ACR), got); diff != "" {
		t.Errorf("calls for a credential by instance (-want +got):\n%s", diff)
	}
	leftAlone(t, cache)
}

// leftAlone holds a folder of credentials to being its owner's alone, and to holding
// no more than files and their locks.
func leftAlone(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// openCloud is a sandbox with the local ACR alone.
func openCloud(t *testing.T) *lab.Lab {
	t.Helper()
	need(t, sandbox.Supported())
	dir, done, err := lab.Workdir("storm")
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.Open(t.Context(), lab.Options{Root: root, Dir: dir, Progress: os.Stderr})
	if err != nil {
		t.Fatal(errors.Join(err, done(false)))
	}
	t.Cleanup(func() {
		if err := errors.Join(l.Close(), done(false)); err != nil {
			t.Error(err)
		}
	})
	return l
}
