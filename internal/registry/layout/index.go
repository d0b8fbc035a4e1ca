package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// AnnotationFullName is containerd's annotation of an entry of index.json: the
// full name of the image. The specification's own (v1.AnnotationRefName) holds
// the tag, as skopeo, oras and buildkit have it.
const AnnotationFullName = "io.containerd.image.name"

var emptyIndex = []byte(`{"schemaVersion":2,"mediaType":"` + v1.MediaTypeImageIndex + `","manifests":[]}`)

// Name enters an image into index.json under its full name and its tag, which
// may be empty. An entry that had the name gives it up; all others stay as
// they are.
func (l *Layout) Name(ctx context.Context, d v1.Descriptor, fullName, tag string) error {
	err := l.locked(ctx, func() error {
		text, err := l.root.ReadFile(v1.ImageIndexFile)
		if err != nil {
			return err
		}
		if text, err = enter(text, d, fullName, tag); err != nil {
			return err
		}
		return l.replace(v1.ImageIndexFile, text)
	})
	if err != nil {
		return fmt.Errorf("enter %s into index.json of %s: %w", fullName, l.dir, err)
	}
	return nil
}

// enter returns the text of index.json with the entry. Fields and entries that
// we do not know are kept as they are.
func enter(text []byte, d v1.Descriptor, fullName, tag string) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	if fields == nil {
		return nil, errors.New("read it: it is no object")
	}
	var entries []json.RawMessage
	if list, ok := fields["manifests"]; ok {
		if err := json.Unmarshal(list, &entries); err != nil {
			return nil, fmt.Errorf("read its manifests: %w", err)
		}
	}
	d.Annotations = map[string]string{AnnotationFullName: fullName}
	if tag != "" {
		d.Annotations[v1.AnnotationRefName] = tag
	}
	kept := make([]json.RawMessage, 0, len(entries)+1)
	for _, raw := range entries {
		var e struct {
			Annotations map[string]string `json:"annotations"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("read an entry of it: %w", err)
		}
		if !hasName(e.Annotations, fullName, tag) {
			kept = append(kept, raw)
		}
	}
	mine, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode the entry: %w", err)
	}
	list, err := json.Marshal(append(kept, mine))
	if err != nil {
		return nil, fmt.Errorf("encode the entries: %w", err)
	}
	if fields["manifests"] = list; len(fields["schemaVersion"]) == 0 {
		fields["schemaVersion"] = json.RawMessage("2")
	}
	return json.Marshal(fields)
}

// hasName tells whether an entry has the name. One that has a tag alone, from
// a program that knows no full names, has it if the tag is the same.
func hasName(annotations map[string]string, fullName, tag string) bool {
	if name, ok := annotations[AnnotationFullName]; ok {
		return name == fullName
	}
	other, ok := annotations[v1.AnnotationRefName]
	return ok && tag != "" && other == tag
}
