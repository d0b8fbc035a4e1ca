// Package webhook answers the API server where the policies that inject do not
// run: pods and ServiceAccounts are born with the pull Secret's name.
//
// Its one rule: it refuses nothing, and decides what the policies decide from the
// same parameters; where these would fail, it does nothing.
package webhook

import (
	"regexp"
	"strings"
)

// truth is what an expression of the policies comes to. In CEL one that fails
// counts only where the others leave it to decide, whatever their order: so "and"
// is the least of several, and "or" the greatest.
type truth int8

const (
	no truth = iota
	fails
	yes
)

func is(b bool) truth {
	if b {
		return yes
	}
	return no
}

func not(t truth) truth { return yes - t }

// Parameters are those of ConfigMap pullkey-injection, as the policies read them.
type Parameters struct {
	data        map[string]string
	expressions map[string]*regexp.Regexp // by what was written; nil for none at all
}

// The parameters that hold an expression, one whole or a line for each.
const (
	keyHosts    = "hosts-matching"
	keyMatching = "namespaces-matching"
	keyExcept   = "namespaces-except"
	keyLabelled = "namespaces-labelled"
	keyAccounts = "serviceaccounts-matching"
)

// Parse reads the data of the ConfigMap. What cannot be read fails when it is
// asked for, as in a policy.
func Parse(data map[string]string) *Parameters {
	p := &Parameters{data, map[string]*regexp.Regexp{}}
	for _, key := range []string{keyHosts, keyMatching, keyExcept, keyAccounts} {
		p.compile(data[key])
	}
	for line := range strings.SplitSeq(data[keyLabelled], "\n") {
		p.compile(strings.TrimPrefix(line, "!"))
	}
	return p
}

func (p *Parameters) compile(text string) {
	expression, err := regexp.Compile(text)
	if err != nil {
		expression = nil
	}
	p.expressions[text] = expression
}

func (p *Parameters) has(key string) truth {
	_, ok := p.data[key]
	return is(ok)
}

// matches tells whether there is such an expression and it fits the text.
func (p *Parameters) matches(key, text string) truth {
	expression, ok := p.data[key]
	if !ok {
		return no
	}
	return p.fits(expression, text)
}

func (p *Parameters) fits(expression, text string) truth {
	compiled := p.expressions[expression]
	if compiled == nil {
		return fails
	}
	return is(compiled.MatchString(text))
}

// Namespace is what decides of a namespace.
type Namespace struct {
	Name   string
	Labels map[string]string
}

// asksForLabels tells whether a namespace's name alone may not be enough.
func (p *Parameters) asksForLabels() bool { return p.has(keyLabelled) == yes }

// labelled tells whether the labels fulfil every requirement: some label, written
// key=value, fits, or, behind a "!", none does.
func (p *Parameters) labelled(labels map[string]string) truth {
	all := p.has(keyLabelled)
	for line := range strings.SplitSeq(p.data[keyLabelled], "\n") {
		expression, turned := strings.CutPrefix(line, "!")
		some := no
		for key, value := range labels {
			some = max(some, p.fits(expression, key+"="+value))
		}
		if turned {
			some = not(some)
		}
		all = min(all, some)
	}
	return all
}

// chooses tells whether what is born in the namespace may get the name.
func (p *Parameters) chooses(n Namespace) truth {
	return min(
		max(not(p.has("only-some")), p.has("only."+n.Name)),
		not(p.matches(keyExcept, n.Name)),
		max(p.has("all-namespaces"), p.has("ns."+n.Name), p.matches(keyMatching, n.Name), p.labelled(n.Labels)),
	)
}

// choosesAccount tells whether a ServiceAccount of that name, which may not be
// known yet, is one of those that get it.
func (p *Parameters) choosesAccount(name string) truth {
	named := is(name != "")
	return max(p.has("all-serviceaccounts"), min(named, p.has("sa."+name)), min(named, p.matches(keyAccounts, name)))
}

// manages tells whether one of the images is of a managed registry.
func (p *Parameters) manages(images []string) truth {
	some := no
	for _, image := range images {
		host, _, _ := strings.Cut(image, "/")
		host = strings.Map(lowerASCII, host)
		some = max(some, p.has("host."+strings.ReplaceAll(host, ":", "_")), p.matches(keyHosts, host))
	}
	return some
}

// lowerASCII leaves all else as it is, as CEL does.
func lowerASCII(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}
