package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/footprint"
	"github.com/pullkey/pullkey/internal/selection"
)

const (
	// lastGoodName is the ConfigMap that holds the last valid settings. It
	// holds them as they were understood, not as they were written: a comment
	// or a misspelt key could hold a secret.
	lastGoodName = footprint.LastGood
	lastGoodKey  = footprint.KeySettings
	lastGoodOwn  = footprint.KeySelection
)

// loadLastGood reads the last valid settings, so that a configuration that was
// broken or deleted meanwhile changes nothing.
func (c *Controller) loadLastGood(ctx context.Context) error {
	kept, err := c.readLastGood(ctx)
	if err != nil {
		return err
	}
	c.lastGood, c.lastGoodRead = kept, true
	if kept == nil {
		return nil
	}
	fallback, err := decodeSettings(kept.Data)
	selected, chosen, wrong := decodeSelection(kept.Data)
	before, broken := decodeChoices(kept.Data)
	if err := cmp.Or(err, wrong, broken); err != nil {
		c.choiceLost = kept.Data[lastGoodOwn] != ""
		return fmt.Errorf("read ConfigMap %s/%s: %w: %w", c.Namespace, lastGoodName, errNotAsWritten, err)
	}
	c.fallback, c.selection, c.chosen, c.before = fallback, selected, chosen, before
	c.choice = &choice{fallback.Namespaces, fallback.ServiceAccounts, chosen, selected}
	return nil
}

// readLastGood returns the ConfigMap, or nil where there is none.
func (c *Controller) readLastGood(ctx context.Context) (*corev1.ConfigMap, error) {
	found, err := c.Client.ConfigMaps(c.Namespace).Get(ctx, lastGoodName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s/%s: %w", c.Namespace, lastGoodName, err)
	}
	return found, nil
}

// keepLastGood writes the settings in force where others stand.
func (c *Controller) keepLastGood(ctx context.Context) {
	if c.lastGoodKept || c.settings == nil {
		return
	}
	data, err := encodeSettings(*c.settings)
	if err == nil && len(c.chosen) > 0 {
		data[lastGoodOwn], err = encodeSelection(c.chosen)
	}
	if err == nil && len(c.before) > 0 {
		data[lastGoodBefore], err = encodeChoices(c.before)
	}
	if err == nil && !c.lastGoodRead {
		c.lastGood, err = c.readLastGood(ctx)
	}
	if err == nil && (c.lastGood == nil || !maps.Equal(c.lastGood.Data, data)) {
		c.lastGood, err = c.replaceData(ctx, c.lastGood, lastGoodName, data)
	}
	c.lastGoodRead = err == nil
	c.lastGoodKept = !c.hinders("last good", err)
}

func encodeSettings(s acrconfig.Settings) (map[string]string, error) {
	body, err := json.Marshal(s.WithoutSecrets())
	if err != nil {
		return nil, fmt.Errorf("encode the settings: %w", err)
	}
	return map[string]string{lastGoodKey: string(body)}, nil
}

func encodeSelection(data map[string]string) (string, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return "", fmt.Errorf("encode the selection: %w", err)
	}
	return string(body), nil
}

// decodeSelection reads what encodeSelection wrote; without it there is none.
func decodeSelection(data map[string]string) (selection.Selection, map[string]string, error) {
	text, kept := data[lastGoodOwn]
	if !kept {
		return selection.Selection{}, nil, nil
	}
	var chosen map[string]string
	if err := json.Unmarshal([]byte(text), &chosen); err != nil {
		return selection.Selection{}, nil, errors.New(lastGoodOwn + " is no such JSON")
	}
	s, err := selection.Parse(chosen)
	if err != nil {
		return selection.Selection{}, nil, fmt.Errorf("%s: %w", lastGoodOwn, err)
	}
	return s, chosen, nil
}

// decodeSettings reads what encodeSettings wrote, and nothing that is not
// wholly so: what is half read would take Secrets away. An error quotes nothing.
func decodeSettings(data map[string]string) (*acrconfig.Settings, error) {
	var s acrconfig.Settings
	decoder := json.NewDecoder(strings.NewReader(data[lastGoodKey]))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return nil, errors.New(lastGoodKey + " is missing or no such JSON")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New(lastGoodKey + " goes on after its end")
	}
	switch {
	case len(s.Instances) == 0:
		return nil, errors.New("there is no instance")
	case slices.ContainsFunc(s.Instances, func(i acrconfig.Instance) bool { return i.Region == "" }):
		return nil, errors.New("an instance has no region")
	case s.ExpiringThreshold <= 0:
		return nil, errors.New("the threshold is not above zero")
	case !sound(s.Namespaces) || !sound(s.ServiceAccounts):
		return nil, errors.New("the names are not sorted, or there are none")
	}
	return &s, nil
}

// sound tells whether names can be looked up, which needs them in order.
func sound(n acrconfig.Names) bool {
	return n.All || len(n.List) > 0 && n.List[0] != "" && slices.IsSorted(n.List)
}
