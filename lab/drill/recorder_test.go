package drill

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/lab/cluster"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// recorder knows the passwords "old", which is good for an hour, "new", for two,
// and "dead", for none.
func recorder() *Recorder {
	return &Recorder{
		Identity: "pullkey", Home: "home", SecretName: "pull", Reads: []string{"system/key"},
		Mine: func(namespace string) bool { return namespace == "mine" },
		Lives: func(password string) (time.Time, bool) {
			until, known := map[string]time.Time{"old": noon.Add(time.Hour), "new": noon.Add(2 * time.Hour), "dead": noon.Add(-time.Hour)}[password]
			return until, known
		},
	}
}

// secret is a write of a pull Secret as the audit log shows it.
func secret(user string, version int, password string, edits ...string) cluster.AuditEvent {
	document := fmt.Sprintf(`{"auths":{"host":{"password":%q}}}`, password)
	o := map[string]any{
		"kind": "Secret", "type": "kubernetes.io/dockerconfigjson", "data": map[string][]byte{".dockerconfigjson": []byte(document)},
		"metadata": map[string]any{
			"namespace": "mine", "name": "pull", "uid": "s", "resourceVersion": fmt.Sprint(version), "managedFields": version,
			"labels":      map[string]any{"app.kubernetes.io/managed-by": "pullkey", "theirs": "kept"},
			"annotations": map[string]any{"pullkey.dev/namespace": "mine"},
		},
	}
	return event("secrets", "pull", user, version, o, edits)
}

// account is a write of a ServiceAccount.
func account(user string, version int, list []string, edits ...string) cluster.AuditEvent {
	names := []any{}
	for _, n := range list {
		names = append(names, map[string]any{"name": n})
	}
	o := map[string]any{
		"kind": "ServiceAccount", "imagePullSecrets": names,
		"metadata": map[string]any{"namespace": "mine", "name": "app", "uid": "a", "resourceVersion": fmt.Sprint(version)},
	}
	return event("serviceaccounts", "app", user, version, o, edits)
}

// event is a patch of the version before, unless an edit (path=value, to dots)
// says otherwise.
func event(resource, name, user string, version int, o map[string]any, edits []string) cluster.AuditEvent {
	of := fmt.Sprint(version - 1)
	for _, edit := range edits {
		path, value, _ := strings.Cut(edit, "=")
		if path == "of" {
			of = value
			continue
		}
		at, keys := o, strings.Split(path, ".")
		for _, key := range keys[:len(keys)-1] {
			at = at[key].(map[string]any)
		}
		if at[keys[len(keys)-1]] = value; value == "" {
			delete(at, keys[len(keys)-1])
		}
	}
	result, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return cluster.AuditEvent{
		Time: noon.Add(time.Duration(version) * time.Second), User: user, Verb: "patch", Resource: resource, Namespace: "mine", Name: name, Code: 200,
		Request: json.RawMessage(fmt.Sprintf(`[{"op":"replace","path":"/metadata/resourceVersion","value":%q}]`, of)), Result: result,
	}
}

// deletion is one of pullkey's.
func deletion(request string) cluster.AuditEvent {
	return cluster.AuditEvent{
		Time: noon, User: "pullkey", Verb: "delete", Resource: "secrets", Namespace: "mine", Name: "pull", Code: 200,
		Request: json.RawMessage(request), Result: json.RawMessage(`{"kind":"Status","details":{"uid":"s"}}`),
	}
}

