// Package drill tries faults on the real program between a real API server and a
// local ACR: it is killed, its API server goes away, what it made is taken from
// it. Each fault is a test, in a short form with all other tests and in a long one
// for `make drill`.
//
// Its one rule: an independent recorder judges every write. It knows nothing of
// the controller but what the API server's audit log says that it wrote.
package drill

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pullkey/pullkey/lab/cluster"
)

// Recorder judges what the audit log shows of pullkey's writes to Secrets and
// ServiceAccounts. It needs cluster.Options.AuditResults.
type Recorder struct {
	Identity   string // who pullkey is
	Home       string // pullkey's own namespace
	SecretName string
	// Mine tells whether pullkey may ever have had to do with a namespace.
	Mine func(namespace string) bool
	// Lives tells until when a password is good; false where nobody has it.
	Lives func(password string) (time.Time, bool)
	// Reads are Secrets of others that it is told to read, as namespace/name.
	Reads []string
}

// Verdict is what the recorder found.
type Verdict struct {
	Writes    int                 // of pullkey's to Secrets and ServiceAccounts of others' namespaces
	Repeated  int                 // creations that were asked for once more, and found what was there
	Replaced  int                 // working entries that pullkey wrote over
	Failed    map[string]int      // writes that were refused, by verb, resource and status
	Broken    []string            // what must not be, oldest first
	Written   map[string]int      // pullkey's writes that went well, by resource and namespace/name
	Passwords map[string]struct{} // that stood in a pull Secret
	Unseen    int                 // writes after one that nobody saw the end of, whose object before is not known

	unanswered map[string][]cluster.AuditEvent // writes that may have been done or not, by resource and namespace/name
}

// life is one object, from its creation to its end, as it was after each write.
type life struct {
	resource, at string // at is namespace/name
	writes       []write
	deleted      []cluster.AuditEvent
}

type write struct {
	event   cluster.AuditEvent
	version uint64
	object  object
}

// object is what decides of a Secret or a ServiceAccount.
type object struct {
	Kind     string
	Metadata struct {
		Namespace, Name, UID, ResourceVersion string
		Labels, Annotations                   map[string]string
	}
	Type             string
	Immutable        bool
	Data             map[string][]byte
	ImagePullSecrets []struct{ Name string }
	whole            map[string]any // all of it, less what every write changes
}

// Judge looks at all of it.
func (r *Recorder) Judge(events []cluster.AuditEvent) Verdict {
	v := Verdict{Failed: map[string]int{}, Written: map[string]int{}, Passwords: map[string]struct{}{}, unanswered: map[string][]cluster.AuditEvent{}}
	lives := map[string]*life{}
	for _, e := range events {
		if e.User == r.Identity && !r.business(e) {
			v.broken(e, "pullkey has no business there")
		}
		if (e.Resource == "secrets" || e.Resource == "serviceaccounts") && e.Sub == "" && writes(e.Verb) && !strings.Contains(e.RequestURI, "dryRun=All") {
			r.write(&v, lives, e)
		}
	}
	for _, uid := range slices.Sorted(maps.Keys(lives)) {
		r.judge(&v, lives[uid])
	}
	return v
}

// write notes one write.
func (r *Recorder) write(v *Verdict, lives map[string]*life, e cluster.AuditEvent) {
	if e.Code >= 500 { // who asked was killed, or did not wait
		of := e.Resource + " " + e.Namespace + "/" + e.Name
		v.unanswered[of] = append(v.unanswered[of], e)
	}
	switch {
	case e.Code < 300 && e.Verb == "delete":
		r.deletion(v, lives, e)
	case e.Code < 300:
		r.note(v, lives, e)
	case e.User == r.Identity && r.outside(e):
		v.Failed[fmt.Sprintf("%s %s %d", e.Verb, e.Resource, e.Code)]++
	}
}

func writes(verb string) bool {
	return slices.Contains([]string{"create", "update", "patch", "delete"}, verb)
}

func (r *Recorder) outside(e cluster.AuditEvent) bool {
	return e.Resource == "serviceaccounts" || e.Name == r.SecretName || e.Namespace != r.Home
}

func (v *Verdict) broken(e cluster.AuditEvent, what string, args ...any) {
	v.Broken = append(v.Broken, fmt.Sprintf("%s %s %s %s/%s: ", e.Time.Format("15:04:05.000"), e.Verb, e.Resource, e.Namespace, e.Name)+fmt.Sprintf(what, args...))
}

// business tells whether pullkey has any with a request: it reads Secrets by name
// alone, and writes what is its own, and in namespaces that are served its Secret
// and the ServiceAccounts' lists.
func (r *Recorder) business(e cluster.AuditEvent) bool {
	switch {
	case e.Verb == "deletecollection":
		return false
	case !writes(e.Verb):
		return e.Resource != "secrets" || e.Namespace == r.Home || e.Name == r.SecretName || slices.Contains(r.Reads, e.Namespace+"/"+e.Name) ||
			strings.Contains(e.RequestURI, "fieldSelector="+url.QueryEscape("metadata.name="+r.SecretName)+"&")
	case e.Resource == "events", e.Namespace == r.Home:
		return true
	case !r.Mine(e.Namespace):
		return false
	case e.Resource == "secrets":
		return e.Name == r.SecretName && (e.Verb == "patch" || e.Verb == "delete")
	}
	return e.Resource == "serviceaccounts" && e.Verb == "patch"
}

