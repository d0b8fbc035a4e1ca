package explain_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

// row is objects, and what is to be said of them.
type row struct {
	name  string
	facts *explain.Facts
	want  cause.Code
	sure  cause.Certainty
}

// rows are each cause beside what looks like it and is another.
func rows() []row {
	const image = host + "/a:1"
	return []row{
		{"no name of an image", failing("https://reg.example.com/a", "InvalidImageName"), cause.RefInvalid, cause.Proven},
		{"a private image without its host", failing("team/a", scope, named(host)...), cause.RefImplicitHub, cause.Possible},
		{"a private image without its host, and the runtime had no login", failing("team/a", noBasic, named(host)...), cause.RefImplicitHub, cause.Strong},
		{"an image that must not be pulled, on a node that was not read", failing(image, "ErrImageNeverPull", never), cause.PolicyNever, cause.Possible},
		{"an image that must not be pulled and is not listed by a kubelet that may hide it", failing(image, "ErrImageNeverPull", never, onNode("v1.37.2")), cause.PolicyNever, cause.Strong},
		{"an image that must not be pulled, and is there and not for this pod", failing(image, "ErrImageNeverPull", never, onNode("v1.37.2", image)), cause.CacheVerify, cause.Strong},
		{"the same at a kubelet that asks nobody for a right", failing(image, "ErrImageNeverPull", never, onNode("v1.34.4", image)), cause.PolicyNever, cause.Proven},
		{"a node that lists no more images", failing(image, "ErrImageNeverPull", never, onNode("v1.37.2", manyImages()...)), cause.PolicyNever, cause.Possible},
		{"a disk that is full, by the node's word", failing(image, backOff("context canceled"), join(named(host), onNode("v1.37.2"), pressed)...), cause.NodeDisk, cause.Strong},
		{"a pull that was given up", failing(image, backOff("context canceled"), join(named(host), onNode("v1.37.2"))...), cause.NodeTimeout, cause.Strong},
		{"a disk that is full, and a login that is refused", failing(image, refused, join(named(host), onNode("v1.37.2"), pressed)...), cause.AuthInvalid, cause.Strong},
		{"a clock that is behind", failing(image, expired, join(named(host), clock(-time.Hour))...), cause.ClockSkew, cause.Strong},
		{"a clock that is behind, and a certificate that had ended before", failing(image, ended, join(named(host), clock(-time.Hour))...), cause.TLSExpired, cause.Proven},
		{"a clock that is ahead, and a certificate that had ended before", failing(image, ended, join(named(host), clock(time.Hour))...), cause.TLSExpired, cause.Proven},
		{"a clock that is days ahead, by which a certificate has ended", failing(image, ended, join(named(host), clock(4*24*time.Hour))...), cause.ClockSkew, cause.Strong},
		{"a clock that nobody tells, by which the pod is not made yet", failing(image, expired, join(named(host), noClock)...), cause.ClockSkew, cause.Strong},
		{"a clock that nobody tells, and a certificate that has ended", failing(image, ended, join(named(host), noClock)...), cause.TLSExpired, cause.Possible},
		{"a clock that is a little behind", failing(image, ended, join(named(host), clock(-10*time.Second))...), cause.TLSExpired, cause.Proven},
		{"a clock that is behind, and a tag that is missing", failing(image, notFound, join(named(host), clock(-time.Hour))...), cause.TagMissing, cause.Possible},
		{"a token that the registry does not take, and a clock that is ahead", failing(image, backOff("pull access denied, repository does not exist or may require authorization: server message: invalid_token: authorization failed"), join(named(host), clock(time.Hour))...), cause.ClockSkew, cause.Strong},

		{"a login of the node's plugin that may not pull", failing(image, scope, onNode("v1.37.2"), plugin(7, 1)), cause.ScopeDenied, cause.Possible},
		{"a plugin that never gave a login, and who pulls may not", failing(image, scope, onNode("v1.37.2"), plugin(3, 3)), cause.AuthNoCredential, cause.Possible},
		{"a plugin that fails", failing(image, anonymous, onNode("v1.37.2"), plugin(7, 1)), cause.PluginFailed, cause.Possible},
		{"a plugin that never failed, and nobody pulls", failing(image, anonymous, onNode("v1.37.2"), plugin(7, 0)), cause.AuthNoCredential, cause.Proven},
		{"a plugin that fails, and a login that is refused", failing(image, refused, join(named(host), plugin(7, 1))...), cause.AuthInvalid, cause.Strong},

		{"another ServiceAccount than the one that names the Secret", failing(image, anonymous, login("s", host), account("builder"), byDefault("s")), cause.SACustom, cause.Strong},
		{"the same, and the Secret is for another registry", failing(image, anonymous, login("s", "other.example.net"), account("builder"), byDefault("s")), cause.AuthNoCredential, cause.Proven},
		{"the same, and the text is that of a login without right too", failing(image, "ErrImagePull", login("s", host), account("builder"), byDefault("s")), cause.SACustom, cause.Possible},
		{"a Secret that an older pod of the same owner was born with", failing(image, anonymous, login("s", host), owned("web"), sibling("web", -time.Hour, "s")), cause.SAReverted, cause.Strong},
		{"a Secret that an older pod of another owner was born with", failing(image, anonymous, login("s", host), owned("web"), sibling("api", -time.Hour, "s")), cause.SANotReferenced, cause.Proven},
		{"a Secret that a younger pod of the same owner was born with", failing(image, anonymous, login("s", host), owned("web"), sibling("web", time.Hour, "s")), cause.SANotReferenced, cause.Proven},
		{"a Secret that the template names and the pod does not", failing(image, anonymous, login("s", host), template(corev1.PullIfNotPresent, "s")), cause.WebhookStripped, cause.Strong},
		{"a Secret for another registry that the template names and the pod does not", failing(image, anonymous, login("s", "other.example.net"), template(corev1.PullIfNotPresent, "s")), cause.AuthNoCredential, cause.Proven},
		{"a container that is not in the template", failing("mesh.example.net/proxy:1", anonymous, join(named(host), template(""), beside(image), rename("proxy"))...), cause.PodSidecar, cause.Proven},
		{"a container that is in the template", failing("mesh.example.net/proxy:1", anonymous, join(named(host), template(""), beside(image))...), cause.KeyHostMismatch, cause.Proven},
		{"a Secret of another namespace", failing(image, anonymous, podNames("s"), elsewhere(host, password, 0)), cause.SecretOtherNamespace, cause.Proven},
		{"a Secret of another namespace that is not for the image", failing(image, anonymous, podNames("s"), elsewhere("other.example.net", password, 0)), cause.SecretMissing, cause.Proven},
		{"a Secret of another namespace, in a file", failing(image, anonymous, podNames("s"), elsewhere(host, password, 0), func(f *explain.Facts) { f.File = true }), cause.SecretOtherNamespace, cause.Strong},
		{"an old copy of a Secret", failing(image, refused, join(named(host), elsewhere(host, "newer", time.Hour))...), cause.SecretStaleCopy, cause.Strong},
		{"a copy that is as good", failing(image, refused, join(named(host), elsewhere(host, password, time.Hour))...), cause.AuthInvalid, cause.Strong},
		{"a copy that is newer than the original", failing(image, refused, join(named(host), elsewhere(host, "older", -2*time.Hour))...), cause.AuthInvalid, cause.Strong},
		{"an immutable Secret that was made anew", failing(image, refused, join(named(host), immutable, sibling("web", -2*time.Hour, "s"))...), cause.SecretImmutableStale, cause.Strong},
		{"an immutable Secret that is older than all pods", failing(image, refused, join(named(host), immutable, sibling("web", -time.Minute, "s"))...), cause.AuthInvalid, cause.Strong},
		{"a Secret that was made anew", failing(image, refused, join(named(host), sibling("web", -2*time.Hour, "s"))...), cause.AuthInvalid, cause.Strong},
		{"a static pod", failing(image, anonymous, func(f *explain.Facts) { f.Pod.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }), cause.PodStatic, cause.Proven},

		{"a Secret that nobody names", failing(image, anonymous, login("s", host)), cause.SANotReferenced, cause.Proven},
		{"a Secret that the account names since", failing(image, anonymous, login("s", host), accountNames("s"), accountWritten(time.Hour)), cause.SAPodPredates, cause.Proven},
		{"a Secret that the account names since nobody knows when", failing(image, anonymous, login("s", host), accountNames("s")), cause.SAPodPredates, cause.Strong},
		{"a Secret that the account names since the second of the pod's birth", failing(image, anonymous, login("s", host), accountNames("s"), accountWritten(0)), cause.SAPodPredates, cause.Strong},
		{"a Secret that the account names since, or another field of the same writer's", failing(image, anonymous, login("s", host), accountNames("s"), accountWritten(time.Hour, `{"f:imagePullSecrets":{},"f:metadata":{}}`)), cause.SAPodPredates, cause.Strong},
		{"one of two Secrets that the account names since", failing(image, anonymous, login("s", host), accountNames("t", "s"), accountWritten(time.Hour)), cause.SAPodPredates, cause.Strong},
		{"a Secret that an account without dates names, written after the pod", failing(image, anonymous, login("s", host), accountNames("s"), revisions("12", "9")), cause.SAPodPredates, cause.Strong},
		{"a Secret that an account without dates names, written before the pod", failing(image, anonymous, login("s", host), accountNames("s"), revisions("7", "9")), cause.WebhookStripped, cause.Strong},
		{"the same, of a pod that waited for a node", failing(image, anonymous, login("s", host), accountNames("s"), revisions("7", "9"), scheduledAt(time.Minute)), cause.SAPodPredates, cause.Strong},
		{"a list of the pod's own, and the account's is younger", failing(image, anonymous, login("s", host), login("t", "other.example.com"), accountNames("s"), podNames("t"), accountWritten(time.Hour)), cause.SAPodOverrides, cause.Proven},
		{"the account's list of an earlier time", failing(image, anonymous, login("s", host), login("t", "other.example.com"), accountNames("t", "s"), podNames("t"), accountWritten(time.Hour)), cause.SAPodPredates, cause.Strong},
		{"a list of the pod's own", failing(image, anonymous, login("s", host), login("t", "other.example.com"), accountNames("s"), podNames("t")), cause.SAPodOverrides, cause.Proven},
		{"an empty name", failing(image, noBasic, login("s", host), accountNames("s"), podNames("")), cause.SAEmptyName, cause.Proven},
		{"no Secret at all", failing(image, anonymous), cause.AuthNoCredential, cause.Proven},

		{"a Secret that is not there", failing(image, anonymous, podNames("s")), cause.SecretMissing, cause.Proven},
		{"a Secret that is not there, beside one with a login that is refused", failing(image, refused, join(named(host), podNames("s", "t"))...), cause.AuthInvalid, cause.Strong},
		{"a Secret that is not there, and a tag neither", failing(image, notFound, podNames("s")), cause.TagMissing, cause.Possible},
		{"another type", failing(image, anonymous, has("s", "Opaque", ".dockerconfigjson", document(host)), podNames("s")), cause.SecretType, cause.Proven},
		{"the form of the other type", failing(image, anonymous, has("s", "kubernetes.io/dockercfg", ".dockercfg", document(host)), podNames("s")), cause.SecretWrongShapeSilent, cause.Proven},
		{"no base64", failing(image, "illegal base64 data at input byte 0", holding(`{"auths":{"quay.io":{"auth":"!!"}}}`), podNames("s")), cause.SecretBadAuth, cause.Proven},
		{"no base64, of a public image", failing("nginx", "illegal base64 data at input byte 0", holding(`{"auths":{"quay.io":{"auth":"!!"}}}`), podNames("s")), cause.SecretBadAuth, cause.Proven},
		{"a list of registries", failing(image, "json: cannot unmarshal array into Go struct field DockerConfigJSON.auths of type credentialprovider.DockerConfig", holding(`{"auths":[]}`), podNames("s")), cause.SecretBadShape, cause.Proven},
		{"a helper of docker's", failing(image, anonymous, holding(`{"auths":{"reg.example.com":{}},"credsStore":"desktop"}`), podNames("s")), cause.SecretNoPassword, cause.Proven},
		{"a token alone", failing(image, anonymous, holding(`{"auths":{"reg.example.com":{"identitytoken":"t"}}}`), podNames("s")), cause.SecretIdentityToken, cause.Proven},
		{"the end of a line in the password", failing(image, refused, holding(`{"auths":{"reg.example.com":{"username":"u","password":"p\n"}}}`), podNames("s")), cause.SecretStrayWhitespace, cause.Strong},
		{"a space in the key", failing(image, anonymous, named(" "+host)...), cause.SecretStrayWhitespace, cause.Proven},

		{"another host", failing(image, anonymous, named("other.example.net")...), cause.KeyHostMismatch, cause.Proven},
		{"another port", failing(image, anonymous, named(host+":443")...), cause.KeyPort, cause.Proven},
		{"another host and port", failing(image, anonymous, named("other.example.net:443")...), cause.KeyHostMismatch, cause.Proven},
		{"another path", failing(image, noBasic, named(host+"/team")...), cause.KeyPath, cause.Proven},
		{"the version without a slash", failing(image, noBasic, named("https://"+host+"/v2")...), cause.KeyPath, cause.Proven},
		{"capitals", failing(image, anonymous, named("Reg.example.com")...), cause.KeyCase, cause.Proven},
		{"a glob for too few labels", failing("eu.a.reg.example.com/a", anonymous, named("*.reg.example.com")...), cause.KeyGlob, cause.Proven},
		{"the public endpoint", failing("registry-vpc.cn-hangzhou.aliyuncs.com/n/a", anonymous, named("registry.cn-hangzhou.aliyuncs.com")...), cause.KeyVPCVsPublic, cause.Proven},
		{"the endpoint of another region", failing("registry-vpc.cn-hangzhou.aliyuncs.com/n/a", anonymous, named("registry.cn-beijing.aliyuncs.com")...), cause.KeyHostMismatch, cause.Proven},
		{"a key that is not Docker Hub's", failing("team/a", scope, named("registry-1.docker.io")...), cause.KeyDockerhub, cause.Strong},
		{"no --docker-server", failing(image, anonymous, named("https://index.docker.io/v1/")...), cause.KeyDefaultServer, cause.Proven},

		{"a login that is refused", failing(image, refused, named(host)...), cause.AuthInvalid, cause.Strong},
		{"pullkey's own, which has ended", failing(image, refused, join(named(host), func(f *explain.Facts) {
			f.Secrets["s"].Annotations = map[string]string{"pullkey.dev/expires-at": born.Add(-time.Minute).Format(time.RFC3339)}
		}, failedAt(time.Minute))...), cause.AuthExpired, cause.Proven},
		{"pullkey's own, which has ended since an unknown last try", failing(image, refused, join(named(host), func(f *explain.Facts) {
			f.Secrets["s"].Annotations = map[string]string{"pullkey.dev/expires-at": born.Add(-time.Minute).Format(time.RFC3339)}
			f.Now = born.Add(time.Hour)
		})...), cause.AuthExpired, cause.Strong},
		{"a login of nobody knows when", failing(image, refused, join(named(host), later)...), cause.AuthInvalid, cause.Strong},
		{"a token server that is down", failing(image, strings.Replace(refused, "401 Unauthorized", "503 Service Unavailable", 1), named(host)...), cause.Reg5XX, cause.Proven},
		{"a token server that forbids it", failing(image, strings.Replace(refused, "401 Unauthorized", "403 Forbidden", 1), named(host)...), cause.ScopeDenied, cause.Possible},
		{"a list that something took away at birth", failing(image, anonymous, login("s", host), accountNames("s"), accountWritten(-time.Hour)), cause.WebhookStripped, cause.Strong},
		{"a Secret that is not in the file", failing(image, anonymous, podNames("s"), func(f *explain.Facts) { f.File = true }), cause.SecretMissing, cause.Strong},
		{"a port, beside a Secret that is not there", failing(image, anonymous, login("s", host+":443"), podNames("optional", "s")), cause.KeyPort, cause.Proven},
		{"a private host that looks like an endpoint of ACR", failing("registry-internal.corp.example/a", anonymous, named("registry.corp.example")...), cause.KeyHostMismatch, cause.Proven},
		{"a name without host whose tag has a dot", failing("app:1.2", scope, named(host)...), cause.RefImplicitHub, cause.Possible},
		{"the image of a volume", failing("nginx", backOffOf(models), join(named("other.example.net"), volume)...), cause.VolImage, cause.Proven},
		{"the image of a volume, and a key that is almost for it", failing("nginx", backOffOf(models), join(named(host+":443"), volume)...), cause.KeyPort, cause.Proven},
		{"the image of a volume, and a Secret that nobody names", failing("nginx", backOffOf(models), login("s", host), volume), cause.SANotReferenced, cause.Proven},
		{"a debug container", failing("nginx", "", join(named(host), debug("other.example.net/tools", anonymous))...), cause.PodEphemeral, cause.Proven},
		{"a debug container, and a Secret that nobody names", failing("nginx", "", login("s", host), debug(image, anonymous)), cause.PodEphemeral, cause.Proven},
		{"a debug container whose login is refused", failing("nginx", "", join(named(host), debug(image, refused))...), cause.AuthInvalid, cause.Strong},
		{"a static pod that names a Secret for the image", failing(image, anonymous, join(named(host), func(f *explain.Facts) { f.Pod.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} })...), cause.PodStatic, cause.Proven},
		{"base64 made twice", failing(image, anonymous, has("s", "Opaque", ".dockerconfigjson", base64.StdEncoding.EncodeToString([]byte(document(host)))), podNames("s")), cause.SecretDoubleB64, cause.Proven},
		{"a byte order mark", failing(image, anonymous, has("s", "Opaque", ".dockerconfigjson", "\ufeff"+document(host)), podNames("s")), cause.SecretDoubleB64, cause.Proven},
		{"base64 of something else", failing(image, anonymous, has("s", "Opaque", ".dockerconfigjson", "bm90LWEtZG9jdW1lbnQ="), podNames("s")), cause.SecretType, cause.Proven},
		{"a Secret that kubelet did not have yet", failing(image, anonymous, join(named(host), withheld("s"))...), cause.SecretRace, cause.Possible},
		{"another Secret that kubelet did not have", failing(image, anonymous, join(named(host), withheld("t"))...), cause.AuthNoCredential, cause.Possible},
		{"a login of Docker Hub in the shadow of another", failing("team/a", refused, join(named("docker.io"), other("https://index.docker.io/v1/", "right"), podNames("s", "t"))...), cause.KeyShadowed, cause.Strong},
		{"a login in the shadow, and one that has no right", failing("team/a", scope, join(named("docker.io"), other("https://index.docker.io/v1/", "right"), podNames("s", "t"))...), cause.KeyShadowed, cause.Possible},
		{"the same login of Docker Hub twice", failing("team/a", refused, join(named("docker.io"), login("t", "https://index.docker.io/v1/"), podNames("s", "t"))...), cause.AuthInvalid, cause.Strong},
		{"two logins that are both tried", failing(image, refused, join(named(host), other(host+"/a", "right"), podNames("s", "t"))...), cause.AuthInvalid, cause.Strong},
		{"a password of ECR that is too old", failing(ecr+"/a", refused, join(named(ecr), user("AWS"), failedAt(11*time.Hour+time.Minute))...), cause.AuthExpired, cause.Strong},
		{"a password of ECR that is not yet too old", failing(ecr+"/a", refused, join(named(ecr), user("AWS"), failedAt(10*time.Hour))...), cause.AuthInvalid, cause.Strong},
		{"an old password of another registry", failing(image, refused, join(named(host), user("AWS"), failedAt(11*time.Hour+time.Minute))...), cause.AuthInvalid, cause.Strong},
		{"a Secret, and an account that was not read", failing(image, anonymous, login("s", host), func(f *explain.Facts) { f.ServiceAccount = nil }), cause.SANotReferenced, cause.Possible},
		{"a manifest that is too large", failing(image, backOff("rejecting 5000000 byte manifest for reg.example.com/a:1: not found"), named(host)...), cause.ManifestTooBig, cause.Possible},
		{"the runtime's own image", failing(image, "", join(named(host), sandbox(`failed to start sandbox "ab": failed to get sandbox image "`+host+`/pause:3": failed to pull image "`+host+`/pause:3": failed to pull and unpack image "`+host+`/pause:3": failed to resolve image: failed to do request: Head "https://reg.example.com/v2/pause/manifests/3": dial tcp 10.0.0.1:443: i/o timeout`))...), cause.SandboxImage, cause.Proven},
		{"a login without the right", failing(image, scope, named(host)...), cause.ScopeDenied, cause.Possible},
		{"a host without an address, and no Secret either", failing(image, noHost), cause.NetDNS, cause.Proven},
		{"a mirror that has it not", failing(image, backOff("unexpected status from HEAD request to https://mirror.example.net/v2/a/manifests/1?ns=reg.example.com: 403 Forbidden"), named(host)...), cause.MirrorMasks, cause.Strong},
	}
}

