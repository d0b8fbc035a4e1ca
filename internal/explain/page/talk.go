package page

import (
	"fmt"
	"slices"

	"github.com/pullkey/pullkey/internal/explain"
)

// The measures of a sequence diagram, in the units of its own drawing.
const (
	lane   = 300 // from one party to the next
	margin = 90
	row    = 46
	top    = 40
	// longest is how much of a path is shown in a row.
	longest = 38
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
	width, height := 2*margin+(len(parties)-1)*lane, top+len(t.Requests)*row+row/2
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
	p.add("<g><title>%s %s%s</title><text x=\"%d\" y=\"%d\" dy=\"-4\" text-anchor=\"middle\">%s %s</text><line class=\"ask\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n",
		r.Method, r.Host, r.Path, middle, y, r.Method, short(r.Path), margin, y, to, y)
	p.add("<line class=\"said %s\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/><text class=\"%s\" x=\"%d\" y=\"%d\" dy=\"-4\" text-anchor=\"middle\">%s</text></g>\n",
		class, to, back, margin, back, class, middle, back, said)
}

// short is the end of a path that is too long, which tells more than its begin.
func short(path string) string {
	if r := []rune(path); len(r) > longest {
		return "…" + string(r[len(r)-longest+1:])
	}
	return path
}