// note adds what an object is after a write.
func (r *Recorder) note(v *Verdict, lives map[string]*life, e cluster.AuditEvent) {
	o, err := decode(e.Result)
	if err != nil {
		v.broken(e, "its result cannot be read: %v", err)
		return
	}
	version, err := strconv.ParseUint(o.Metadata.ResourceVersion, 10, 64)
	if err != nil {
		v.broken(e, "its result has version %q", o.Metadata.ResourceVersion)
		return
	}
	uid := o.Metadata.UID
	if lives[uid] == nil {
		lives[uid] = &life{resource: e.Resource, at: o.Metadata.Namespace + "/" + o.Metadata.Name}
	}
	e.Namespace, e.Name = o.Metadata.Namespace, o.Metadata.Name // a create does not name it
	lives[uid].writes = append(lives[uid].writes, write{e, version, o})
}

func decode(text json.RawMessage) (object, error) {
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		return o, err
	}
	if o.Metadata.UID == "" {
		return o, fmt.Errorf("it is %.100q", text)
	}
	if err := json.Unmarshal(text, &o.whole); err != nil {
		return o, err
	}
	if metadata, ok := o.whole["metadata"].(map[string]any); ok {
		delete(metadata, "managedFields")
		delete(metadata, "resourceVersion")
	}
	return o, nil
}

// deletion is of the very version that was read, where it is pullkey's. The end of
// a namespace deletes collections, which are nobody's here.
func (r *Recorder) deletion(v *Verdict, lives map[string]*life, e cluster.AuditEvent) {
	var of struct{ Details struct{ UID string } }
	_ = json.Unmarshal(e.Result, &of) // an object that is returned has no such field
	if l := lives[of.Details.UID]; l != nil {
		l.deleted = append(l.deleted, e)
	}
	if e.User != r.Identity {
		return
	}
	var asked struct {
		Preconditions struct{ UID, ResourceVersion string }
	}
	if err := json.Unmarshal(e.Request, &asked); err != nil || asked.Preconditions.UID == "" || asked.Preconditions.ResourceVersion == "" {
		v.broken(e, "it does not say which version is meant")
	}
}

// judge follows one object through its life.
func (r *Recorder) judge(v *Verdict, l *life) {
	slices.SortStableFunc(l.writes, func(a, b write) int { return cmp.Compare(a.version, b.version) })
	var before *object
	var own []string // contents that pullkey has written since somebody else did
	for i := range l.writes {
		w := &l.writes[i]
		if w.event.User != r.Identity {
			before, own = &w.object, nil
			continue
		}
		if !r.outside(w.event) {
			continue
		}
		if i > 0 && w.version == l.writes[i-1].version {
			r.nothing(v, w)
			continue
		}
		if before != nil && v.unsure(l, i) && !names(w.event, before.Metadata.ResourceVersion) {
			before, own = nil, nil
			v.Unseen++
		}
		v.Writes++
		v.Written[l.resource+" "+l.at]++
		if l.resource == "serviceaccounts" {
			r.account(v, w, before)
		} else {
			r.secret(v, w, before)
			own = forth(v, w, before, own)
		}
		before = &w.object
	}
	r.end(v, l, before)
}

// unsure tells whether somebody's unanswered write may have come between a write
// and the one before.
func (v *Verdict) unsure(l *life, i int) bool {
	return i > 0 && slices.ContainsFunc(v.unanswered[l.resource+" "+l.at], func(e cluster.AuditEvent) bool {
		return e.Ended.After(l.writes[i-1].event.Time) && e.Time.Before(l.writes[i].event.Time)
	})
}

// nothing judges a write that changed nothing. Only a creation may be such a one:
// its answer was lost, with the API server or with the program, and it is asked for
// again by an apply, which does no more than to find what is there.
func (r *Recorder) nothing(v *Verdict, w *write) {
	if bytes.HasPrefix(bytes.TrimSpace(w.event.Request), []byte("[")) || !r.ours(w.object) {
		v.broken(w.event, "it changed nothing")
		return
	}
	v.Repeated++
}

// forth tells of a content that pullkey had replaced and that comes back. It returns
// those that pullkey has written so far.
func forth(v *Verdict, w *write, before *object, own []string) []string {
	content := fmt.Sprintf("%q", w.object.Data)
	if before != nil && slices.Contains(own, content) && fmt.Sprintf("%q", before.Data) != content {
		v.broken(w.event, "it goes back to a content that it had replaced")
	}
	return append(own, content)
}

// end judges deletions; before is what stood there.
func (r *Recorder) end(v *Verdict, l *life, before *object) {
	for _, e := range l.deleted {
		if e.User != r.Identity || !r.outside(e) {
			continue
		}
		v.Writes++
		v.Written[l.resource+" "+l.at]++
		if before != nil && !r.ours(*before) {
			v.broken(e, "it was not pullkey's")
		}
	}
}