func TestTheFirstLinkThatAccountsForWhatWasSeenIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range slices.Concat(rows(), ofWords()) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, err := explain.Pod(c.facts, "")
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(d)
			if err != nil || strings.Contains(string(text), password) || strings.Contains(string(text), "Ym9i") {
				t.Errorf("%v: it shows a secret, or cannot be written: %s", err, text)
			}
			if d.Verdict.Status != explain.Broken || d.Verdict.Code != c.want || d.Verdict.Certainty != c.sure {
				t.Errorf("got %s %s %s, want %s %s\n%s", d.Verdict.Status, d.Verdict.Code, d.Verdict.Certainty, c.want, c.sure, text)
			}
			if d.Verdict.Sentence == "" || len(d.Verdict.Evidence) == 0 {
				t.Errorf("without a sentence or evidence: %+v", d.Verdict)
			}
		})
	}
}

// Whoever names the ServiceAccount's Secret in the pod fails again, and is told before.
func TestASecretOfTheServiceAccountThatWouldNotDoIsNoticed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, key string
		want      []cause.Code
	}{
		{"another port", host + ":5000", []cause.Code{cause.KeyPort}},
		{"another registry", "quay.io", nil},
		{"this registry", host, nil},
	} {
		d, err := explain.Pod(failing(host+"/team/app:1.0", anonymous, login("s", c.key), accountNames("s")), "")
		if err != nil {
			t.Fatal(err)
		}
		var got []cause.Code
		for _, f := range d.AlsoNoticed {
			if strings.HasPrefix(f.Sentence, "Secret shop/s, which ServiceAccount default names and the pod does not, would not do either: ") && f.Certainty == cause.Possible {
				got = append(got, f.Code)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" || d.Verdict.Status != explain.Broken {
			t.Errorf("%s: %s\n%+v", c.name, diff, d)
		}
	}
}

