package openapi

import (
	"regexp"
	"sync"
)

// Lazily is an expression that is compiled when it is first needed. Those of the
// rooms that talk to the cloud would cost each start of a program that lives for
// milliseconds a quarter of them.
func Lazily(form string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(form) })
}
