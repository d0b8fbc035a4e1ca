//go:build !linux || !amd64

package main

import "errors"

func run([]string) error { return errors.New("a wrong clock needs Linux on amd64") }