func TestWhatIsWellOrMendedIsNotBlamed(t *testing.T) {
	t.Parallel()
	const image = host + "/a:1"
	for _, c := range []struct {
		name  string
		facts *explain.Facts
		want  explain.Status
	}{
		{"a container that runs", failing(image, "", podNames("gone"), func(f *explain.Facts) {
			f.Pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
		}), explain.OK},
		{"a container that crashes", failing(image, "", func(f *explain.Facts) {
			f.Pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
				Name: "app", LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}},
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			}}
		}), explain.OK},
		{"a pod that nobody has tried, with a login", failing(image, "", named(host)...), explain.OK},
		{"a login that was renewed since", failing(image, refused, join(named(host), later, failedAt(time.Minute))...), explain.Waiting},
		{"a hook that fails", failing(image, "", func(f *explain.Facts) {
			f.Pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
				Name: "app", LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}},
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PostStartHookError", Message: "context deadline exceeded"}},
			}}
		}), explain.OK},
		{"a network that is not there yet", failing(image, "", join(named(host), sandbox(`failed to setup network for sandbox "ab": plugin type="calico" failed (add): Get "https://10.96.0.1:443/x": dial tcp 10.96.0.1:443: connect: connection refused`))...), explain.OK},
		{"words that nobody knows", failing(image, backOff("the moon is full"), named(host)...), explain.Inconclusive},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, err := explain.Pod(c.facts, "")
			if err != nil || d.Verdict.Status != c.want || d.Verdict.Code != "" {
				t.Errorf("%v: got %+v, want %s", err, d.Verdict, c.want)
			}
		})
	}
}

