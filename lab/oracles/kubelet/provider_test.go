package kubelet

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/kubelet/pkg/apis/credentialprovider"
	"k8s.io/kubelet/pkg/apis/credentialprovider/install"
	providerv1 "k8s.io/kubelet/pkg/apis/credentialprovider/v1"

	"github.com/pullkey/pullkey/internal/nodeplugin"
)

// ask has the provider answer as kubelet does: its codec writes the request, and
// reads the answer strictly.
func ask(t *testing.T, config string, request *credentialprovider.CredentialProviderRequest, now time.Time) *credentialprovider.CredentialProviderResponse {
	t.Helper()
	scheme := runtime.NewScheme()
	install.Install(scheme)
	codecs := serializer.NewCodecFactory(scheme, serializer.EnableStrict)
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	data, err := runtime.Encode(codecs.EncoderForVersion(info.Serializer, providerv1.SchemeGroupVersion), request)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := nodeplugin.Provider(t.Context(), nodeplugin.Process{
		Args: []string{"--config", config, "--cache", filepath.Join(t.TempDir(), "cache")}, Stdin: bytes.NewReader(data), Stdout: &out, Stderr: &errs,
		Getenv: func(string) string { return "" }, Now: func() time.Time { return now }, Version: func() string { return "test" }, Boot: func() string { return "" },
	})
	if code != 0 {
		t.Fatalf("of %s came the exit code %d: %s", data, code, errs.String())
	}
	answer, _, err := codecs.UniversalDecoder().Decode(out.Bytes(), nil, nil)
	if err != nil {
		t.Fatalf("kubelet cannot read %s: %v", out.String(), err)
	}
	got, ok := answer.(*credentialprovider.CredentialProviderResponse)
	if !ok {
		t.Fatalf("kubelet reads %T", answer)
	}
	return got
}

// cloud answers for STS and for ACR's API, and returns a configuration for it.
func cloud(t *testing.T, now time.Time) string {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		answer := map[string]any{"AuthorizationToken": "Pass<word>&1", "TempUsername": "cr_temp_user", "ExpireTime": now.Add(time.Hour).UnixMilli(), "IsSuccess": true}
		if r.URL.Query().Get("Action") == "AssumeRoleWithOIDC" {
			answer = map[string]any{"Credentials": map[string]any{
				"AccessKeyId": "STS.role", "AccessKeySecret": "secretsecretsecret", "SecurityToken": "sessiontokensessiontoken", "Expiration": now.Add(time.Hour).UTC().Format(time.RFC3339),
			}}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca, config := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf(`instances:
- {instanceId: cri-shop, regionId: cn-hangzhou, domains: shop.example.com, endpoint: %q}
roles:
- {serviceAccount: shop/app, roleARN: "acs:ram::1:role/shop", oidcProviderARN: "acs:ram::1:oidc-provider/cluster"}
stsEndpoint: %[1]q
regionId: cn-hangzhou
caFile: %[2]s
`, server.URL, ca)
	for path, data := range map[string][]byte{ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), config: []byte(text)} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config
}

func TestKubeletReadsWhatTheProviderWrites(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	config := cloud(t, now)
	token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"system:serviceaccount:shop:app"}`)) + ".c2lnbmF0dXJl"
	for image, want := range map[string]credentialprovider.CredentialProviderResponse{
		"shop.example.com/shop/app": {
			CacheKeyType: credentialprovider.RegistryPluginCacheKeyType, CacheDuration: &metav1.Duration{Duration: 30 * time.Minute},
			Auth: map[string]credentialprovider.AuthConfig{"shop.example.com": {Username: "cr_temp_user", Password: "Pass<word>&1"}},
		},
		"docker.io/library/nginx": {
			CacheKeyType: credentialprovider.RegistryPluginCacheKeyType, CacheDuration: &metav1.Duration{}, Auth: map[string]credentialprovider.AuthConfig{},
		},
	} {
		request := credentialprovider.CredentialProviderRequest{Image: image, ServiceAccountToken: token, ServiceAccountAnnotations: map[string]string{"example.com/<role>": "a \"b\"\n"}}
		if diff := cmp.Diff(want, *ask(t, config, &request, now)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", image, diff)
		}
	}
}
