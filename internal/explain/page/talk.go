package page

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pullkey/pullkey/internal/explain"
)

// The measures of a sequence diagram, in the units of its own drawing.
const (
	lane   = 300 // from one party to the next
	margin = 90
	row    = 46
	top    = 40
	// longest is how much of a path is shown in a row.
	longest = 34
	letter  = 8 // of what is written in it
)

// tried draws the requests of an attempt between who asks and the hosts that answer, in
// the order in which they come in.
func (p *page) tried(t *explain.Tried) {
	who, how := "Asked as nobody", "it is let in"
	if t.Who != explain.Nobody {
		who = fmt.Sprintf("Asked as user %s of Secret %s", t.Username, t.Secret)
	}
	if t.Stopped != nil {
		how = t.Stopped.Text
	}
	p.add("<h2>%s <span class=\"dim\">%s</span></h2>\n", who, how)
	if len(t.Requests) == 0 {
		return
	}
	parties := []string{"pullkey, here"}
	for _, r := range t.Requests {
		if !slices.Contains(parties[1:], r.Host) {
			parties = append(parties, r.Host)
		}
	}
	last := utf8.RuneCountInString(parties[len(parties)-1]) * letter / 2
	width, height := margin+(len(parties)-1)*lane+max(margin, last), top+len(t.Requests)*row+row/2
	p.add("<div class=\"scroll\"><svg width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"the requests and answers in their order\">\n", width, height, width, height)
	for i, party := range parties {
		x := margin + i*lane
		p.add("<text x=\"%d\" y=\"20\" text-anchor=\"middle\">%s</text><line class=\"life\" x1=\"%d\" y1=\"28\" x2=\"%d\" y2=\"%d\"/>\n", x, party, x, x, height)
	}
	for i, r := range t.Requests {
		p.arrows(r, margin+(1+slices.Index(parties[1:], r.Host))*lane, top+row/2+i*row)
	}
	p.add("</svg></div>\n")
}

// view tells what the node sees.
func (p *page) view(v *explain.View) {
	if v == nil {
		return
	}
	p.add("<h2>Seen from node %s <span class=\"dim\">as nobody</span></h2>\n<dl>\n", v.Node)
	line := func(name string, texts ...string) {
		for i, text := range slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return text == "" }) {
			if i == 0 {
				p.add("<dt>%s</dt>", name)
			}
			p.add("<dd>%s</dd>\n", prose(text))
		}
	}
	line("settings", v.File)
	line("proxy", v.Proxies...)
	line("clock", v.ClockText())
	line("trusts", v.Trust...)
	line("unread", v.Unread...)
	if v.File != "" {
		line("asks", "in this order")
	}
	p.add("</dl>\n<ol class=\"chain\">\n")
	for i := range v.Hosts {
		h := &v.Hosts[i]
		status, text := v.Summary(*h)
		p.add("<li class=\"%s\" data-sign=\"%s\"><b>%s</b><span>%s</span><span>%s</span></li>\n", status, signs[string(status)], prose(h.URL), strings.TrimLeft(h.Terms(), " ,"), prose(text))
	}
	p.add("</ol>\n")
}

// arrows are a request and its answer.
func (p *page) arrows(r explain.Request, to, y int) {
	said, class := fmt.Sprintf("%d, %d ms", r.Status, r.TookMs), "well"
	if r.Status == 0 {
		said = fmt.Sprintf("no answer, %d ms", r.TookMs)
	}
	if r.Status == 0 || r.Status >= 400 {
		class = "ill"
	}
	middle, back := to-lane/2, y+row/2-4
	p.add("<g><title>%s %s%s</title><text x=\"%d\" y=\"%d\" dy=\"-4\" text-anchor=\"middle\">%s %s</text><path class=\"ask\" d=\"M%d %dH%dm-7 -4 7 4-7 4\"/>\n",
		r.Method, r.Host, r.Path, middle, y, r.Method, short(r.Path), margin, y, to)
	p.add("<path class=\"said %s\" d=\"M%d %dH%dm7 -4-7 4 7 4\"/><text class=\"%s\" x=\"%d\" y=\"%d\" dy=\"-4\" text-anchor=\"middle\">%s</text></g>\n",
		class, to, back, margin, class, middle, back, said)
}

// short is the end of a path that is too long, which tells more than its begin.
func short(path string) string {
	if r := []rune(path); len(r) > longest {
		return "…" + string(r[len(r)-longest+1:])
	}
	return path
}
