package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// bodyMost is more than the API server takes of a client (3 MiB), since a review
	// holds the object as JSON.
	bodyMost = 4 << 20
	// atATime bounds what strangers can make us hold in memory.
	atATime = 16
	// decideMost bounds how long a namespace is asked for. The API server waits for
	// as long as the chart tells it, which is less.
	decideMost = 10 * time.Second
)

// Facts are what the cluster says.
type Facts interface {
	// Parameters returns those in force, nil where there are none.
	Parameters() (*Parameters, error)
	// Namespace returns what is known of a namespace, which may be new.
	Namespace(ctx context.Context, name string) (Namespace, error)
}

// Handler answers reviews. What it cannot answer is an HTTP error, and the API
// server does what the configuration says of failures. It never refuses.
func Handler(b Birth, facts Facts) http.Handler {
	free := make(chan struct{}, atATime)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), decideMost)
		defer cancel()
		select {
		case free <- struct{}{}:
			defer func() { <-free }()
		case <-ctx.Done():
			http.Error(w, "too many requests at a time", http.StatusServiceUnavailable)
			return
		}
		review, problem := read(http.MaxBytesReader(w, r.Body, bodyMost))
		if problem != nil {
			http.Error(w, problem.Error(), http.StatusBadRequest)
			return
		}
		response, err := b.review(ctx, facts, review.Request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: response})
	})
	return mux
}

// Leaving answers as next does. Once the replica is going, each answer closes its
// connection, and the API server opens the next one to a replica that stays. It asks by
// HTTP/1.1 and asks nothing twice: a connection that is closed between two answers may
// take a question with it, and a pod is born without the name.
func Leaving(next http.Handler, going func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if going() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// read takes nothing but a review that asks something.
func read(body io.Reader) (*admissionv1.AdmissionReview, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(text, &review); err != nil {
		return nil, errors.New("read the request: it is no JSON of an AdmissionReview")
	}
	if review.APIVersion != admissionv1.SchemeGroupVersion.String() || review.Kind != "AdmissionReview" || review.Request == nil {
		return nil, errors.New("read the request: it is no AdmissionReview of " + admissionv1.SchemeGroupVersion.String() + " with a request")
	}
	return &review, nil
}

// review lets everything pass, and changes what is to have the name.
func (b Birth) review(ctx context.Context, facts Facts, asked *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	answer := &admissionv1.AdmissionResponse{UID: asked.UID, Allowed: true}
	decide := b.decider(asked)
	if decide == nil {
		return answer, nil
	}
	parameters, err := facts.Parameters()
	if err != nil || parameters == nil {
		return answer, err
	}
	namespace := Namespace{Name: asked.Namespace}
	if parameters.asksForLabels() {
		if namespace, err = facts.Namespace(ctx, asked.Namespace); err != nil {
			return nil, err
		}
	}
	patch, err := decide(parameters, namespace, asked.Object.Raw)
	if err != nil || len(patch) == 0 {
		return answer, nil //nolint:nilerr // what cannot be read is the API server's to refuse
	}
	if answer.Patch, err = json.Marshal(patch); err != nil {
		return nil, fmt.Errorf("encode a patch: %w", err)
	}
	kind := admissionv1.PatchTypeJSONPatch
	answer.PatchType = &kind
	return answer, nil
}

// decider is who decides of what was asked, nil for nobody.
func (b Birth) decider(asked *admissionv1.AdmissionRequest) func(*Parameters, Namespace, []byte) ([]Operation, error) {
	if asked.Operation != admissionv1.Create || asked.SubResource != "" {
		return nil
	}
	switch asked.Resource {
	case metav1.GroupVersionResource{Version: "v1", Resource: "pods"}:
		return b.Pod
	case metav1.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}:
		return b.ServiceAccount
	}
	return nil
}