func TestAContainerIsChosen(t *testing.T) {
	t.Parallel()
	f := failing(host+"/a:1", anonymous)
	f.Pod.Spec.Containers = append([]corev1.Container{{Name: "first", Image: "nginx"}}, f.Pod.Spec.Containers...)
	for container, want := range map[string]string{"": "app", "first": "first", "none": ""} {
		d, err := explain.Pod(f, container)
		if (err != nil) != (want == "") || d.Target.Container != want {
			t.Errorf("%q: got %+v, %v", container, d.Target, err)
		}
	}
}

func FuzzAnyTextIsRead(f *testing.F) {
	f.Add(host+"/a:1", anonymous, document(host), "s")
	f.Add("", "illegal base64 data at input byte 0", `{"auths":[]}`, "")
	f.Fuzz(func(t *testing.T, image, said, text, name string) {
		if _, err := explain.Pod(failing(image, said, holding(text), podNames(name, "s")), ""); err != nil {
			t.Error(err)
		}
	})
}

// Most images are for everybody: that there is no login for one is no cause while nobody
// has tried.
func TestAnImageWithoutALoginMayBeEverybodys(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		facts *explain.Facts
		want  cause.Code
	}{
		"no Secret at all":            {failing("nginx", ""), cause.AuthNoCredential},
		"Secrets of other registries": {failing("quay.io/team/nginx", "", named(host)...), cause.KeyHostMismatch},
	} {
		d, err := explain.Pod(c.facts, "")
		if v := d.Verdict; err != nil || v.Status != explain.Inconclusive || v.Certainty != cause.Possible || v.Code != c.want || !strings.Contains(v.Sentence, "it pulls if everybody may have the image") {
			t.Errorf("%s: %v: got %+v", name, err, v)
		}
	}
}
