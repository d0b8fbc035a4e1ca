package localacr

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"oras.land/oras-go/v2/content/oci"
)

// client runs a real client's command line and returns what it printed.
func client(t *testing.T, stdin string, environment []string, command ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", command[0])
		}
		t.Skipf("%s is not installed", command[0])
	}
	c := exec.CommandContext(t.Context(), command[0], command[1:]...)
	c.Stdin = strings.NewReader(stdin)
	c.Env = append(os.Environ(), environment...)
	out, err := c.CombinedOutput()
	return string(out), err
}

func TestDockerLogsInWithATemporaryUserAndIsRefusedAfterItsEnd(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		c := start(t, func(o *Options) { o.Plain = plain })
		password, until := c.temporary(c.AccessKey())
		host := c.instance(enterpriseID).Hosts[0]
		login := func() (string, error) {
			return client(t, password, []string{"DOCKER_CONFIG=" + t.TempDir()}, "docker", "login", host, "-u", temporaryUser, "--password-stdin")
		}
		if out, err := login(); err != nil || !strings.Contains(out, "Login Succeeded") {
			t.Errorf("plain %v: docker login: %v\n%s", plain, err, out)
		}
		c.clock.Set(until)
		out, err := login()
		if err == nil || !strings.Contains(out, "unauthorized") && !strings.Contains(out, "401") {
			t.Errorf("plain %v: docker login after the end: %v\n%s", plain, err, out)
		}
		if !plain && strings.Contains(out, "http://") {
			t.Errorf("after the refusal docker tried plain http:\n%s", out)
		}
		entries := c.AccessLog().Entries()
		if last := entries[len(entries)-1]; last.Server != ServerAuth || last.Code != "expired" || !strings.Contains(strings.ToLower(last.UserAgent), "docker") {
			t.Errorf("plain %v: the last request was %+v", plain, last)
		}
	}
}

func TestSkopeoCopiesAndInspectsUntilTheCredentialEnds(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	certificates := t.TempDir()
	if err := os.WriteFile(filepath.Join(certificates, "ca.crt"), c.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	digest, err := c.Push(t.Context(), "", "shop/source", "1", Image{Layers: [][]byte{layer(t, "hello")}})
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "layout")
	store, err := oci.New(folder)
	if err != nil {
		t.Fatal(err)
	}
	user, password := c.Owner()
	if _, err := c.pull(t.Context(), store, c.instance("").Hosts[0], "shop/source", user, password.Reveal()); err != nil {
		t.Fatal(err)
	}
	host := c.instance(enterpriseID).Hosts[0]
	image := "docker://" + host + "/shop/web:1"
	authfile := func(user, password string) string {
		name := filepath.Join(t.TempDir(), "auth.json")
		if out, err := client(t, password, nil, "skopeo", "login", "--authfile", name, "--cert-dir", certificates, "-u", user, "--password-stdin", host); err != nil {
			t.Fatalf("skopeo login: %v\n%s", err, out)
		}
		return name
	}
	owner := authfile(user, password.Reveal())
	if out, err := client(t, "", nil, "skopeo", "copy", "--preserve-digests", "--authfile", owner, "--dest-cert-dir", certificates, "oci:"+folder+":1", image); err != nil {
		t.Fatalf("skopeo copy: %v\n%s", err, out)
	}
	temporary, until := c.temporary(c.AccessKey())
	reader := authfile(temporaryUser, temporary)
	inspect := []string{"skopeo", "inspect", "--authfile", reader, "--cert-dir", certificates, image}
	if out, err := client(t, "", nil, inspect...); err != nil || !strings.Contains(out, digest) {
		t.Errorf("skopeo inspect: %v\n%s", err, out)
	}
	c.clock.Set(until)
	if out, err := client(t, "", nil, inspect...); err == nil || !strings.Contains(out, "invalid username/password") {
		t.Errorf("skopeo inspect after the end: %v\n%s", err, out)
	}
}

func TestSkopeoPullsWithTheIdentityTokenThatDockerKept(t *testing.T) {
	t.Parallel()
	c := start(t, func(o *Options) { o.Plain = true })
	if _, err := c.Push(t.Context(), enterpriseID, "shop/web", "1", Image{Layers: [][]byte{layer(t, "hello")}}); err != nil {
		t.Fatal(err)
	}
	password, until := c.temporary(c.AccessKey())
	host, config := c.instance(enterpriseID).Hosts[0], t.TempDir()
	if out, err := client(t, password, []string{"DOCKER_CONFIG=" + config}, "docker", "login", host, "-u", temporaryUser, "--password-stdin"); err != nil {
		t.Fatalf("docker login: %v\n%s", err, out)
	}
	kept, err := os.ReadFile(filepath.Join(config, "config.json"))
	if err != nil || !strings.Contains(string(kept), "identitytoken") || strings.Contains(string(kept), password) {
		t.Errorf("docker kept no identity token, %v", err)
	}
	inspect := []string{"skopeo", "inspect", "--authfile", filepath.Join(config, "config.json"), "--tls-verify=false", "docker://" + host + "/shop/web:1"}
	for range 2 {
		if out, err := client(t, "", nil, inspect...); err != nil {
			t.Errorf("skopeo inspect: %v\n%s", err, out)
		}
	}
	c.clock.Set(until)
	if out, err := client(t, "", nil, inspect...); err == nil {
		t.Errorf("skopeo inspect after the end succeeded:\n%s", out)
	}
}
