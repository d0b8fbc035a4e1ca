package explain

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
	imagename "github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/keyring"
)

// Tried is what a registry answered to one login from one vantage.
type Tried struct {
	Who Who `json:"who"`
	// Secret, Key and Username are where the login stands, and whose it is; empty for nobody.
	Secret   string        `json:"secret,omitempty"`
	Key      string        `json:"key,omitempty"`
	Username string        `json:"username,omitempty"`
	Vantage  cause.Vantage `json:"vantage"`
	// Host is the registry.
	Host string `json:"host"`
	// Reach is where it ended: Done if all would come.
	Reach Reach `json:"reach"`
	// Stopped is what ended it; nil where nothing did.
	Stopped *Stopped `json:"stopped,omitempty"`
	// Plain tells that the registry was asked without TLS, which was allowed.
	Plain bool `json:"plain,omitempty"`
	// Scheme is how the registry wants to be asked, Bearer or Basic; empty where it lets
	// everybody in. Realm and Service are what a Bearer challenge names.
	Scheme  string   `json:"scheme,omitempty"`
	Realm   string   `json:"realm,omitempty"`
	Service string   `json:"service,omitempty"`
	Asked   []string `json:"asked,omitempty"`
	// Granted is left out where only the issuer can read its token.
	Granted []string `json:"granted,omitzero"`
	// Repository is "there" or "missing" where the registry tells which.
	Repository string `json:"repository,omitempty"`
	// Near are tags of the repository that look like the one that is missing.
	Near []string `json:"near,omitempty"`
	// Platforms are those of the index, and Platform the one of the image that was chosen.
	Platforms []string `json:"platforms,omitempty"`
	Platform  string   `json:"platform,omitempty"`
	Digest    string   `json:"digest,omitempty"`
	// Blobs is how much of the content was asked for, and would come.
	Blobs    int       `json:"blobs,omitempty"`
	TookMs   int       `json:"tookMs"`
	Requests []Request `json:"requests,omitempty"`
}

// Who asked.
type Who string

// Who there is.
const (
	// Nobody: without a login.
	Nobody Who = "nobody"
	// ByPod is the pod as it was admitted.
	ByPod Who = "pod"
	// ByAccount is its ServiceAccount as it is now.
	ByAccount Who = "serviceAccount"
	// BySecret is another Secret of the namespace.
	BySecret Who = "secret"
)

// Reach is how far a request for an image comes.
type Reach string

// The places where it ends, in their order.
const (
	AtDNS       Reach = "dns"
	AtTCP       Reach = "tcp"
	AtTLS       Reach = "tls"
	AtChallenge Reach = "challenge"
	AtToken     Reach = "token"
	AtScope     Reach = "scope"
	AtManifest  Reach = "manifest"
	AtPlatform  Reach = "platform"
	AtLayers    Reach = "layers"
	// Done: nothing ended it.
	Done Reach = "done"
)

// reaches are all, in order.
func reaches() []Reach {
	return []Reach{AtDNS, AtTCP, AtTLS, AtChallenge, AtToken, AtScope, AtManifest, AtPlatform, AtLayers, Done}
}

// Before tells whether one place comes before another.
func (r Reach) Before(other Reach) bool {
	return slices.Index(reaches(), r) < slices.Index(reaches(), other)
}

// Had tells whether the manifest came: the login, or nobody's asking, is good for the image.
func (t *Tried) Had() bool { return t.Digest != "" }

// Refused tells whether it was refused because of who asked.
func (t *Tried) Refused() bool {
	return t.Stopped != nil && !t.Had() && slices.Contains([]Obstacle{LoginNeeded, LoginRefused, NotGranted, Forbidden}, t.Stopped.Obstacle)
}

// Obstacle is what ends it.
type Obstacle string

