package acr

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/pullkey/pullkey/internal/credential"
)

// The vectors were made with Alibaba Cloud's own signing code; the first is
// the sample of its documentation.
func TestTheSignatureIsTheVendors(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/acs3-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Method, Path           string
		Query, Headers               map[string]string
		AccessKeyID, AccessKeySecret string
		Authorization                string
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 5 {
		t.Fatalf("%d vectors; want 5", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			m := message{method: v.Method, path: v.Path, query: v.Query, header: v.Headers}
			key := credential.AccessKey{ID: v.AccessKeyID, Secret: credential.NewSecret(v.AccessKeySecret)}
			if got := m.authorization(key); got != v.Authorization {
				t.Errorf("got\n%s\nwant\n%s", got, v.Authorization)
			}
		})
	}
}
