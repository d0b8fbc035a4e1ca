package explain

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Redact returns a Secret in which no secret is left and of which the diagnosis is the
// same: names of registries and users, what is empty and what is stray stay, and a
// password is replaced by a fingerprint under a key that nobody keeps. What is not a
// pull Secret's loses its values.
func Redact(s *corev1.Secret, key []byte) *corev1.Secret {
	short := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace, UID: s.UID, CreationTimestamp: s.CreationTimestamp, Labels: s.Labels, Annotations: Harmless(s.Annotations), OwnerReferences: s.OwnerReferences, ManagedFields: Writes(s.ManagedFields)},
		Type:       s.Type, Immutable: s.Immutable, Data: map[string][]byte{},
	}
	for name, value := range s.Data {
		switch {
		case len(value) == 0:
			short.Data[name] = nil
		case name == corev1.DockerConfigJsonKey || name == corev1.DockerConfigKey:
			short.Data[name] = redactDocument(value, key)
		default:
			short.Data[name] = []byte("redacted")
		}
	}
	return short
}

// Harmless are the annotations that the diagnosis reads; in others anything may stand,
// in kubectl's the whole object.
func Harmless(annotations map[string]string) map[string]string {
	kept := maps.Clone(annotations)
	maps.DeleteFunc(kept, func(key, _ string) bool {
		return !slices.ContainsFunc([]string{"pullkey.dev/", "meta.helm.sh/", "argocd.argoproj.io/"}, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
	})
	return kept
}

// Writes are who wrote an object, and when; of the fields those alone that a timeline
// names, since a name of another may be a person's.
func Writes(fields []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	var all []metav1.ManagedFieldsEntry
	for _, f := range fields {
		short := metav1.ManagedFieldsEntry{Manager: f.Manager, Operation: f.Operation, Subresource: f.Subresource, Time: f.Time}
		if field := part(&f); field != "" {
			short.FieldsV1 = metav1.NewFieldsV1(`{"f:` + strings.TrimPrefix(field, ": ") + `":{}}`)
		}
		all = append(all, short)
	}
	return all
}

// redactDocument replaces what is secret in a document of docker's. What is no
// document becomes none that says so.
func redactDocument(text, key []byte) []byte {
	var document any
	if inner, encode, ok := decoded(text); ok {
		return encode(redactDocument(inner, key))
	}
	if json.Unmarshal(text, &document) != nil {
		return []byte("redacted")
	}
	out, err := json.Marshal(redact(document, "", key))
	if err != nil {
		return []byte("redacted")
	}
	return out
}

// redact goes through a value. Of texts only those under names that are known to hold
// no secret stay.
func redact(value any, name string, key []byte) any {
	switch v := value.(type) {
	case map[string]any:
		short := map[string]any{}
		for field, inner := range v {
			short[withoutLogin(field)] = redact(inner, field, key)
		}
		return short
	case []any:
		for i := range v {
			v[i] = redact(v[i], name, key)
		}
	case float64:
		return 0 // a password need not be a text
	case string:
		switch strings.ToLower(name) {
		case "username", "credsstore":
			return v
		case "auth":
			return redactAuth(v, key)
		}
		return fingerprint(v, key)
	}
	return value
}

// withoutLogin is a key of auths without a login in it; kubelet does not read it.
func withoutLogin(key string) string { return strings.Replace(shown(key), "…@", "redacted@", 1) }

// redactAuth keeps the user name of base64(username:password), and of what is none the
// shape, so that kubelet's error stays the same.
func redactAuth(auth string, key []byte) string {
	encoding := base64.RawStdEncoding
	if strings.HasSuffix(strings.TrimSpace(auth), "=") {
		encoding = base64.StdEncoding
	}
	decoded, err := encoding.DecodeString(auth)
	user, password, found := strings.Cut(string(decoded), ":")
	switch {
	case err != nil:
		return strings.Map(func(r rune) rune {
			if r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
				return 'A'
			}
			return r
		}, auth)
	case !found:
		return encoding.EncodeToString([]byte("redacted"))
	}
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + fingerprint(password, key)))
}

// fingerprint tells one secret from another and nothing of it but the white space
// around it.
func fingerprint(secret string, key []byte) string {
	core := strings.TrimSpace(secret)
	if core == "" {
		return secret
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(core))
	before, after, _ := strings.Cut(secret, core)
	return before + "redacted-" + hex.EncodeToString(mac.Sum(nil))[:8] + after
}

var redactedText = regexp.MustCompile(`^\s*redacted-[0-9a-f]{8}\s*$`)

// Redacted tells whether a password is what Redact has put in the place of one.
func Redacted(password string) bool { return redactedText.MatchString(password) }