// The obstacles.
const (
	NoHost           Obstacle = "noHost"           // there is no such name
	NobodyListens    Obstacle = "nobodyListens"    // the connection is refused
	NoAnswer         Obstacle = "noAnswer"         // not in time
	CutOff           Obstacle = "cutOff"           // the connection ends
	ProxyFails       Obstacle = "proxyFails"       // the proxy gives no connection
	UnknownCA        Obstacle = "unknownCA"        // who signed the certificate is not trusted
	WrongName        Obstacle = "wrongName"        // the certificate is another's
	NotValidNow      Obstacle = "notValidNow"      // the certificate has ended, or not begun
	NoTLS            Obstacle = "noTLS"            // it speaks plain HTTP
	WantsCertificate Obstacle = "wantsCertificate" // of the client
	NoRegistry       Obstacle = "noRegistry"       // a page for browsers
	BadChallenge     Obstacle = "badChallenge"     // no way to log in is named that a runtime knows
	BadRealm         Obstacle = "badRealm"         // what is named as the token server is none
	NotSent          Obstacle = "notSent"          // pullkey does not send a login there
	LoginNeeded      Obstacle = "loginNeeded"      // nobody gets nothing
	LoginRefused     Obstacle = "loginRefused"     // the user or the password is not taken
	PostRefused      Obstacle = "postRefused"      // a token is given to GET, and not to the runtime's POST
	NoToken          Obstacle = "noToken"          // not where the runtime looks for it
	TokenNotTaken    Obstacle = "tokenNotTaken"    // by the registry
	NotGranted       Obstacle = "notGranted"       // the token does not pull here
	Forbidden        Obstacle = "forbidden"        // HTTP 403
	NotThere         Obstacle = "notThere"         // HTTP 404
	TooMany          Obstacle = "tooMany"          // HTTP 429
	ServerFails      Obstacle = "serverFails"      // HTTP 5xx
	OldFormat        Obstacle = "oldFormat"        // schema 1
	TooBig           Obstacle = "tooBig"           // a manifest beyond 4 MiB
	BadManifest      Obstacle = "badManifest"      // it cannot be read, or is not what its digest says
	OtherPlatforms   Obstacle = "otherPlatforms"   // none for the node's
	Unclear          Obstacle = "unclear"
)

// Stopped is what ended it, where.
type Stopped struct {
	Obstacle Obstacle `json:"obstacle"`
	Status   int      `json:"status,omitempty"` // of HTTP
	Host     string   `json:"host,omitempty"`   // who answered so
	Text     string   `json:"text"`
}

// Request is one of a conversation, in short.
type Request struct {
	Method string `json:"method"`
	Host   string `json:"host"`
	Path   string `json:"path"`
	Status int    `json:"status,omitempty"` // 0 where no answer came
	TookMs int    `json:"tookMs"`
}

// Attempt is a login that is to be tried.
type Attempt struct {
	Who Who
	// Namespace and Secret are where the login stands; it is that of the entry.
	Namespace, Secret string
	Entry             keyring.Entry
}

// Attempts are the logins with which an image may be asked for, the pod's first, in
// kubelet's order: those of Secrets that the pod, or its ServiceAccount as it is now,
// names, of those that are named besides, and nobody. A login is for hosts that its own
// key matches. What the file of a ticket holds in the place of a password is none.
func (f *Facts) Attempts(image string, besides []string) []Attempt {
	parsed, err := imagename.Parse(image)
	if err != nil {
		return nil
	}
	repository := parsed.Host() + "/" + parsed.Repository()
	var all []Attempt
	seen := []string{""}
	add := func(who Who, names []string) {
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(seen, name) })
		read, _, _ := f.contents(names)
		for _, e := range keyring.Find(read, repository).Logins {
			if !e.Empty() && !Redacted(e.Password.Reveal()) {
				all = append(all, Attempt{who, f.Pod.Namespace, e.Secret, e})
			}
		}
		seen = append(seen, names...)
	}
	if _, static := f.Pod.Annotations[corev1.MirrorPodAnnotationKey]; !static {
		add(ByPod, references(f.Pod.Spec.ImagePullSecrets))
	}
	all = append(all, Attempt{Who: Nobody, Namespace: f.Pod.Namespace})
	if f.ServiceAccount != nil {
		add(ByAccount, references(f.ServiceAccount.ImagePullSecrets))
	}
	add(BySecret, besides)
	return all
}

// Withheld are the Secrets of the pod's whose login for the image is not in the file that
// they were read from.
func (f *Facts) Withheld(image string) []string {
	parsed, err := imagename.Parse(image)
	if err != nil {
		return nil
	}
	read, _, _ := f.contents(references(f.Pod.Spec.ImagePullSecrets))
	var names []string
	for _, e := range keyring.Find(read, parsed.Host()+"/"+parsed.Repository()).Logins {
		if Redacted(e.Password.Reveal()) && !slices.Contains(names, e.Secret) {
			names = append(names, e.Secret)
		}
	}
	return names
}
