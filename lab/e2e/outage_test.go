package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	clients "github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/localacr"
)

var update = flag.Bool("update", false, "write the golden files anew")

// outage takes the cloud's APIs away for two lives of a credential, with a
// restart of the controller in the middle. The registries and their token
// servers go on, as they did in the outages that users tell of.
func (n *node) outage(t *testing.T) {
	const life = 60 * time.Second
	o := &office{plane: n.plane, acr: n.ACR, client: n.HTTP()}
	before, during, after := "outage-"+n.tag, "outage-during-"+n.tag, "outage-after-"+n.tag
	if err := n.ACR.Faults().Set(localacr.Fault{Kind: localacr.Lifetime, Lifetime: life}); err != nil {
		t.Fatal(err)
	}
	defer n.ACR.Faults().Clear()
	o.configure(t, with(o.config("default", before, during, after), "service-account", "*", "expiring-threshold", "30s"))
	o.setAccessKey(t, n.ACR.AddAccessKey(everything)) // has it fetch at once
	n.runs(t, n.applyPod(t, before, n.image))
	n.endsWithin(t, o, "default", life)
	ends := n.endsWithin(t, o, before, life)
	settled := time.Now()
	n.shows(t, "healthy")

	n.restoredAtTheEnd(t, func(context.Context) error { return n.ACR.StartCloud() })
	if err := n.ACR.StopCloud(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	n.runs(t, n.applyPod(t, during, n.image))
	n.shows(t, "degraded")
	n.StopController()
	n.start(t)
	// A restart forgets nothing: a namespace made now is served from what is left.
	third := "outage-restarted-" + n.tag
	o.configure(t, with(o.config("default", before, during, after, third), "service-account", "*", "expiring-threshold", "30s"))
	n.runs(t, n.applyPod(t, third, n.image))
	if late := time.Since(ends); late > 0 {
		t.Fatalf("this machine is too slow for the drill: the credential ended %s ago", late)
	}

	n.plane.eventually(t, "the entries that the registry refuses are dropped", func(ctx context.Context) error {
		_, entries, err := o.pullSecret(ctx, before)
		if err == nil && len(entries) > 0 {
			err = fmt.Errorf("it has %q", slices.Collect(maps.Keys(entries)))
		}
		return err
	})
	if early := time.Until(ends); early > 0 {
		t.Errorf("they were dropped %s before the end", early)
	}
	n.shows(t, "expired")
	waiting := n.applyPod(t, after, n.image)
	over := time.NewTimer(2*life - time.Since(began))
	defer over.Stop()
	select {
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	case <-over.C:
	}

	if err := n.ACR.StartCloud(); err != nil {
		t.Fatal(err)
	}
	n.isFreshAtOnce(t, o, before, during, third)
	n.runs(t, waiting) // by itself
	n.neverWorse(t, settled, "default", before, during, third)
}

// isFreshAtOnce waits until the Secrets of the namespaces work again, which must
// not take longer than five seconds from the cloud's return, which is now.
func (n *node) isFreshAtOnce(t *testing.T, o *office, namespaces ...string) {
	t.Helper()
	back := time.Now()
	var seen time.Time
	n.plane.eventually(t, "everything is fresh", func(ctx context.Context) (err error) {
		seen, err = n.worksWhenSeen(ctx, o, namespaces...)
		return err
	})
	took := seen.Sub(back)
	t.Logf("everything was fresh %s after the cloud's return", took.Round(10*time.Millisecond))
	if took > 5*time.Second {
		t.Error("that is more than 5s")
	}
}

// worksWhenSeen reads the Secrets of the namespaces, and returns when it had
// read them all if the credentials in them work; to try those takes its time.
func (n *node) worksWhenSeen(ctx context.Context, o *office, namespaces ...string) (time.Time, error) {
	all := map[string]map[string]entry{}
	for _, namespace := range namespaces {
		_, entries, err := o.pullSecret(ctx, namespace)
		if err != nil {
			return time.Time{}, err
		}
		all[namespace] = entries
	}
	seen := time.Now()
	for namespace, entries := range all {
		for _, i := range n.ACR.Instances() {
			e, ok := entries[i.Hosts[0]]
			if !ok {
				return time.Time{}, fmt.Errorf("namespace %s: there is none for %s", namespace, i.Hosts[0])
			}
			if err := o.opens(ctx, i, i.Hosts[0], e); err != nil {
				return time.Time{}, fmt.Errorf("namespace %s: %w", namespace, err)
			}
		}
	}
	return seen, nil
}

// endsWithin waits until the namespace's Secret ends within life, and returns
// when.
func (n *node) endsWithin(t *testing.T, o *office, namespace string, life time.Duration) time.Time {
	t.Helper()
	var ends time.Time
	n.plane.eventually(t, "the Secret of "+namespace+" is of the short kind", func(ctx context.Context) error {
		secret, _, err := o.pullSecret(ctx, namespace)
		if err != nil {
			return err
		}
		ends, err = time.Parse(time.RFC3339, secret.Annotations["pullkey.dev/expires-at"])
		if err == nil && time.Until(ends) > life {
			err = errors.New("it still lives long")
		}
		return err
	})
	return ends
}

// neverWorse looks at every write in namespaces that are watched that the API server
// recorded since then, and asks the local ACR, who knows: an entry that worked when
// it was written over was followed by one that works no shorter.
func (n *node) neverWorse(t *testing.T, since time.Time, watched ...string) {
	t.Helper()
	stands := map[string]map[string]entry{}
	writes, replaced := 0, 0
	for _, e := range n.writes(t) {
		if e.User != identity && e.Verb != "delete" { // a namespace's end deletes too
			t.Errorf("%s wrote Secret %s/%s", e.User, e.Namespace, e.Name)
			continue
		}
		if !slices.Contains(watched, e.Namespace) {
			continue // one that is watched no more loses its Secret
		}
		next := written(t, e)
		if e.Time.Before(since) {
			stands[e.Namespace] = next
			continue
		}
		writes++
		for host, old := range stands[e.Namespace] {
			until, known := n.ACR.LivesUntil(old.Password)
			if !known || !until.After(e.Time) {
				continue // it was dead already
			}
			replaced++
			if then, ok := n.ACR.LivesUntil(next[host].Password); !ok || then.Before(until) {
				t.Errorf("%s: %s of Secret %s/%s worked until %s and was replaced by one that works until %s",
					e.Time.Format(time.RFC3339), host, e.Namespace, e.Name, until.Format(time.RFC3339), then.Format(time.RFC3339))
			}
		}
		stands[e.Namespace] = next
	}
	t.Logf("%d writes were looked at, and %d working entries that they replaced", writes, replaced)
	if replaced == 0 {
		t.Error("nothing was recorded that could have become worse")
	}
}

// writes are those of pull Secrets that the API server recorded.
func (n *node) writes(t *testing.T) []cluster.AuditEvent {
	t.Helper()
	all, err := n.Cluster.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(e cluster.AuditEvent) bool {
		wrote := slices.Contains([]string{"create", "update", "patch", "delete"}, e.Verb)
		return e.Resource != "secrets" || e.Name != secretName || e.Code >= 300 || !wrote
	})
}

