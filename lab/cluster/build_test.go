package cluster

import (
	"slices"
	"strings"
	"testing"
)

func TestEveryPinnedVersionIsFoundInItsModule(t *testing.T) {
	t.Parallel()
	for _, c := range slices.Concat(controlPlaneComponents(false), controlPlaneComponents(true), nodeComponents()) {
		version, err := c.Version("../..")
		if err != nil || c.Module != "" && !strings.HasPrefix(version, "v") {
			t.Errorf("%s: %q %v", c.Name, version, err)
		}
	}
}
