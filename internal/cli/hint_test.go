package cli

import "testing"

func TestALoginInAHintCanBePasted(t *testing.T) {
	t.Parallel()
	flags := conversationFlags{caFile: "my ca.pem", realms: []string{"auth.io"}, plainHTTP: true, loginsFlags: loginsFlags{"it's.json"}}
	const given = ` --plain-http --ca-file 'my ca.pem' --allow-realm auth.io --auth-file 'it'\''s.json'`
	if got := flags.again(); got != given {
		t.Errorf("the flags are %s; want %s", got, given)
	}
	for _, c := range []struct{ name, hint, want string }{
		{"at the end", "log in first: pullkey login reg.io", "log in first: pullkey login reg.io" + given},
		{"with a flag", "pullkey login reg.io:5000 --keep-password", "pullkey login reg.io:5000" + given + " --keep-password"},
		{"brackets are signs of a shell", "pullkey login [fd00::1]:5000", "pullkey login '[fd00::1]:5000'" + given},
		{"what is quoted stays", "pullkey login '[fd00::1]:5000'", "pullkey login '[fd00::1]:5000'" + given},
		{"help is no login", "pullkey login --help shows every flag", "pullkey login --help shows every flag"},
		{"nor is a question", "did you mean pullkey login, or pullkey logout?", "did you mean pullkey login, or pullkey logout?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := pasteable(c.hint, given, ""); got != c.want {
				t.Errorf("the hint is %s; want %s", got, c.want)
			}
		})
	}
	if got := pasteable("pullkey login reg.io", "", ""); got != "pullkey login reg.io" {
		t.Errorf("without flags: %s", got)
	}
}

func TestKubectlInAHintAsksTheSameCluster(t *testing.T) {
	t.Parallel()
	flags := clusterFlags{kubeconfig: "my config", context: "production"}
	const given = " --kubeconfig 'my config' --context production"
	if got := flags.again(); got != given {
		t.Errorf("the flags are %s; want %s", got, given)
	}
	for hint, want := range map[string]string{
		"see it: kubectl get pods -n shop":               "see it: kubectl" + given + " get pods -n shop",
		"kubectl get configmap a | pullkey config check": "kubectl" + given + " get configmap a | pullkey config check",
		"see what kubectl makes of it":                   "see what kubectl makes of it",
		"kubectl config get-contexts":                    "kubectl config get-contexts",
	} {
		if got := pasteable(hint, "", given); got != want {
			t.Errorf("got %s; want %s", got, want)
		}
		if got := pasteable(hint, "", ""); got != hint {
			t.Errorf("without flags: got %s; want %s", got, hint)
		}
	}
}