// written returns the entries that a write leaves.
func written(t *testing.T, e cluster.AuditEvent) map[string]entry {
	t.Helper()
	if e.Verb == "delete" {
		return nil
	}
	type data map[string][]byte
	var content data
	var operations []struct {
		Path  string
		Value json.RawMessage
	}
	var object struct{ Data data }
	if json.Unmarshal(e.Request, &operations) == nil {
		for _, o := range operations {
			if o.Path == "/data" {
				if err := json.Unmarshal(o.Value, &content); err != nil {
					t.Fatal(err)
				}
			}
		}
	} else if err := json.Unmarshal(e.Request, &object); err == nil {
		content = object.Data
	}
	var document struct{ Auths map[string]entry }
	if err := json.Unmarshal(content[corev1.DockerConfigJsonKey], &document); err != nil {
		t.Fatalf("a write to Secret %s/%s cannot be read: %v", e.Namespace, e.Name, err)
	}
	return document.Auths
}

// legacy brings a configuration of 2019: hosts with a star for the region, which
// kubelet alone understands.
func (n *node) legacy(t *testing.T) {
	namespace := "legacy-" + n.tag
	var host string
	for _, i := range n.ACR.Instances() {
		if i.ID == "" {
			host = i.Hosts[0]
		}
	}
	image, err := n.Push(t.Context(), host, "legacy-"+n.tag+"/app")
	if err != nil {
		t.Fatal(err)
	}
	o := &office{plane: n.plane, acr: n.ACR, client: n.HTTP()}
	n.StopController()
	o.configure(t, map[string]string{
		"acr-api-version": "v1", "acr-registry": "registry.*.aliyuncs.com,registry-vpc.*.aliyuncs.com",
		"watch-namespace": namespace, "service-account": "“*”",
	})
	n.start(t, "--region=cn-shanghai")
	n.runs(t, n.applyPod(t, namespace, image))
	_, entries, err := o.pullSecret(t.Context(), namespace)
	if hosts := slices.Sorted(maps.Keys(entries)); err != nil || strings.Join(hosts, " ") != "registry-vpc.*.aliyuncs.com registry.*.aliyuncs.com" {
		t.Errorf("the Secret has the hosts %q (%v)", hosts, err)
	}
}

