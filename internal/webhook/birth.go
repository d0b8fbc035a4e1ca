package webhook

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pullkey/pullkey/internal/status"
)

// Birth is who gives which name.
type Birth struct {
	// Namespace is pullkey's own, where nothing is injected but the pod that it
	// asks for and does not make.
	Namespace  string
	SecretName string
}

const (
	annotationMirror = "kubernetes.io/config.mirror"
	// labelProbe marks the pod that is asked for and not made, to see that pods are
	// injected. Its value tells who has done it.
	labelProbe = "pullkey.dev/probe"
)

// Operation is one of a JSON Patch.
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

type reference struct {
	Name string `json:"name"`
}

type meta struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// pod is what decides of a pod.
type pod struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		ImagePullSecrets []reference `json:"imagePullSecrets"`
		Containers       []container `json:"containers"`
		InitContainers   []container `json:"initContainers"`
		Volumes          []struct {
			Image struct {
				Reference string `json:"reference"`
			} `json:"image"`
		} `json:"volumes"`
	} `json:"spec"`
}

type container struct {
	Image string `json:"image"`
}

func (p *pod) images() []string {
	var all []string
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		all = append(all, c.Image)
	}
	for _, v := range p.Spec.Volumes {
		all = append(all, v.Image.Reference)
	}
	return all
}

// Pod returns what a pod is changed by at its birth; nothing, as a rule.
func (b Birth) Pod(p *Parameters, in Namespace, object []byte) ([]Operation, error) {
	var born pod
	if err := json.Unmarshal(object, &born); err != nil {
		return nil, fmt.Errorf("read a pod: %w", err)
	}
	if _, mirror := born.Metadata.Annotations[annotationMirror]; mirror {
		return nil, nil // the API server refuses those that name a Secret
	}
	home := in.Name == b.Namespace
	_, probe := born.Metadata.Labels[labelProbe]
	probe = probe && home
	watched := min(not(p.has("no-pods")), max(is(probe), min(is(!home), p.chooses(in))))
	if min(watched, p.manages(born.images())) != yes || b.named(born.Spec.ImagePullSecrets) {
		return nil, nil
	}
	patch := b.appended("/spec/imagePullSecrets", born.Spec.ImagePullSecrets)
	if probe {
		patch = append(patch, Operation{"replace", "/metadata/labels/pullkey.dev~1probe", status.ByWebhook})
	}
	return patch, nil
}

// ServiceAccount returns what a ServiceAccount is changed by at its birth.
func (b Birth) ServiceAccount(p *Parameters, in Namespace, object []byte) ([]Operation, error) {
	var born struct {
		Metadata         meta        `json:"metadata"`
		ImagePullSecrets []reference `json:"imagePullSecrets"`
	}
	if err := json.Unmarshal(object, &born); err != nil {
		return nil, fmt.Errorf("read a ServiceAccount: %w", err)
	}
	watched := min(not(p.has("no-serviceaccounts")), p.chooses(in), p.choosesAccount(born.Metadata.Name))
	if watched != yes || b.named(born.ImagePullSecrets) {
		return nil, nil
	}
	return b.appended("/imagePullSecrets", born.ImagePullSecrets), nil
}

func (b Birth) named(list []reference) bool { return slices.Contains(list, reference{b.SecretName}) }

// appended puts the name behind the list. Where there is none, "-" has no place.
func (b Birth) appended(path string, list []reference) []Operation {
	entry := reference{b.SecretName}
	if len(list) == 0 {
		return []Operation{{"add", path, []reference{entry}}}
	}
	return []Operation{{"add", path + "/-", entry}}
}
