package controller

import (
	"cmp"
	"errors"
	"math"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/source"
	"github.com/pullkey/pullkey/internal/status"
)

// metrics are the controller's own; docs/reference/controller.md lists them.
type metrics struct {
	registry   *prometheus.Registry
	configured prometheus.Gauge
	expiry     *prometheus.GaugeVec
	states     *prometheus.GaugeVec
	fetches    *prometheus.CounterVec
	writes     *prometheus.CounterVec
	retries    prometheus.Counter
	injection  prometheus.Gauge
	evictions  *prometheus.CounterVec
	failing    *prometheus.GaugeVec
	vendor     prometheus.Gauge
	foreign    *namespaceSet
	refused    *namespaceSet
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		configured: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pullkey_config_valid", Help: "1 while acr-configuration is there and valid, else 0.",
		}),
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pullkey_credential_expiry_timestamp_seconds", Help: "When the account's credential expires, Unix time.",
		}, []string{"account"}),
		states: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pullkey_account_state", Help: "1 for the state that the account is in: fresh, degraded, expired, refused or missing.",
		}, []string{"account", "state"}),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pullkey_renewals_total", Help: "Attempts to obtain a credential, by how they ended.",
		}, []string{"region", "instance", "result"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pullkey_writes_total", Help: "Writes to the cluster.",
		}, []string{"kind", "verb"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pullkey_retries_total", Help: "Steps that did not succeed and are tried again.",
		}),
		injection: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pullkey_injection_active", Help: "1 while pods are born with the name of the pull Secret, 0 while they are not, NaN while it is not known or switched off.",
		}),
	}
	m.evictions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pullkey_evictions_total", Help: "Pods that could not pull for want of the Secret's name: evicted, or left as they are.",
	}, []string{"result"})
	m.failing = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "pullkey_pods_failing", Help: "Pods of watched namespaces that cannot pull, by the code of the cause.",
	}, []string{"code"})
	m.vendor = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pullkey_vendors_helper_found", Help: "1 while the vendor's helper is at work in the cluster, as far as it can be seen, else 0.",
	})
	m.foreign = newNamespaceSet("pullkey_foreign_secrets", "Watched namespaces whose Secret of our name is left alone.")
	m.refused = newNamespaceSet("pullkey_refused_namespaces", "Namespaces in which the API server refuses what pullkey writes.")
	m.registry.MustRegister(m.configured, m.expiry, m.states, m.fetches, m.writes, m.retries, m.injection, m.evictions, m.failing, m.vendor, m.foreign.gauge, m.refused.gauge)
	m.injects("")
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) valid(is bool) {
	if is {
		m.configured.Set(1)
	} else {
		m.configured.Set(0)
	}
}

func (m *metrics) injects(s status.InjectionState) {
	switch s {
	case status.InjectionActive:
		m.injection.Set(1)
	case status.InjectionInactive:
		m.injection.Set(0)
	default:
		m.injection.Set(math.NaN())
	}
}

func (m *metrics) write(kind, verb string) { m.writes.WithLabelValues(kind, verb).Inc() }

func (m *metrics) fetch(a *source.Account, err error) {
	m.fetches.WithLabelValues(a.Instance.Region, a.Instance.ID, codeOf(err)).Inc()
}

// codeOf is the code of the cloud that ended an attempt, without what may stand
// behind its first dot; refused where the registry took not what the cloud
// gave. Codes that are not known are one: a proxy before the
// cloud could write another each time, and each would be a new time series.
func codeOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, broker.ErrRefused):
		return "refused"
	}
	refused, ok := errors.AsType[*openapi.Error](err)
	if !ok || refused.Code == "" {
		return "error"
	}
	return cmp.Or(refused.Family(), "other")
}

// namespaceSet is a gauge that counts names.
type namespaceSet struct {
	mu    sync.Mutex
	names map[string]bool
	gauge prometheus.Gauge
}

func newNamespaceSet(name, help string) *namespaceSet {
	return &namespaceSet{names: map[string]bool{}, gauge: prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})}
}

// many is how many names there are.
func (s *namespaceSet) many() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.names)
}

func (s *namespaceSet) set(name string, in bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in {
		s.names[name] = true
	} else {
		delete(s.names, name)
	}
	s.gauge.Set(float64(len(s.names)))
}