func TestTheRecorderSeesWhatMustNotBe(t *testing.T) {
	t.Parallel()
	const precisely = `{"preconditions":{"uid":"s","resourceVersion":"1"}}`
	repeated := secret("pullkey", 1, "old")
	repeated.Request = json.RawMessage(`{"kind":"Secret"}`)
	overwritten := secret("pullkey", 2, "new")
	overwritten.Request = repeated.Request
	foreign := secret("somebody", 1, "old")
	foreign.Result = json.RawMessage(strings.Replace(string(foreign.Result), `"app.kubernetes.io/managed-by":"pullkey",`, "", 1))
	cut := account("somebody", 2, nil)
	cut.Code, cut.Result, cut.Ended = 504, nil, cut.Time.Add(time.Second)
	elsewhere := cut
	elsewhere.Name = "other"
	seen, unseen := account("somebody", 1, nil), account("pullkey", 3, []string{"mine", "pull"})
	for _, c := range []struct {
		name   string
		events []cluster.AuditEvent
		want   string // empty for nothing
	}{
		{"what a user's unanswered write has left is not known", []cluster.AuditEvent{seen, cut, unseen}, ""},
		{"another object's unanswered write excuses nothing", []cluster.AuditEvent{seen, elsewhere, unseen}, "does not name the version"},
		{"a Secret is made and renewed", []cluster.AuditEvent{secret("pullkey", 1, "old"), secret("pullkey", 2, "new")}, ""},
		{"what ended is replaced", []cluster.AuditEvent{secret("pullkey", 1, "dead"), secret("pullkey", 2, "new")}, ""},
		{"somebody's edit is undone", []cluster.AuditEvent{secret("pullkey", 1, "old"), secret("somebody", 2, "x"), secret("pullkey", 3, "old")}, ""},
		{"an answer stands in the log before an earlier one", []cluster.AuditEvent{secret("pullkey", 2, "new"), secret("pullkey", 1, "old")}, ""},
		{"a creation whose answer was lost is repeated", []cluster.AuditEvent{secret("pullkey", 1, "old"), repeated}, ""},
		{"ours is deleted", []cluster.AuditEvent{secret("pullkey", 1, "old"), deletion(precisely)}, ""},
		{"an entry comes and goes", []cluster.AuditEvent{account("somebody", 1, []string{"a"}), account("pullkey", 2, []string{"a", "pull"}), account("pullkey", 3, []string{"a"})}, ""},

		{"a working credential gets worse", []cluster.AuditEvent{secret("pullkey", 1, "new"), secret("pullkey", 2, "old")}, "its successor works until 13:00:00"},
		{"a working entry is taken away", []cluster.AuditEvent{secret("pullkey", 1, "new"), secret("pullkey", 2, "")}, "its successor works until 00:00:00"},
		{"a content comes back", []cluster.AuditEvent{secret("pullkey", 1, "dead"), secret("pullkey", 2, "old"), secret("pullkey", 3, "dead")}, "goes back to a content"},
		{"nothing is written", []cluster.AuditEvent{secret("pullkey", 1, "old"), secret("pullkey", 1, "old")}, "changed nothing"},
		{"somebody else's Secret is written", []cluster.AuditEvent{foreign, secret("pullkey", 2, "new")}, "what stood there was not pullkey's"},
		{"somebody else's Secret is deleted", []cluster.AuditEvent{foreign, deletion(precisely)}, "it was not pullkey's"},
		{"any version is deleted", []cluster.AuditEvent{secret("pullkey", 1, "old"), deletion(`{}`)}, "which version is meant"},
		{"any version is replaced", []cluster.AuditEvent{secret("pullkey", 1, "old"), secret("pullkey", 2, "new", "of=0")}, "does not name the version"},
		{"a creation changes what is there", []cluster.AuditEvent{secret("pullkey", 1, "old"), overwritten}, "does not name the version"},
		{"a user's label is lost", []cluster.AuditEvent{secret("pullkey", 1, "old"), secret("pullkey", 2, "new", "metadata.labels.theirs=")}, "the user's label theirs is lost"},
		{"another type", []cluster.AuditEvent{secret("pullkey", 1, "old", "type=Opaque")}, "of type Opaque"},
		{"an error in place of a credential", []cluster.AuditEvent{secret("pullkey", 1, "old", "data=")}, "no configuration of docker"},
		{"a user's entry is lost", []cluster.AuditEvent{account("somebody", 1, []string{"a"}), account("pullkey", 2, []string{"pull"})}, `the list was ["a"] and is ["pull"]`},
		{"the order is lost", []cluster.AuditEvent{account("somebody", 1, []string{"a", "b"}), account("pullkey", 2, []string{"b", "a", "pull"})}, "the list was"},
		{"twice the same", []cluster.AuditEvent{account("somebody", 1, []string{"pull"}), account("pullkey", 2, []string{"pull", "pull"})}, "the list was"},
		{"a user's field is lost", []cluster.AuditEvent{account("somebody", 1, nil, "automountServiceAccountToken=no"), account("pullkey", 2, []string{"pull"})}, "more than the list"},
		{"another namespace", []cluster.AuditEvent{{User: "pullkey", Verb: "patch", Resource: "serviceaccounts", Namespace: "other", Code: 403}}, "no business there"},
		{"another Secret", []cluster.AuditEvent{{User: "pullkey", Verb: "delete", Resource: "secrets", Namespace: "mine", Name: "other", Code: 403}}, "no business there"},
		{"a Secret of another name is read", []cluster.AuditEvent{{User: "pullkey", Verb: "get", Resource: "secrets", Namespace: "mine", Name: "other", Code: 200}}, "no business there"},
		{"Secrets of a longer name are watched", []cluster.AuditEvent{{User: "pullkey", Verb: "watch", Resource: "secrets", RequestURI: "/api/v1/secrets?fieldSelector=metadata.name%3Dpulling&watch=true", Code: 200}}, "no business there"},
		{"Secrets of our name are watched", []cluster.AuditEvent{{User: "pullkey", Verb: "watch", Resource: "secrets", RequestURI: "/api/v1/secrets?fieldSelector=metadata.name%3Dpull&watch=true", Code: 200}}, ""},
		{"a whole collection is deleted", []cluster.AuditEvent{{User: "pullkey", Verb: "deletecollection", Resource: "serviceaccounts", Namespace: "mine", Code: 403}}, "no business there"},
		{"a Secret that it is told to read", []cluster.AuditEvent{{User: "pullkey", Verb: "get", Resource: "secrets", Namespace: "system", Name: "key", Code: 200}}, ""},
		{"all Secrets", []cluster.AuditEvent{{User: "pullkey", Verb: "list", Resource: "secrets", RequestURI: "/api/v1/secrets", Code: 403}}, "no business there"},
	} {
		v := recorder().Judge(c.events)
		if c.want == "" && len(v.Broken) > 0 || c.want != "" && !strings.Contains(strings.Join(v.Broken, "\n"), c.want) {
			t.Errorf("%s: got %q, want %q", c.name, v.Broken, c.want)
		}
	}
}

func TestTheRecorderCounts(t *testing.T) {
	t.Parallel()
	refused := secret("pullkey", 9, "new")
	refused.Code = 409
	v := recorder().Judge([]cluster.AuditEvent{
		secret("pullkey", 1, "old"), secret("pullkey", 2, "new"), refused, deletion(`{"preconditions":{"uid":"s","resourceVersion":"2"}}`),
		account("somebody", 1, nil), account("pullkey", 2, []string{"pull"}),
	})
	if v.Writes != 4 || v.Replaced != 1 || v.Failed["patch secrets 409"] != 1 || v.Written["secrets mine/pull"] != 3 || v.Written["serviceaccounts mine/app"] != 1 || len(v.Passwords) != 2 {
		t.Errorf("got %+v", v)
	}
}
