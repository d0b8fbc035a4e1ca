package keyring

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/pullkey/pullkey/internal/credential"
)

// The two pairs of a Secret's type and key that kubelet reads, as in
// k8s.io/api/core/v1. It passes over any other without a word.
const (
	TypeDockerConfigJSON = "kubernetes.io/dockerconfigjson"
	KeyDockerConfigJSON  = ".dockerconfigjson"
	TypeDockercfg        = "kubernetes.io/dockercfg"
	KeyDockercfg         = ".dockercfg"
)

// Secret is what counts of a Secret.
type Secret struct {
	Name string
	Type string
	Data map[string][]byte
}

// Content is what kubelet finds in a Secret.
type Content struct {
	Secret string
	// Skipped tells that kubelet passes over the Secret: its type is not one of an
	// image pull Secret, or what goes with its type is not there or empty.
	Skipped bool
	// Problem is why kubelet cannot read it, in kubelet's own words, which it makes
	// the reason of the pod's containers: it then pulls no image of the pod at all.
	Problem string
	// Broken are the registries whose entries are the problem, where it is theirs.
	Broken []string
	// Entries are sorted by their key.
	Entries []Entry
	// Helpers tells that the logins are in a helper of docker's (credsStore,
	// credHelpers), which kubelet does not ask.
	Helpers bool
}

// Entry is the login for one registry in a Secret.
type Entry struct {
	Secret string
	// Key is the registry as it is written.
	Key string
	// Index is the registry as kubelet keeps it: host, port and path.
	Index string
	// Dropped is why kubelet leaves the entry out, in the words of the URL's
	// parser; only kubelet's log has them.
	Dropped  string
	Username string
	Password credential.Secret
	// Token tells that there is an identity token or a registry token, which
	// kubelet does not read.
	Token bool
}

// Read reads a Secret as kubelet does.
func Read(s Secret) Content {
	c := Content{Secret: s.Name}
	text, flat := s.Data[KeyDockerConfigJSON], false
	switch s.Type {
	case TypeDockerConfigJSON:
	case TypeDockercfg:
		text, flat = s.Data[KeyDockercfg], true
	default:
		text = nil
	}
	if len(text) == 0 {
		c.Skipped = true
		return c
	}
	entries, err := decode(text, flat)
	if err != nil {
		c.Problem, c.Broken = kubeletsWords(err), broken(text, flat)
		return c
	}
	if !flat {
		var rest struct{ CredsStore, CredHelpers any }
		_ = json.Unmarshal(text, &rest) // it was read as JSON already
		c.Helpers = rest.CredsStore != nil || rest.CredHelpers != nil
	}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		e := Entry{
			Secret: s.Name, Key: key, Username: entries[key].username,
			Password: credential.NewSecret(entries[key].password), Token: entries[key].token,
		}
		e.Index, e.Dropped = indexOf(key)
		c.Entries = append(c.Entries, e)
	}
	return c
}

// fields are those of an entry that kubelet reads. auth overrules user name and
// password; the email counts only as what must be a text too.
type fields struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Email    string `json:"email"`
	Auth     string `json:"auth"`
}

// login is an entry of the document.
type login struct {
	username, password string
	token              bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *login) UnmarshalJSON(text []byte) error {
	var f fields
	if err := json.Unmarshal(text, &f); err != nil {
		return err //nolint:wrapcheck // in the words that kubelet has it
	}
	*l = login{username: f.Username, password: f.Password}
	var tokens struct {
		IdentityToken, RegistryToken string
	}
	if json.Unmarshal(text, &tokens) == nil {
		l.token = tokens.IdentityToken != "" || tokens.RegistryToken != ""
	}
	if f.Auth == "" {
		return nil
	}
	var err error
	l.username, l.password, err = decodeAuth(f.Auth)
	return err
}

