package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTheRegionIsThatOfMostNodes(t *testing.T) {
	t.Parallel()
	const today, before = "topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"
	for _, c := range []struct {
		name  string
		nodes []map[string]string
		want  string
	}{
		{"no node tells", []map[string]string{nil, {"zone": "b"}}, ""},
		{"one tells", []map[string]string{nil, {today: "cn-hangzhou"}}, "cn-hangzhou"},
		{"the label of before counts as well", []map[string]string{{before: "cn-hangzhou"}}, "cn-hangzhou"},
		{"a node with both counts once, by today's", []map[string]string{{today: "cn-beijing", before: "cn-hangzhou"}}, "cn-beijing"},
		{"most of them, whichever comes first", []map[string]string{{today: "cn-beijing"}, {today: "cn-shanghai"}, {today: "cn-shanghai"}}, "cn-shanghai"},
		{"equally many", []map[string]string{{today: "cn-shanghai"}, {today: "cn-beijing"}}, "cn-beijing"},
		{"what is no region does not count", []map[string]string{{today: "evil.example/"}, {today: "evil.example/"}, {today: "cn-beijing"}}, "cn-beijing"},
	} {
		var nodes []corev1.Node
		for _, labels := range c.nodes {
			nodes = append(nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: labels}})
		}
		if got := commonRegion(nodes); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