var (
	moments   = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	durations = regexp.MustCompile(`\b(in |for )?(\d+h)?(\d+m)?\d+s( ago)?\b|\bjust now\b|\bnow\b`)
	counts    = regexp.MustCompile(`(namespaces +)\d+`) // they may lag a minute behind
	spaces    = regexp.MustCompile(` +\n`)
	leaving   = regexp.MustCompile(`(?m)^ +\d+ not watched any more, [^\n]+\n[^\n]*stays until [^\n]*\n`)
)

// program returns the path of pullkey, which is built once.
func (n *node) program(t *testing.T) string {
	t.Helper()
	if n.cli == "" {
		path, err := clients.BuildPullkey(t.Context(), root, n.Dir, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		n.cli = path
	}
	return n.cli
}

// shows holds what pullkey status prints to a golden file, in which moments and
// names that differ from run to run have words.
func (n *node) shows(t *testing.T, state string) {
	t.Helper()
	golden := filepath.Join("testdata", "status-"+state+".golden")
	want, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	var got string
	n.plane.eventually(t, "pullkey status shows a lab that is "+state, func(ctx context.Context) error {
		// By kubeconfig, as a person does; the forwarder is on the host.
		cmd := exec.CommandContext(ctx, n.program(t), "status", "--kubeconfig", n.Cluster.Kubeconfig())
		out, err := cmd.CombinedOutput()
		if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed || ctx.Err() != nil {
			return fmt.Errorf("%w; before it printed\n%s", err, got)
		}
		got = n.masked(string(out)) + fmt.Sprintf("exit code %d\n", cmd.ProcessState.ExitCode())
		if *update && strings.Contains(got, map[string]string{"healthy": "exit code 0", "degraded": "2 of 2 credentials are degraded", "expired": "2 of 2 credentials are refused"}[state]) {
			return nil
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// masked replaces what differs from run to run.
func (n *node) masked(text string) string {
	text = strings.NewReplacer(n.ACR.Instances()[0].ID, "cri-demo", n.tag, "TAG").Replace(text)
	text = counts.ReplaceAllString(text, "${1}N")
	text = leaving.ReplaceAllString(text, "") // what earlier steps have let go while pods ran there
	text = durations.ReplaceAllString(moments.ReplaceAllString(text, "MOMENT"), "DURATION")
	return spaces.ReplaceAllString(regexp.MustCompile(`controller \S+`).ReplaceAllString(text, "controller VERSION"), "\n")
}
