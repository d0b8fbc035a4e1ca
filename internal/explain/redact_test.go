package explain_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/explain"
)

// What explain says of a capture is what it says of the cluster.
func TestTheDiagnosisOfWhatIsRedactedIsTheSame(t *testing.T) {
	t.Parallel()
	const image = host + "/a:1"
	auth := base64.StdEncoding.EncodeToString([]byte("bob:" + password))
	for name, f := range map[string]*explain.Facts{
		"a key":                    failing(image, anonymous, named(host+":443")...),
		"no base64":                failing(image, "illegal base64 data at input byte 4", holding(`{"auths":{"quay.io":{"auth":"`+auth[:4]+"_"+auth[5:]+`"}}}`), podNames("s")),
		"no colon":                 failing(image, "unable to parse auth field, must be formatted as base64(username:password)", holding(`{"auths":{"quay.io":{"auth":"`+base64.StdEncoding.EncodeToString([]byte(password))+`"}}}`), podNames("s")),
		"a list":                   failing(image, "json: cannot unmarshal array", holding(`{"auths":[`+`"`+password+`"]}`), podNames("s")),
		"a helper":                 failing(image, anonymous, holding(`{"auths":{"reg.example.com":{}},"credsStore":"desktop"}`), podNames("s")),
		"a token":                  failing(image, anonymous, holding(`{"auths":{"reg.example.com":{"identitytoken":"`+password+`"}}}`), podNames("s")),
		"white space":              failing(image, refused, holding(`{"auths":{"reg.example.com":{"username":"u","password":" `+password+`\n"}}}`), podNames("s")),
		"another type":             failing(image, anonymous, has("s", "Opaque", ".dockerconfigjson", document(host)), podNames("s")),
		"the form of another type": failing(image, anonymous, has("s", "kubernetes.io/dockercfg", ".dockercfg", document(host)), podNames("s")),
		"base64 made twice":        failing(image, anonymous, has("s", "Opaque", ".dockerconfigjson", base64.StdEncoding.EncodeToString([]byte(document(host)))), podNames("s")),
		"a number for a password":  failing(image, "json: cannot unmarshal number", holding(`{"auths":{"https://bob:`+password+`@quay.io":{"password":4711}}}`), podNames("s")),
		"an owner": failing(image, anonymous, holding(`{"auths":{"reg.example.com":{}}}`), podNames("s"), func(f *explain.Facts) {
			f.Secrets["s"].OwnerReferences = []metav1.OwnerReference{{Kind: "ExternalSecret", Name: "x"}}
		}),
		"no JSON at all": failing(image, anonymous, has("s", "Opaque", "password", password), podNames("s")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := explain.Pod(f, "")
			if err != nil || strings.Contains(fmt.Sprintf("%+v", want), password) {
				t.Fatalf("%v: %+v", err, want)
			}
			short := *f
			short.Secrets = map[string]*corev1.Secret{}
			for name, s := range f.Secrets {
				s.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: password}
				short.Secrets[name] = explain.Redact(s, []byte("a key"))
				for _, value := range short.Secrets[name].Data {
					if text := string(value); strings.Contains(text, password) || strings.Contains(text, "4711") || strings.Contains(text, auth[8:24]) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(password))[:12]) {
						t.Errorf("a secret is left in %s", text)
					}
				}
				if len(short.Secrets[name].Annotations) > 0 {
					t.Error("kubectl's copy of the object is left")
				}
			}
			got, err := explain.Pod(&short, "")
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v (-cluster +capture):\n%s", err, diff)
			}
		})
	}
}

func TestALoginInAKeyOrASignedURLIsNotShown(t *testing.T) {
	t.Parallel()
	said := backOff(`failed to copy: httpReadSeeker: failed open: failed to do request: Get "https://bucket.example.com/x?X-Amz-Signature=` + password + `&X-Amz-Security-Token=` + password + `": dial tcp 10.0.0.1:443: i/o timeout`)
	f := failing(host+"/a:1", said, named("https://bob:"+password+"@"+host+":8443")...)
	d, err := explain.Pod(f, "")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(d)
	if err != nil || strings.Contains(string(text), password) {
		t.Errorf("%v: %s", err, text)
	}
	for _, s := range f.Secrets {
		if value := string(explain.Redact(s, []byte("k")).Data[corev1.DockerConfigJsonKey]); strings.Contains(value, password) {
			t.Errorf("it is in the capture: %s", value)
		}
	}
}
