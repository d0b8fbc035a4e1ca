// Package hostname knows the names of registry hosts: it parses and compares
// them. It stands apart from package image because the parser of image names,
// which a program gets with it, costs every start more than half a megabyte of
// compiled expressions.
//
// Its one rule: a host matches label by label from end to end, never by a
// part of its text.
package hostname

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Parse checks that s names a registry as host or host:port and returns
// it in lower case. It takes no scheme, no path, no user and no pattern. A
// bare word other than localhost is refused: in the name of an image it is a
// folder of docker.io.
func Parse(s string) (string, error) {
	h, err := parse(s, false)
	switch {
	case err != nil && strings.Contains(s, "@"): // before it may stand a password
		return "", fmt.Errorf("registry host: %w", err)
	case err != nil:
		return "", fmt.Errorf("registry host %q: %w", s, err)
	}
	return h, nil
}

// Pattern is a registry host in which "*" stands for any text inside one
// label, as in kubelet's keys. The zero Pattern matches nothing.
type Pattern struct{ text string }

// ParsePattern checks that s is a registry host, with or without "*".
func ParsePattern(s string) (Pattern, error) {
	h, err := parse(s, true)
	if err != nil {
		return Pattern{}, fmt.Errorf("registry host pattern %q: %w", s, err)
	}
	return Pattern{h}, nil
}

// String returns the pattern in lower case.
func (p Pattern) String() string { return p.text }

// Match tells whether host is one that p means: as many labels, each label
// matching, and the same port. An absent port is not port 443.
func (p Pattern) Match(host string) bool {
	h, err := parse(host, false)
	if err != nil || p.text == "" {
		return false
	}
	if !strings.Contains(p.text, "*") {
		return h == p.text
	}
	name, port, _ := cutPort(h)
	wantName, wantPort, _ := cutPort(p.text)
	labels, want := strings.Split(name, "."), strings.Split(wantName, ".")
	if port != wantPort || len(labels) != len(want) {
		return false
	}
	for i := range want {
		// A label holds no "/" and no other sign that path.Match knows.
		if ok, err := path.Match(want[i], labels[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// What DNS can carry (RFC 1035 section 2.3.4), in characters.
const (
	maxHost  = 253
	maxLabel = 63
)

func parse(s string, pattern bool) (string, error) {
	switch {
	case s == "":
		return "", errors.New("it is empty")
	case strings.Contains(s, "://"):
		return "", errors.New("it has a scheme; write the host alone")
	case strings.Contains(s, "/"):
		return "", errors.New("it has a path; write the host alone")
	case strings.Contains(s, "@"):
		return "", errors.New("it has a user name; write the host alone")
	}
	name, port, err := cutPort(strings.ToLower(s))
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(name, "[") {
		if name, err = parseIPv6(name); err != nil {
			return "", err
		}
	} else if err := checkName(name, pattern); err != nil {
		return "", err
	}
	if port != "" {
		return name + ":" + port, nil
	}
	if !strings.ContainsAny(name, ".:") && name != "localhost" {
		return "", errors.New("it has neither a dot nor a port: in the name of an image it would be a folder of docker.io")
	}
	return name, nil
}

// cutPort splits "name:port"; the port is checked and may be absent.
func cutPort(s string) (name, port string, err error) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || strings.HasSuffix(s, "]") {
		return s, "", nil
	}
	name, port = s[:colon], s[colon+1:]
	if strings.Contains(name, ":") && !strings.HasSuffix(name, "]") {
		return "", "", errors.New("it has more than one colon; an IPv6 address stands in brackets")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		return "", "", errors.New("its port is not a number from 1 to 65535")
	}
	return name, port, nil
}

func parseIPv6(s string) (string, error) {
	inner, closed := strings.CutSuffix(s[1:], "]")
	addr, err := netip.ParseAddr(inner)
	if err != nil || !closed || !addr.Is6() || addr.Zone() != "" {
		return "", errors.New("it is not an IPv6 address in brackets")
	}
	return "[" + addr.String() + "]", nil
}

func checkName(name string, pattern bool) error {
	if len(name) > maxHost {
		return fmt.Errorf("it is longer than %d characters", maxHost)
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if err := checkLabel(label, pattern); err != nil {
			return err
		}
	}
	// Nobody can be called 10.0.0.256: a last label of digits is an address.
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		if _, err := netip.ParseAddr(name); err != nil {
			return errors.New("it looks like an IPv4 address and is none")
		}
	}
	return nil
}

func checkLabel(label string, pattern bool) error {
	switch {
	case label == "":
		return errors.New("a part between its dots is empty")
	case len(label) > maxLabel:
		return fmt.Errorf("a part between its dots is longer than %d characters", maxLabel)
	case label[0] == '-' || label[len(label)-1] == '-':
		return errors.New(`a part between its dots begins or ends with "-"`)
	}
	for _, c := range label {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-':
		case c == '*' && pattern:
		case c == '*':
			return errors.New(`it has a "*"; write the host in full`)
		default:
			return fmt.Errorf("it has the character %q", c)
		}
	}
	return nil
}
