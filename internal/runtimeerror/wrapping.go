package runtimeerror

import (
	"slices"
	"strconv"
	"strings"
)

// separate takes off what kubelet and gRPC put before an error and parts the errors of one pull. It
// also gives the image's name as kubelet wrote it.
//
// kubelet joins the errors as "[a, b]". Any of them can hold ", " and brackets, so they are parted
// where a text begins as runtimes begin theirs. A registry that has such words printed can invent a
// further error of a pull from itself, and no more: what comes before is read first.
func separate(text string) (named string, texts []string) {
	named, text = unwrap(text)
	inner, isList := openList(text)
	if !isList {
		return named, []string{text}
	}
	// An Event may have been cut, so the bracket need not be closed.
	inner = strings.TrimSuffix(inner, "]")
	for len(texts) < maxErrors-1 {
		end := nextError(inner)
		if end < 0 {
			break
		}
		texts = append(texts, alone(inner[:end]))
		inner = inner[end+len(", "):]
	}
	return named, append(texts, alone(inner))
}

// alone takes everything transparent off, brackets included: there are no lists in lists.
func alone(text string) string {
	for {
		_, text = unwrap(text)
		inner, isList := openList(text)
		if !isList {
			return text
		}
		text = inner
	}
}

// beginnings are those of the errors that runtimes return to kubelet.
var beginnings = [...]string{
	"rpc error: code = ", "failed to pull and unpack image ", "failed to pull image ", "pull QPS exceeded",
	"unable to pull image or OCI artifact: ", "initializing source docker://", "copying system image from manifest list: ",
	"reading manifest ", "pinging container registry ", "unable to retrieve auth token: ", "Source image rejected: ",
	"Requesting bearer token: ", "writing blob: ", "parsing image configuration: ", "(Mirrors also failed: ",
	"Error response from daemon: ", "RegistryUnavailable: ", "SignatureValidationFailed: ", "context canceled",
	"context deadline exceeded",
}

func openList(text string) (inner string, isList bool) {
	inner, isList = strings.CutPrefix(text, "[")
	return inner, isList && beginsError(inner)
}

func beginsError(text string) bool {
	return slices.ContainsFunc(beginnings[:], func(b string) bool { return strings.HasPrefix(text, b) })
}

// nextError finds the comma before the next error of a list.
func nextError(text string) int {
	for at := 0; ; {
		comma := strings.Index(text[at:], ", ")
		if comma < 0 {
			return -1
		}
		at += comma
		if beginsError(text[at+len(", "):]) {
			return at
		}
		at++
	}
}

// unwrap takes off what says nothing of the error itself, as often as it stands there.
func unwrap(text string) (named, rest string) {
	rest = strings.TrimSpace(text)
	for {
		before := rest
		for _, words := range [...]string{"Back-off pulling image ", "Failed to pull image "} {
			if name, after, ok := cutQuoted(rest, words); ok {
				named, rest = name, after
			}
		}
		for _, words := range [...]string{"Failed: ", "Error: ", "ErrImagePull: ", "ImagePullBackOff: ", "ImageInspectError: "} {
			rest = strings.TrimPrefix(rest, words)
		}
		if after, ok := strings.CutPrefix(rest, "rpc error: code = "); ok {
			if code, desc, ok := strings.Cut(after, " desc = "); ok && !strings.ContainsAny(code, " :") {
				rest = desc
			}
		}
		rest = strings.TrimSpace(rest)
		if rest == before {
			return named, rest
		}
	}
}

// cutQuoted takes `words "name": ` off.
func cutQuoted(text, words string) (name, rest string, ok bool) {
	rest, ok = strings.CutPrefix(text, words)
	if !ok {
		return "", text, false
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil || quoted[0] != '"' {
		return "", text, false
	}
	if rest, ok = strings.CutPrefix(rest[len(quoted):], ": "); !ok {
		return "", text, false
	}
	name, err = strconv.Unquote(quoted)
	return name, rest, err == nil
}

// cutName takes `words name: ` off; the name is what stands before the first ": ", on one line.
func cutName(text, words string) (name, rest string, ok bool) {
	rest, ok = strings.CutPrefix(text, words)
	if !ok {
		return "", text, false
	}
	name, rest, ok = strings.Cut(rest, ": ")
	if !ok || strings.Contains(name, "\n") {
		return "", text, false
	}
	return name, rest, true
}
