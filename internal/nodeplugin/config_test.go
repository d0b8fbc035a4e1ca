package nodeplugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsWrongInTheConfigurationIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	const item = "instances:\n- instanceId: cri-a\n  regionId: cn-hangzhou\n  domains: a.example.com\n"
	for name, c := range map[string]struct{ text, says string }{
		"empty":                     {"", "it is empty"},
		"comments alone":            {"# nothing\n", "it is empty"},
		"no YAML":                   {"instances: [\n", "it is not YAML: line"},
		"two documents":             {item + "---\n" + item, "a second document"},
		"a list":                    {"- a\n", "line 1: this is no list of fields"},
		"a field that is not known": {item + "instance: []\n", `line 5: the field "instance" is not known`},
		"a field in another case":   {"Instances: []\n", `line 1: the field "Instances" is not known`},
		"a field twice":             {item + "caFile: /a\ncaFile: /b\n", "line 6: the field caFile is given twice"},
		"no instance":               {"caFile: /a\n", "line 1: no instance is listed"},
		"an access key":             {item + "  customAccessKeySecret: s3cret\n", `line 5: the field "customAccessKeySecret" is not known`},
		"an id that is none":        {strings.Replace(item, "cri-a", "demo", 1), "line 2: this is not the id of an instance"},
		"no id written down":        {strings.Replace(item, "cri-a", "", 1), "line 2: this is no text, or an empty one"},
		"no id":                     {strings.Replace(item, "instanceId: cri-a\n  ", "", 1), "line 2: the instance has no instanceId"},
		"a region that is none":     {strings.Replace(item, "cn-hangzhou", "hangzhou", 1), "line 3: this is not a region id"},
		"no region":                 {"instances:\n- instanceId: cri-a\n  domains: a.example.com\n", "line 2: the instance has no regionId"},
		"no domains":                {"instances:\n- instanceId: cri-a\n  regionId: cn-hangzhou\n", "line 2: the instance has no domains"},
		"a domain with a path":      {strings.Replace(item, "a.example.com", "a.example.com/x", 1), "line 4: this is no registry host: it has a path"},
		"a domain with a star":      {strings.Replace(item, "a.example.com", `"*.example.com"`, 1), "line 4: this is no registry host"},
		"a host of two":             {item + strings.TrimPrefix(item, "instances:\n"), "the host a.example.com is of two instances"},
		"an endpoint in the clear":  {item + "  endpoint: http://cr.example.com\n", "line 5: the endpoint"},
		"a time that is none":       {item + "  expireDuration: 1h\n", "line 5: this is not a number of seconds from 900 to 43200"},
		"an ARN of a user":          {item + "  assumeRoleARN: acs:ram::1:user/x\n", "line 5: this is not the ARN of such a thing"},
		"no roles":                  {item + "roles: []\n", "roles is there and lists none"},
		"a role of nobody":          {item + "roles:\n- roleARN: acs:ram::1:role/x\n", "line 6: the role wants all of"},
		"a role of all":             {item + "roles:\n- serviceAccount: \"*/*\"\n", "line 6: this is not a ServiceAccount"},
		"a role of two":             {item + roles + strings.TrimPrefix(roles, "roles:\n"), "the ServiceAccount bakery/app has two roles"},
		"a path that is none":       {item + "caFile: ca.crt\n", "line 5: this is not a path that begins with /"},
		"a helper with a path":      {item + "fallback: ../x\n", "line 5: this is not the name of another helper"},
		"the helper itself":         {item + "fallback: pullkey\n", "line 5: this is not the name of another helper"},
		"an alias":                  {"instances: &a\n- instanceId: cri-a\n  regionId: *a\n", "line 3: this is no text"},
		"metadata with TLS":         {item + "metadataEndpoint: https://1.2.3.4\n", "line 5: this is not http://HOST"},
	} {
		_, err := parseConfig([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want %q", name, err, c.says)
		}
	}
	if c, err := parseConfig([]byte(item + roles)); err != nil || len(c.roles) != 2 || len(c.instances) != 1 {
		t.Errorf("what is right: got %+v, %v", c, err)
	}
}

func TestASessionThatIsNoneHasNoDuration(t *testing.T) {
	t.Parallel()
	const says = "has expireDuration, and no role is assumed for it"
	for name, c := range map[string]struct {
		more, roles string
		wrong       bool
	}{
		"the machine asks":            {"expireDuration: 3600", "", true},
		"the machine assumes a role":  {"expireDuration: 3600\n  assumeRoleARN: acs:ram::1:role/x", "", false},
		"ServiceAccounts have theirs": {"expireDuration: 3600", roles, false},
	} {
		o := openOffice(t)
		o.config(t, c.roles)
		o.replace(t, "config.yaml", "endpoint:", c.more+"\n  endpoint:")
		path := filepath.Join(o.dir, "config.yaml")
		asked := o.provide(t, requestFor("docker.io/library/nginx"))
		installed := o.run(t.Context(), Provider, "", nil, "install", "--config", path, "--print")
		if strings.Contains(asked.stderr, says) != c.wrong || strings.Contains(installed.stderr, says) != c.wrong {
			t.Errorf("%s: got %+v and %+v", name, asked, installed)
		}
		if got := o.docker(t, "get", enterpriseHost, asKey); strings.Contains(got.stdout, says) {
			t.Errorf("%s: docker's helper, which others may have made sessions for: got %+v", name, got)
		}
	}
}

// The file says where tokens go: who could write it could read them.
func TestAConfigurationThatOthersMayWriteIsNotRead(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	path := filepath.Join(o.dir, "config.yaml")
	for _, mode := range []os.FileMode{0o620, 0o602} {
		must(t, os.Chmod(path, mode))
		if got := o.provide(t, requestFor(enterpriseHost+"/shop/app")); got.code != exitFailed || !strings.Contains(got.stderr, "others may write") {
			t.Errorf("mode %s: got %+v", mode, got)
		}
	}
	must(t, os.Chmod(path, 0o644))
	o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
	if got := o.run(t.Context(), Provider, requestFor(enterpriseHost+"/x"), nil, "--config", o.dir); got.code != exitFailed || !strings.Contains(got.stderr, "not a regular file") {
		t.Errorf("a folder: got %+v", got)
	}
	if got := o.run(t.Context(), Provider, requestFor(enterpriseHost+"/x"), nil, "--config", "/nonexistent"); got.code != exitFailed || !strings.Contains(got.stderr, "to do: write the configuration there") {
		t.Errorf("nothing: got %+v", got)
	}
}
