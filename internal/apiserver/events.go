package apiserver

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
)

// Events take what a recorder tells.
func (a *API) Events() record.EventSink { return &events{a} }

// events has no context: a recorder gives it none.
type events struct{ *API }

func (e *events) Create(event *corev1.Event) (*corev1.Event, error) {
	made := &corev1.Event{}
	err := e.core.Post().Namespace(event.Namespace).Resource("events").Body(event).Do(context.Background()).Into(made)
	return made, err
}

func (e *events) Update(event *corev1.Event) (*corev1.Event, error) {
	made := &corev1.Event{}
	err := e.core.Put().Namespace(event.Namespace).Resource("events").Name(event.Name).Body(event).Do(context.Background()).Into(made)
	return made, err
}

func (e *events) Patch(event *corev1.Event, patch []byte) (*corev1.Event, error) {
	made := &corev1.Event{}
	err := e.core.Patch(types.StrategicMergePatchType).Namespace(event.Namespace).Resource("events").Name(event.Name).
		Body(patch).Do(context.Background()).Into(made)
	return made, err
}