// ours tells by the marks of a Secret that pullkey made it where it stands.
func (r *Recorder) ours(o object) bool {
	return o.Metadata.Labels["app.kubernetes.io/managed-by"] == "pullkey" && o.Metadata.Annotations["pullkey.dev/namespace"] == o.Metadata.Namespace
}

// secret judges a write of pullkey's to a Secret. before is what stood there, nil
// for nothing.
func (r *Recorder) secret(v *Verdict, w *write, before *object) {
	now, e := w.object, w.event
	switch {
	case !r.ours(now):
		v.broken(e, "what is written is not marked as pullkey's")
	case now.Type != "kubernetes.io/dockerconfigjson" || len(now.Data) != 1:
		v.broken(e, "what is written is of type %s with %d keys", now.Type, len(now.Data))
	}
	entries, err := entries(now)
	if err != nil {
		v.broken(e, "what is written is no configuration of docker: %v", err)
	}
	for _, password := range entries {
		v.Passwords[password] = struct{}{}
	}
	if before == nil {
		return
	}
	if !r.ours(*before) {
		v.broken(e, "what stood there was not pullkey's")
	}
	if !names(e, before.Metadata.ResourceVersion) {
		v.broken(e, "it does not name the version that it replaces")
	}
	if before.Metadata.UID != now.Metadata.UID {
		v.broken(e, "its UID changed")
	}
	kept(v, e, before.Metadata.Labels, now.Metadata.Labels, "label")
	kept(v, e, before.Metadata.Annotations, now.Metadata.Annotations, "annotation")
	r.better(v, e, *before, entries)
}

// better tells of an entry that works no longer, or for a shorter time, than the
// one that it replaced.
func (r *Recorder) better(v *Verdict, e cluster.AuditEvent, before object, now map[string]string) {
	old, err := entries(before)
	if err != nil {
		return // somebody had spoilt it
	}
	for host, password := range old {
		until, known := r.Lives(password)
		if !known || !until.After(e.Time) {
			continue // it was dead, or nobody's
		}
		v.Replaced++
		if then, known := r.Lives(now[host]); !known || then.Before(until) {
			v.broken(e, "the entry for %s worked until %s, and its successor works until %s", host, until.Format(time.TimeOnly), then.Format(time.TimeOnly))
		}
	}
}

// entries are the passwords of a pull Secret, by host.
func entries(o object) (map[string]string, error) {
	var document struct {
		Auths map[string]struct{ Password string }
	}
	if err := json.Unmarshal(o.Data[".dockerconfigjson"], &document); err != nil {
		return nil, err
	}
	of := map[string]string{}
	for host, e := range document.Auths {
		of[host] = e.Password
	}
	return of, nil
}

// kept tells of what was the user's and is gone or changed.
func kept(v *Verdict, e cluster.AuditEvent, before, now map[string]string, what string) {
	for key, value := range before {
		if !strings.HasPrefix(key, "pullkey.dev/") && key != "app.kubernetes.io/managed-by" && now[key] != value {
			v.broken(e, "the user's %s %s is lost", what, key)
		}
	}
}

// names tells whether a patch is of the version.
func names(e cluster.AuditEvent, version string) bool {
	var operations []struct {
		Op, Path string
		Value    any
	}
	if json.Unmarshal(e.Request, &operations) != nil {
		return false
	}
	for _, o := range operations {
		if o.Path == "/metadata/resourceVersion" && o.Op == "replace" && o.Value == version {
			return true
		}
	}
	return false
}

// account judges a write of pullkey's to a ServiceAccount: its own entry comes at
// the end or goes, and nothing else moves.
func (r *Recorder) account(v *Verdict, w *write, before *object) {
	e := w.event
	if before == nil {
		return // it was born before the recorder looked
	}
	if !names(e, before.Metadata.ResourceVersion) {
		v.broken(e, "it does not name the version that it replaces")
	}
	had, has := list(*before), list(w.object)
	without := slices.DeleteFunc(slices.Clone(had), func(name string) bool { return name == r.SecretName })
	added := !slices.Contains(had, r.SecretName) && slices.Equal(has, append(slices.Clone(had), r.SecretName))
	removed := len(without) < len(had) && slices.Equal(has, without)
	if !added && !removed {
		v.broken(e, "the list was %q and is %q", had, has)
	}
	old, now := maps.Clone(before.whole), maps.Clone(w.object.whole)
	delete(old, "imagePullSecrets")
	delete(now, "imagePullSecrets")
	if !reflect.DeepEqual(old, now) {
		v.broken(e, "more than the list has changed: %s and %s", text(old), text(now))
	}
}

func text(o map[string]any) []byte {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(o) // it came from JSON
	return bytes.TrimSpace(b.Bytes())
}

func list(o object) []string {
	var names []string
	for _, s := range o.ImagePullSecrets {
		names = append(names, s.Name)
	}
	return names
}
