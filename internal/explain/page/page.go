// Package page shows diagnoses as one page of HTML: the chain as a picture, what was said
// with a registry as a sequence diagram, the evidence folded.
//
// Its one rule: the page holds all that it needs. It has no script, asks for nothing, and
// what comes from a cluster or a registry is text in it, whatever signs it holds.
package page

import (
	_ "embed"
	"fmt"
	"html"
	"strings"
	"time"
	"unicode"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

//go:embed page.css
var style string

// Options are what a page says besides the diagnoses.
type Options struct {
	At    time.Time             // when they were made
	Names map[cause.Link]string // the links as people read them
}

// Of returns the page of some diagnoses. Where there is none, the page says so.
func Of(all []explain.Diagnosis, o Options) string {
	p := &page{Options: o}
	p.add(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>%s</title>
<style>
`, title(all))
	p.text.WriteString(style)
	p.add("</style>\n</head>\n<body>\n")
	for i := range all {
		p.diagnosis(&all[i])
	}
	if len(all) == 0 {
		p.add("<p class=\"ok\">✓ no pod has an image that cannot be had</p>\n")
	}
	p.add("<p class=\"dim\">pullkey, %s</p>\n</body>\n</html>\n", stamp(o.At))
	return p.text.String()
}

// page is one being written.
type page struct {
	Options
	text strings.Builder
}

// add writes a form of HTML with values in it, of which none is HTML.
func (p *page) add(form string, values ...any) {
	for i, v := range values {
		switch v := v.(type) {
		case int:
		case prose:
			values[i] = v.broken()
		default:
			values[i] = escaped(fmt.Sprint(v))
		}
	}
	fmt.Fprintf(&p.text, form, values...)
}

// escaped is a text as it stands in HTML.
func escaped(text string) string { return html.EscapeString(printable(text)) }

// printable puts a sign in the place of each that is not to be seen, or that turns the
// direction of a text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

func stamp(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }

// signs are how a step or a verdict stands, for those who see no colours.
var signs = map[string]string{
	"ok": "✓", "pass": "✓", "broken": "✗", "fail": "✗", "warn": "!", "unknown": "?", "inconclusive": "?", "waiting": "…", "skip": "·",
}

// title is the page's name in a browser.
func title(all []explain.Diagnosis) string {
	if len(all) != 1 {
		return fmt.Sprintf("%d failed pulls", len(all))
	}
	return strings.Join(codes(&all[0].Verdict), " or ") + ": " + nameOf(&all[0].Target)
}

// codes are those of a verdict, or how it stands.
func codes(v *explain.Verdict) []string {
	if v.Code == "" {
		return []string{string(v.Status)}
	}
	all := []string{string(v.Code)}
	for _, other := range v.Alternatives {
		all = append(all, string(other.Code))
	}
	return all
}

func nameOf(t *explain.Target) string {
	if t.Workload != "" {
		return t.Namespace + "/" + t.Workload
	}
	return t.Namespace + "/" + t.Pod
}

func (p *page) diagnosis(d *explain.Diagnosis) {
	v := &d.Verdict
	p.add("<article>\n<h1><span class=\"%s\">%s %s</span> <span class=\"dim\">%s</span></h1>\n", v.Status, signs[string(v.Status)], strings.Join(codes(v), " or "), v.Certainty)
	sentence := v.Sentence
	for _, other := range v.Alternatives {
		sentence += "; or: " + other.Sentence
	}
	p.add("<p>%s</p>\n", sentence)
	p.target(d)
	p.fixes("Fix", v.Fixes)
	for _, other := range v.Alternatives {
		p.fixes("Fix, if it is "+string(other.Code), other.Fixes)
	}
	p.add("<h2>The chain of the pull</h2>\n<ol class=\"chain\">\n")
	for _, s := range d.Steps {
		from := map[cause.Vantage]string{cause.Client: "from here", cause.Node: "from the node"}[s.Vantage]
		p.add("<li class=\"%s\" data-sign=\"%s\"><b>%s</b><span>%s</span><span>%s</span></li>\n", s.Status, signs[string(s.Status)], p.name(s.Link), from, prose(s.Summary))
	}
	p.add("</ol>\n")
	for i := range d.Tried {
		p.tried(&d.Tried[i])
	}
	p.view(d.View)
	p.folded(d)
	if v.Code != "" {
		p.add("<p class=\"dim\">All there is to know of it: <code>pullkey explain %s</code></p>\n", v.Code)
	}
	p.add("</article>\n")
}

func (p *page) name(l cause.Link) string {
	if name := p.Names[l]; name != "" {
		return name
	}
	return string(l)
}

func (p *page) target(d *explain.Diagnosis) {
	what := "pod"
	if d.Target.Workload != "" {
		what = "owner"
	}
	p.add("<dl>\n<dt>%s</dt><dd>%s, %s %s</dd>\n", what, nameOf(&d.Target), d.Target.ContainerKind, d.Target.Container)
	if c := d.Verdict.Compare; c != nil {
		p.add("<dt>image</dt><dd class=\"key\">")
		image, key := explain.Differing(c.ImageIs, c.KeyIs)
		p.marked(image)
		p.add("</dd>\n<dt>key</dt><dd class=\"key\">")
		p.marked(key)
		p.add(" <span class=\"dim\">%s</span></dd>\n", c.Of)
	} else {
		p.add("<dt>image</dt><dd class=\"key\">%s</dd>\n", d.Target.Image)
	}
	if d.Target.Node != "" {
		p.add("<dt>node</dt><dd>%s</dd>\n", d.Target.Node)
	}
	p.add("</dl>\n")
}

// marked marks the middle.
func (p *page) marked(parts [3]string) {
	p.add("%s", parts[0])
	if parts[1] != "" {
		p.add("<mark>%s</mark>", parts[1])
	}
	p.add("%s", parts[2])
}

func (p *page) fixes(heading string, list []explain.Fix) {
	if len(list) == 0 {
		return
	}
	p.add("<h2>%s</h2>\n", heading)
	for _, f := range list {
		p.add("<p>%s</p>\n", f.Title)
		if f.Command != "" {
			p.add("<pre>%s</pre>\n", f.Command)
		}
	}
}
