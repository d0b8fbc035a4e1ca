// Package oracles holds the local cloud and pullkey to Alibaba Cloud's own
// libraries: what those send the local cloud accepts, and what pullkey sends
// is the same, field by field, but for those that are named.
//
// Its one rule: the libraries are asked, never imitated.
package oracles
