package registry

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

// What docker 20.10 and containerd 2.4 were seen to send; of the blobs the
// order does not count.
func TestAPullSendsWhatEachClientWouldSend(t *testing.T) {
	t.Parallel()
	const (
		manifests = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, " +
			"application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"
		index      = "application/vnd.oci.image.index.v1+json, */*"
		manifest   = "application/vnd.oci.image.manifest.v1+json, */*"
		config     = "application/vnd.oci.image.config.v1+json, */*"
		layer      = "application/vnd.oci.image.layer.v1.tar+gzip, */*"
		dockerWant = "application/json | application/vnd.docker.distribution.manifest.list.v2+json | application/vnd.docker.distribution.manifest.v1+prettyjws | " +
			"application/vnd.docker.distribution.manifest.v2+json | application/vnd.oci.image.index.v1+json | application/vnd.oci.image.manifest.v1+json"
		get  = "GET /token?account&scope&service Basic -> 200"
		post = "POST /token client_id&grant_type&password&scope&service&username -> 200"
	)
	for _, c := range []struct {
		name     string
		profile  Profile
		byDigest bool
		want     []string
	}{
		{"docker, by tag", Docker, false, []string{
			"GET /v2/ -> 401", get, "HEAD manifests/1 Bearer -> 200 " + dockerWant, "GET manifests/INDEX Bearer -> 200 " + dockerWant,
			"GET manifests/MANIFEST Bearer -> 200 " + dockerWant, "GET blobs/BLOB Bearer -> 200", "GET blobs/BLOB Bearer -> 200",
		}},
		{"docker, by digest", Docker, true, []string{
			"GET /v2/ -> 401", get, "GET manifests/INDEX Bearer -> 200 " + dockerWant,
			"GET manifests/MANIFEST Bearer -> 200 " + dockerWant, "GET blobs/BLOB Bearer -> 200", "GET blobs/BLOB Bearer -> 200",
		}},
		{"containerd, by tag", Containerd, false, []string{
			"HEAD manifests/1 -> 401 " + manifests, post, "HEAD manifests/1 Bearer -> 200 " + manifests,
			"GET manifests/INDEX -> 401 " + index, post, "GET manifests/INDEX Bearer -> 200 " + index, "GET manifests/MANIFEST Bearer -> 200 " + manifest,
			"GET blobs/BLOB Bearer -> 200 " + config, "GET blobs/BLOB Bearer -> 200 " + layer,
		}},
		{"containerd, by digest", Containerd, true, []string{
			"HEAD manifests/INDEX -> 401 " + manifests, post, "HEAD manifests/INDEX Bearer -> 200 " + manifests,
			"GET manifests/INDEX -> 401 " + index, post, "GET manifests/INDEX Bearer -> 200 " + index, "GET manifests/MANIFEST Bearer -> 200 " + manifest,
			"GET blobs/BLOB Bearer -> 200 " + config, "GET blobs/BLOB Bearer -> 200 " + layer,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := openPlace(t, registrytest.Options{})
			d := p.push(t, "team/app:1", registrytest.Image{Platforms: []string{"linux/amd64"}})
			name := "team/app:1"
			if c.byDigest {
				name = "team/app@" + d.Digest
			}
			got, err := p.client(t, c.profile).Pull(t.Context(), p.reference(t, name), PullOptions{Dir: t.TempDir(), Platform: "linux/amd64"})
			if err != nil {
				t.Fatal(err)
			}
			short := strings.NewReplacer("/v2/team/app/", "", d.Digest, "INDEX", got.Digest, "MANIFEST", got.Blobs[0].Digest, "BLOB", got.Blobs[1].Digest, "BLOB")
			var sent []string
			for _, q := range p.Requests() {
				sent = append(sent, short.Replace(describeRequest(q)))
			}
			if diff := cmp.Diff(c.want, sent); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
}

// describeRequest shows method, path, names of parameters, authorization,
// status and the lines of Accept as a set.
func describeRequest(q registrytest.Request) string {
	text := q.Method + " " + q.Path
	names := func(values map[string][]string) string {
		var list []string
		for name := range values {
			list = append(list, name)
		}
		slices.Sort(list)
		return strings.Join(list, "&")
	}
	if len(q.Query) > 0 {
		text += "?" + names(q.Query)
	}
	if len(q.Form) > 0 {
		text += " " + names(q.Form)
	}
	if q.Authorization != "" {
		text += " " + q.Authorization
	}
	slices.Sort(q.Accept)
	return strings.TrimSpace(fmt.Sprintf("%s -> %d %s", text, q.Status, strings.Join(q.Accept, " | ")))
}
