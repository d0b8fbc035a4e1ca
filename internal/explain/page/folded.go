package page

import "github.com/pullkey/pullkey/internal/explain"

// folded is what shows that it is so, for who wants to see it.
func (p *page) folded(d *explain.Diagnosis) {
	if o := d.Observed; o != nil {
		p.add("<details><summary>What the runtime said</summary><pre>%s: %s</pre></details>\n", o.Reason, prose(o.Message))
	}
	rows(p, "Evidence", d.Verdict.Evidence, func(e string) { p.add("<td>%s</td>", prose(e)) })
	rows(p, "Also noticed", d.AlsoNoticed, func(f explain.Finding) { p.add("<td>%s</td><td>%s</td>", f.Code, prose(f.Sentence)) })
	rows(p, "The entries of the pod's Secrets", d.Logins, func(l explain.Login) {
		is := "not for the image: " + l.Mismatch
		if l.Matched {
			is = "for the image"
		}
		p.add("<td>%s</td><td class=\"key\">%s</td><td>%s</td><td>%s</td>", l.Secret, prose(l.Key), l.Username, is)
	})
	rows(p, "Who wrote what, and when", d.Timeline, func(m explain.Moment) {
		p.add("<td>%s</td><td>%s</td><td class=\"dim\">%s</td>", stamp(m.At), prose(m.What), m.Who)
	})
	rows(p, "Not checked", d.NotChecked, func(n explain.NotChecked) {
		p.add("<td>%s</td><td>%s</td><td class=\"key\">%s</td>", n.What, prose(n.Why), prose(n.Rule))
	})
}

// rows folds a table away, where there is one.
func rows[T any](p *page, summary string, list []T, row func(T)) {
	if len(list) == 0 {
		return
	}
	p.add("<details><summary>%s (%d)</summary><table>\n", summary, len(list))
	for _, one := range list {
		p.add("<tr>")
		row(one)
		p.add("</tr>\n")
	}
	p.add("</table></details>\n")
}
