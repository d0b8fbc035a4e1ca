package acrconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// Settings is what the ConfigMap says. It survives encoding/json, but for the
// secrets.
type Settings struct {
	// Instances are in the order of the ConfigMap. None is there twice in the
	// name of the same identity, and no two give one host to one namespace.
	Instances []Instance
	// Namespaces are those to keep a pull secret in.
	Namespaces Names
	// ServiceAccounts are those to attach it to, in each of the namespaces.
	ServiceAccounts Names
	// ExpiringThreshold is the remaining life below which to renew.
	ExpiringThreshold time.Duration
	// NotifyEmail goes into the email field of the pull secret.
	NotifyEmail string
	// RRSA tells whether roles may be assumed with the pod's OIDC token.
	// While it is off, no instance has such a role.
	RRSA bool
	// Webhook is what the vendor's webhook would do.
	Webhook Webhook
}

// Names is a list of names, sorted and each once, or all there are.
type Names struct {
	All  bool
	List []string
}

// Webhook is the key webhook-configuration. It is zero unless it is enabled.
type Webhook struct {
	Enable bool
	// Fail tells whether ServiceAccounts are refused while it does not answer.
	Fail    bool
	Timeout time.Duration
}

// Values are the values of the chart that would make an installed webhook what is
// asked for; none where it is so already, and for the vendor's default of a time,
// which nobody has asked for.
func (w Webhook) Values(fail bool, timeout time.Duration) []string {
	var values []string
	if w.Fail && !fail {
		values = append(values, "webhook.failurePolicy=Fail")
	}
	if w.Enable && w.Timeout != defaultWebhookTimeout && w.Timeout != timeout {
		values = append(values, fmt.Sprintf("webhook.timeoutSeconds=%d", int(w.Timeout.Seconds())))
	}
	return values
}

// Instance is a registry to obtain credentials for, and in whose name.
type Instance struct {
	// ID is empty for the Personal Edition; crpi-… is a Personal instance of
	// the kind made since September 2024, cri-… an Enterprise instance.
	ID, Region string
	// Domains are the hosts to serve, sorted and each once; none means all of
	// the instance. Those of a Personal instance may have "*" in their region,
	// as kubelet understands it.
	Domains []string
	// Namespaces are those that get the credential, sorted and each once; none
	// means all that are watched.
	Namespaces []string
	// Endpoint is the API endpoint to use instead of the region's, as a URL
	// without a path; may be empty.
	Endpoint string
	// AssumeRoleARN is the role to take on top of any other identity,
	// RRSARoleARN the one to take with an OIDC token. RRSAProviderARN may be
	// empty beside it: then the pod's environment names the provider.
	AssumeRoleARN, RRSARoleARN, RRSAProviderARN string
	// ExpireDuration is how long a role is taken for; 0 means the default.
	ExpireDuration time.Duration
	// AccessKey stands in clear in the ConfigMap. AccessKeyFrom is the name of
	// a Secret in pullkey's namespace. At most one of them is given.
	AccessKey     credential.AccessKey
	AccessKeyFrom string
}

// WithoutSecrets returns settings that may be written down.
func (s Settings) WithoutSecrets() Settings {
	s.Instances = slices.Clone(s.Instances)
	for i := range s.Instances {
		s.Instances[i].AccessKey = credential.AccessKey{ID: s.Instances[i].AccessKey.ID}
	}
	return s
}

// written is an instance in JSON: of the access key only the id.
type written struct {
	plain
	AccessKey string
}

type plain Instance

// MarshalJSON leaves the secrets out.
func (i Instance) MarshalJSON() ([]byte, error) {
	return json.Marshal(written{plain(i), i.AccessKey.ID})
}

// UnmarshalJSON takes nothing that MarshalJSON does not write.
func (i *Instance) UnmarshalJSON(data []byte) error {
	var w written
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&w); err != nil {
		return err
	}
	*i = Instance(w.plain)
	i.AccessKey = credential.AccessKey{ID: w.AccessKey}
	return nil
}