// decodeAuth takes apart base64(username:password): padded if it ends with "=".
func decodeAuth(auth string) (username, password string, err error) {
	encoding := base64.RawStdEncoding
	if strings.HasSuffix(strings.TrimSpace(auth), "=") {
		encoding = base64.StdEncoding
	}
	decoded, err := encoding.DecodeString(auth)
	if err != nil {
		return "", "", err //nolint:wrapcheck // in the words that kubelet has it
	}
	username, password, found := strings.Cut(string(decoded), ":")
	if !found {
		return "", "", errors.New("unable to parse auth field, must be formatted as base64(username:password)")
	}
	return username, password, nil
}

// document is that of the newer type. That kubelet looks at HttpHeaders counts
// only where they are of another shape.
type document struct {
	Auths       map[string]login  `json:"auths"`
	HTTPHeaders map[string]string `json:"HttpHeaders"` //nolint:tagliatelle // docker's word
}

func decode(text []byte, flat bool) (map[string]login, error) {
	if flat {
		var entries map[string]login
		err := json.Unmarshal(text, &entries)
		return entries, err //nolint:wrapcheck // in the words that kubelet has it
	}
	var d document
	err := json.Unmarshal(text, &d)
	return d.Auths, err //nolint:wrapcheck // in the words that kubelet has it
}

// broken returns the registries whose entries cannot be read, each looked at alone.
func broken(text []byte, flat bool) []string {
	entries := map[string]json.RawMessage{}
	err := json.Unmarshal(text, &entries)
	if !flat {
		var d struct {
			Auths map[string]json.RawMessage `json:"auths"`
		}
		err = json.Unmarshal(text, &d)
		entries = d.Auths
	}
	if err != nil {
		return nil
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if json.Unmarshal(entries[key], new(login)) != nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// kubeletsTypes are the names of kubelet's types by those of ours.
var kubeletsTypes = strings.NewReplacer(
	"keyring.document", "credentialprovider.DockerConfigJSON", "map[string]keyring.login", "credentialprovider.DockerConfig",
	"keyring.fields", "credentialprovider.dockerConfigEntryWithAuth",
)

// kubeletsWords is an error of decode as kubelet has it: an error of type names
// kubelet's own types.
func kubeletsWords(err error) string {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err.Error()
	}
	into := "value"
	if wrong.Struct != "" || wrong.Field != "" {
		owner := strings.TrimPrefix(kubeletsTypes.Replace("keyring."+wrong.Struct), "credentialprovider.")
		into = "struct field " + owner + "." + wrong.Field
	}
	return "json: cannot unmarshal " + wrong.Value + " into Go " + into + " of type " + kubeletsTypes.Replace(wrong.Type.String())
}

// indexOf returns the registry as kubelet keeps it: without scheme, without "/v1" or
// "/v2" where more follows, without anything behind the path.
func indexOf(key string) (index, dropped string) {
	if !strings.HasPrefix(key, "https://") && !strings.HasPrefix(key, "http://") {
		key = "https://" + key
	}
	u, err := url.Parse(key)
	if err != nil {
		if wrong, ok := errors.AsType[*url.Error](err); ok {
			err = wrong.Err // without the key, in which a password may stand
		}
		return "", err.Error()
	}
	path := u.Path
	if strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v2/") {
		path = path[len("/v1"):]
	}
	if path == "/" {
		path = ""
	}
	return u.Host + path, ""
}

// Stray tells whether user name or password begin or end with what nobody types: a
// space or the end of a line, which "echo" puts behind the password.
func (e Entry) Stray() bool {
	return trimmed(e.Username) || trimmed(e.Password.Reveal())
}

func trimmed(s string) bool { return strings.TrimFunc(s, unicode.IsSpace) != s }

// Empty tells whether the entry makes kubelet pull without a login although it
// matches: the runtime takes a login without a password for none.
func (e Entry) Empty() bool { return e.Password.Empty() }

func (e Entry) sameLogin(o Entry) bool {
	return e.Username == o.Username && e.Password.Equal(o.Password)
}
