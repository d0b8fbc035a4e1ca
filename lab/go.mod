// The lab: a local ACR, a real Kubernetes, the demo and the end-to-end tests.
// A module of its own, because what it runs is heavy and the product is not.
module github.com/pullkey/pullkey/lab

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/pullkey/pullkey v0.0.0
	golang.org/x/sys v0.48.0
)

replace github.com/pullkey/pullkey => ../
