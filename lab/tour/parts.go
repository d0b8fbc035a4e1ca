package tour

import (
	"context"
	"slices"
	"time"
)

// The registry's two hosts.
const (
	public = "demo-registry.cn-hangzhou.cr.aliyuncs.com"
	vpc    = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com"
)

// stuck and runs are what kubectl get pod prints in the end.
const (
	stuck = `ImagePullBackOff`
	runs  = `1/1 +Running`
)

// parts are those of the pages, in their order. Each goes on where the one before
// has ended.
func parts() []part { return slices.Concat(talks(), byHand(), byHelper(), failures()) }

// talks are with the registry alone: OAuth, a login, a pull.
func talks() []part {
	return []part{
		{name: "album", commands: []command{
			{run: "pullkey login " + public + " --web --trace", approves: true},
		}},
		{name: "login", commands: []command{
			{run: "pullkey login " + public + " --trace \\\n    --username alice --password-stdin < password"},
		}},
		{name: "kept", commands: []command{
			{run: "sed -E 's/\"(auth|identitytoken)\": \".*\"/\"\\1\": \"[redacted]\"/' \\\n    ~/.docker/config.json"},
		}},
		{name: "pull", commands: []command{
			{run: "pullkey pull " + public + "/shop/cart:1 \\\n    --output cart --trace"},
		}},
	}
}

// byHand brings the login into the cluster, to a pod and to a ServiceAccount.
func byHand() []part {
	return []part{
		{name: "pod", commands: []command{
			{run: "kubectl create namespace shop"},
			{run: "kubectl run cart -n shop \\\n    --image " + public + "/shop/cart:1"},
			{run: "kubectl get pod cart -n shop", until: stuck},
		}},
		{name: "secret", commands: []command{
			{run: "pullkey login " + public + " --keep-password \\\n    --username alice --password-stdin < password"},
			{run: "pullkey secret create regcred -n shop \\\n    --from-login " + public},
			{run: "kubectl get secret regcred -n shop"},
			{run: "sed -nE 's/.*\"auth\": \"(.*)\".*/\\1/p' ~/.docker/config.json \\\n    | base64 -d | sed 's/:.*/:[redacted]/'"},
		}},
		{name: "named", commands: []command{
			{run: "kubectl delete pod cart -n shop"},
			{run: "kubectl run cart -n shop \\\n    --image " + public + "/shop/cart:1 \\\n    --overrides '{\"spec\": {\"imagePullSecrets\": [{\"name\": \"regcred\"}]}}'"},
			{run: "kubectl get pod cart -n shop", until: runs},
		}},
		{name: "account", commands: []command{
			{run: "kubectl patch serviceaccount default -n shop \\\n    -p '{\"imagePullSecrets\": [{\"name\": \"regcred\"}]}'"},
			{run: "kubectl run checkout -n shop \\\n    --image " + public + "/shop/cart:1"},
			{run: "kubectl get pod checkout -n shop -o jsonpath='{.spec.imagePullSecrets}{\"\\n\"}'"},
			{run: "kubectl get pod checkout -n shop", until: runs},
		}},
	}
}

// byHelper leaves that to the controller.
func byHelper() []part {
	return []part{
		{name: "helper", prepare: (*tour).install, commands: []command{
			{run: "kubectl get deployment -n pullkey-system"},
			{run: `kubectl apply -f - <<'END'
apiVersion: v1
kind: ConfigMap
metadata: {name: acr-configuration, namespace: kube-system}
data:
  acr-registry-info: |
    - instanceId: cri-demo
      regionId: cn-hangzhou
  watch-namespace: default,bakery
  service-account: "*"
END`},
			{run: "pullkey status", until: `(?s)injection +active.*namespaces +1 watched.*FRESH.*verified.*namespaces +1$`},
		}},
		{name: "bakery", prepare: (*tour).injects, commands: []command{
			{run: "kubectl create namespace bakery"},
			{run: "kubectl run oven -n bakery \\\n    --image " + public + "/bakery/oven:1"},
			{run: "kubectl get pod oven -n bakery -o jsonpath='{.spec.imagePullSecrets}{\"\\n\"}'"},
			{run: "kubectl get pod oven -n bakery", until: runs},
			{run: "kubectl get secret -n bakery"},
		}},
	}
}

// failures go from the symptom to a pod that runs, by the remedy that explain prints.
func failures() []part {
	return []part{
		{name: "vpc", commands: []command{
			{run: "kubectl run basket -n shop \\\n    --image " + vpc + "/shop/basket:1"},
			{run: "kubectl get pod basket -n shop", until: stuck},
			{run: "pullkey explain pod/basket -n shop", code: 1},
			{copied: "pullkey secret add-host"},
			{run: "kubectl get pod basket -n shop", until: runs},
		}},
		{name: "namespace", commands: []command{
			{run: "kubectl create namespace market"},
			{run: "kubectl run stall -n market \\\n    --image " + public + "/shop/stall:1 \\\n    --overrides '{\"spec\": {\"imagePullSecrets\": [{\"name\": \"regcred\"}]}}'"},
			{run: "kubectl get pod stall -n market", until: stuck},
			{run: "pullkey explain pod/stall -n market", code: 1},
			{copied: "pullkey secret"},
			{run: "kubectl get pod stall -n market", until: runs},
		}},
		{name: "born", commands: []command{
			{run: "kubectl create namespace fair"},
			{run: "kubectl create deployment till -n fair \\\n    --image " + public + "/shop/till:1"},
			{run: "kubectl get pods -n fair", until: stuck},
			{run: "pullkey secret create regcred -n fair \\\n    --from-login " + public},
			{run: "kubectl patch serviceaccount default -n fair \\\n    -p '{\"imagePullSecrets\": [{\"name\": \"regcred\"}]}'"},
			{run: "pullkey explain deploy/till -n fair", code: 1},
			{copied: "kubectl -n fair delete pod"},
			{run: "kubectl get pods -n fair", until: `\A.*\n.*` + runs + `.*\n\z`},
		}},
	}
}

// install puts the controller in, as README says.
func (t *tour) install(ctx context.Context) error { return t.lab.Install(ctx) }

// injects waits until pods are born with the pull Secret's name, about a second after
// the policies have got their parameters.
func (t *tour) injects(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return t.lab.Injecting(limited, "default", public)
}
