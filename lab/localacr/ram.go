package localacr

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// Everything stands for all instances, repositories or actions.
const Everything = "*"

// RAMUser is somebody who may hold an access key.
type RAMUser struct {
	// Account is the uid of the account that the user is in; "" is ACR.Account.
	Account string
	// Name stands in the user's ARN, acs:ram::ACCOUNT:user/NAME.
	Name string
	// Grants say what the user, and each temporary user made for it, may do.
	Grants []Grant
	// API are the OpenAPI actions that the user may call; nil means all.
	API []string
	// Disabled makes the access key one that was switched off.
	Disabled bool
	// NotInitialized makes it a user who never opened the Personal Edition.
	NotInitialized bool
	// MayAssume lets the user call AssumeRole, for roles that trust the user.
	MayAssume bool
	// SessionUntil makes the access key a temporary one with a session token,
	// good until then, as AssumeRole gives out.
	SessionUntil time.Time
}

// Grant allows actions on repositories.
type Grant struct {
	// Instance is an instance id, "" for any Personal Edition, or Everything.
	Instance string
	// Repository is a repository, a namespace with all of its repositories
	// ("shop/*"), or Everything.
	Repository string
	// Actions are pull, push, delete, or Everything.
	Actions []string
}

func (g Grant) covers(i *instance) bool {
	return g.Instance == Everything || g.Instance == i.ID || g.Instance == "" && i.personal()
}

func (g Grant) matches(repository string) bool {
	if namespace, all := strings.CutSuffix(g.Repository, "*"); all && (namespace == "" || strings.HasSuffix(namespace, "/")) {
		return strings.HasPrefix(repository, namespace)
	}
	return g.Repository == repository
}

// ramUser is a RAMUser with its access key.
type ramUser struct {
	RAMUser
	arn string // of the user, or of the role
	id  string // the user's number, as it stands in passwords
	key credential.AccessKey
}

func (u *ramUser) mayCall(action string, i *instance) bool {
	allowed := u.API == nil || slices.Contains(u.API, action)
	return allowed && slices.ContainsFunc(u.Grants, func(g Grant) bool { return g.covers(i) })
}

// keyring holds the access keys.
type keyring struct {
	mu    sync.Mutex
	users map[string]*ramUser
}

func newKeyring() *keyring { return &keyring{users: map[string]*ramUser{}} }

// get returns a copy of the user whose key has the id.
func (k *keyring) get(id string) (ramUser, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	u, ok := k.users[id]
	if !ok {
		return ramUser{}, false
	}
	return *u, true
}

// AddAccessKey adds a RAM user and returns its new access key.
func (a *ACR) AddAccessKey(u RAMUser) credential.AccessKey {
	if u.Account == "" {
		u.Account = a.account
	}
	return a.addKey(u, "acs:ram::"+u.Account+":user/"+u.Name)
}

func (a *ACR) addKey(u RAMUser, arn string) credential.AccessKey {
	key := credential.AccessKey{
		ID:     "LTAI5t" + randomText(18, alphanumeric),
		Secret: credential.NewSecret(randomText(30, alphanumeric)),
	}
	if !u.SessionUntil.IsZero() {
		key.ID = "STS." + randomText(25, alphanumeric)
		key.SessionToken = credential.NewSecret("CAIS" + randomText(300, alphanumeric+"+/") + "==")
		key.ExpiresAt = u.SessionUntil
	}
	a.keys.mu.Lock()
	defer a.keys.mu.Unlock()
	a.keys.users[key.ID] = &ramUser{RAMUser: u, arn: arn, id: randomUID(), key: key}
	return key
}

// randomUID is the number of an account or a user.
func randomUID() string { return "1" + randomText(15, "0123456789") }

// DisableAccessKey switches an access key off, or on again. Temporary users
// that it was given stay until they expire.
func (a *ACR) DisableAccessKey(id string, disabled bool) {
	a.keys.mu.Lock()
	defer a.keys.mu.Unlock()
	if u, ok := a.keys.users[id]; ok {
		u.Disabled = disabled
	}
}
