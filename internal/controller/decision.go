package controller

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/footprint"
)

// What becomes of what stands in the cluster is decided in footprint, which
// `pullkey plan` and `pullkey uninstall` ask too.

func ours(s *corev1.Secret) bool      { return footprint.Ours(s) }
func strange(s *corev1.Secret) string { return footprint.Strange(s) }
func unfit(s *corev1.Secret) string   { return footprint.Unfit(s) }

func (p *plan) choice() *footprint.Choice {
	return &footprint.Choice{Settings: p.settings, Selection: p.selection}
}
