package controller

import "strings"

// isVendors tells whether a field manager is the vendor's helper, self-managed or
// managed: a Go program writes under its own file name unless it says otherwise.
func isVendors(manager string) bool { return strings.Contains(manager, "acr-credential-helper") }

// byWhom says of field managers, divided by commas, who they are.
func byWhom(managers string) string {
	if isVendors(managers) {
		return managers + " (the vendor's helper)"
	}
	return managers
}
