package nodeplugin

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// office is a cloud on loopback: the metadata service, STS and the API of ACR. It
// counts what it is asked, by action.
type office struct {
	metadata, api  *httptest.Server
	mu             sync.Mutex
	calls          map[string]int
	life           time.Duration
	down           bool              // ACR answers with 503,
	denied         bool              // or with 403
	refused        map[string]bool   // roles and tokens that STS refuses
	tokens         map[string]string // by role, the tokens that STS was shown
	dir            string
	now            func() time.Time
	password       string
	throttled      string        // Retry-After
	behind         time.Duration // how far the cloud's clock is behind ours
	waitingForCall chan struct{}
	boot           string
}

func openOffice(t *testing.T) *office {
	t.Helper()
	o := &office{calls: map[string]int{}, life: time.Hour, refused: map[string]bool{}, tokens: map[string]string{}, dir: t.TempDir(), now: time.Now, password: "Pass:word-1", boot: "a start"}
	o.metadata = httptest.NewServer(http.HandlerFunc(o.serveMetadata))
	o.api = httptest.NewTLSServer(http.HandlerFunc(o.serveAPI))
	t.Cleanup(o.metadata.Close)
	t.Cleanup(o.api.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.api.Certificate().Raw})
	o.write(t, "ca.crt", string(ca))
	return o
}

func (o *office) write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o600))
}

// replace changes the first of a text in a file.
func (o *office) replace(t *testing.T, name, from, to string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(o.dir, name))
	must(t, err)
	if !strings.Contains(string(data), from) {
		t.Fatalf("%s has no %q", name, from)
	}
	o.write(t, name, strings.Replace(string(data), from, to, 1))
}

func (o *office) booted() string { return o.boot }

func (o *office) count(action string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls[action]++
}

func (o *office) counted(action string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls[action]
}

func (o *office) key(id string) map[string]any {
	return map[string]any{
		"AccessKeyId": id, "AccessKeySecret": "secretsecretsecret", "SecurityToken": "sessiontokensessiontoken", "Expiration": o.now().Add(6 * time.Hour).UTC().Format(time.RFC3339),
	}
}

func (o *office) serveMetadata(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/latest/api/token":
		_, _ = fmt.Fprint(w, "metadatatoken")
	case "/latest/meta-data/region-id":
		o.count("region")
		_, _ = fmt.Fprint(w, "cn-hangzhou")
	case "/latest/meta-data/ram/security-credentials/":
		_, _ = fmt.Fprint(w, "worker")
	default:
		o.count("metadata")
		key := o.key("STS.worker")
		key["Code"] = "Success"
		_ = json.NewEncoder(w).Encode(key)
	}
}

func (o *office) serveAPI(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", o.now().Add(-o.behind).UTC().Format(http.TimeFormat))
	if r.URL.Query().Get("Action") == "AssumeRoleWithOIDC" {
		o.serveSTS(w, r)
		return
	}
	o.count("GetAuthorizationToken")
	if o.waitingForCall != nil {
		<-o.waitingForCall
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		if o.throttled != "" {
			w.Header().Set("Retry-After", o.throttled)
		}
		if o.denied {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `{"Code":"NoPermission","Message":"no right"}`)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprint(w, `{"Code":"ServiceUnavailable","Message":"down for a while"}`)
		return
	}
	end := o.now().Add(o.life - o.behind).UnixMilli()
	if r.URL.Path == "/tokens" {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"authorizationToken": o.password, "tempUserName": "cr_temp_user", "expireDate": end}})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"AuthorizationToken": o.password, "TempUsername": "cr_temp_user", "ExpireTime": end, "IsSuccess": true})
}

func (o *office) serveSTS(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	role := r.PostForm.Get("RoleArn")
	o.mu.Lock()
	o.calls["AssumeRoleWithOIDC"]++
	o.tokens[role] = r.PostForm.Get("OIDCToken")
	refused := o.refused[role] || o.refused[r.PostForm.Get("OIDCToken")]
	o.mu.Unlock()
	if refused {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, `{"Code":"AuthenticationFail.NoPermission","Message":"not %s"}`, r.PostForm.Get("OIDCToken"))
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Credentials": o.key("STS.role")})
}

const enterpriseHost, personalHost = "shop-registry.cn-hangzhou.cr.aliyuncs.com", "registry.cn-hangzhou.aliyuncs.com"

// config writes a configuration of both editions, and more.
func (o *office) config(t *testing.T, more string) {
	t.Helper()
	o.write(t, "config.yaml", fmt.Sprintf(`instances:
- instanceId: cri-shop
  regionId: cn-hangzhou
  domains: %s
  endpoint: %[2]s
- instanceId: ""
  regionId: cn-hangzhou
  endpoint: %[2]s
stsEndpoint: %[2]s
metadataEndpoint: %[3]s
caFile: %[4]s
`, enterpriseHost, o.api.URL, o.metadata.URL, filepath.Join(o.dir, "ca.crt"))+more)
}

// shop is the first instance of the configuration.
func (o *office) shop(t *testing.T) instance {
	t.Helper()
	c, err := loadConfig(filepath.Join(o.dir, "config.yaml"))
	must(t, err)
	return c.instances[0]
}

const roles = `roles:
- serviceAccount: shop/app
  roleARN: acs:ram::1:role/shop
  oidcProviderARN: acs:ram::1:oidc-provider/cluster
- serviceAccount: bakery/app
  roleARN: acs:ram::1:role/bakery
  oidcProviderARN: acs:ram::1:oidc-provider/cluster
`

// strangeAuthority is one that has signed nothing.
func strangeAuthority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	form := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}

// run is what came of one run of a program.
type run struct {
	code           int
	stdout, stderr string
}

func (o *office) flags() []string {
	return []string{"--config", filepath.Join(o.dir, "config.yaml"), "--cache", filepath.Join(o.dir, "cache")}
}

func (o *office) provide(t *testing.T, stdin string) run {
	t.Helper()
	return o.run(t.Context(), Provider, stdin, nil, o.flags()...)
}

func (o *office) run(ctx context.Context, program func(context.Context, Process) int, stdin string, environment map[string]string, args ...string) run {
	p, told := o.process(stdin, environment, args...)
	return told(program(ctx, p))
}

// process is a run that has not begun, and what came of it by its exit code.
func (o *office) process(stdin string, environment map[string]string, args ...string) (Process, func(code int) run) {
	var out, errs bytes.Buffer
	return Process{
		Args: args, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Now: o.now, Version: func() string { return "test" },
		Getenv: func(name string) string { return environment[name] }, Executable: os.Executable, Boot: o.booted,
	}, func(code int) run { return run{code, out.String(), errs.String()} }
}

func requestFor(image string) string {
	return `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"` + image + `"}` + "\n"
}

// tokenOf is a token that says it is a ServiceAccount's.
func tokenOf(namespace, name string) string {
	return tokenFor("system:serviceaccount:" + namespace + ":" + name)
}

func tokenFor(subject string) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"RS256"}`) + "." + part(`{"sub":"`+subject+`","aud":["sts.aliyuncs.com"]}`) + ".c2lnbmF0dXJlc2lnbmF0dXJl"
}

func requestWith(token, annotations string) string {
	return `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"` + enterpriseHost + `/shop/app","serviceAccountToken":"` + token + `","serviceAccountAnnotations":` + annotations + `}`
}
