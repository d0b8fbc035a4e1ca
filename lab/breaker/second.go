package breaker

import (
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
)

// ofSecond are faults of a node, each beside the same pod on the node that has none.
func ofSecond() []fault {
	first := func(*scene) string { return "" }
	second := func(s *scene) string { return s.Second.Node }
	return []fault{
		{code: cause.ClockSkew, sure: cause.Strong, about: "a clock by which a good certificate has ended", play: soon(second), twin: soon(first)},
		{code: cause.NetProxy, sure: cause.Proven, about: "a proxy that wants a login", play: behind(second), twin: behind(first)},
	}
}

// soon is a pod of a registry whose certificate ends before long.
func soon(node func(*scene) string) func(*scene) {
	return func(s *scene) {
		host := s.front(func(f *front) { f.until = time.Now().Add(s.Second.Ahead / 2) })
		s.pod(host+"/"+random()+":1", naming(s.secret(s.login(host))), on(node(s)))
	}
}

// behind is a pod of a registry that the second node asks by its proxy.
func behind(node func(*scene) string) func(*scene) {
	return func(s *scene) {
		s.proxy()
		host := s.front(func(f *front) { f.host = random() + s.Second.Behind })
		s.pod(host+"/"+random()+":1", naming(s.secret(s.login(host))), on(node(s)))
	}
}

// proxy is the second node's, which lets nobody through.
func (s *scene) proxy() {
	if s.has(s.Second.Proxy) {
		return
	}
	s.open(func(f *front) { f.host, f.plain = s.Second.Proxy, true },
		instead(func(*http.Request) bool { return true }, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Proxy-Authenticate", `Basic realm="out"`)
			w.WriteHeader(http.StatusProxyAuthRequired)
		}))
}

// on has a pod be on a node, whatever the scheduler thinks; on any, without a name.
func on(node string) change {
	return func(spec *corev1.PodSpec) { spec.NodeName = node }
}
