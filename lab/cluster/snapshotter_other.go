//go:build !linux

package cluster

import "errors"

func snapshotterFor(string) (string, error) { return "", errors.New("a node needs Linux") }
