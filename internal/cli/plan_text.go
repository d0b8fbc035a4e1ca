package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/footprint"
)

// planFound is the JSON document of the command plan.
type planFound struct {
	// From says where the configuration stands.
	From       []string `json:"from"`
	Namespace  string   `json:"namespace"`
	Installed  bool     `json:"installed"`
	SecretName string   `json:"secretName"`
	// Pods and ServiceAccounts tell what gets the Secret's name.
	Pods            bool       `json:"injectsPods"`
	ServiceAccounts bool       `json:"injectsServiceAccounts"`
	HandBack        bool       `json:"handBack,omitempty"`
	Helper          *helper    `json:"vendorsHelper,omitempty"`
	Counts          planCounts `json:"counts"`
	// Namespaces are those in which pullkey has something to do, or would have.
	Namespaces []footprint.Decision `json:"namespaces"`
}

// planCounts are numbers of namespaces, and of ServiceAccounts.
type planCounts struct {
	Namespaces int `json:"namespaces"`
	Watched    int `json:"watched"`
	Create     int `json:"create"`
	Keep       int `json:"keep"`
	Adopt      int `json:"adopt"`
	HandBack   int `json:"handBack,omitempty"`
	LeaveAlone int `json:"leave"`
	Remove     int `json:"remove"`
	Unserved   int `json:"unserved"`
	Going      int `json:"terminating"`
	Attach     int `json:"attach"`
	Detach     int `json:"detach"`
}

// decide asks for every namespace what the controller does there.
func (f *planFound) decide(choice *footprint.Choice, standing []footprint.Found) {
	f.Pods, f.ServiceAccounts = !choice.Selection.NoPods, !choice.Selection.NoServiceAccounts
	f.HandBack = choice.Selection.HandBack
	f.Namespaces = []footprint.Decision{}
	c := &f.Counts
	for _, s := range standing {
		d := choice.Decide(s)
		c.Namespaces++
		c.Attach += len(d.Attach)
		c.Detach += len(d.Detach)
		if d.Watched {
			c.Watched++
		}
		*map[footprint.Act]*int{
			footprint.Create: &c.Create, footprint.Keep: &c.Keep, footprint.Adopt: &c.Adopt,
			footprint.LeaveAlone: &c.LeaveAlone, footprint.Remove: &c.Remove, footprint.HandBack: &c.HandBack, footprint.Nothing: new(int),
		}[d.Act]++
		switch {
		case d.Terminating && d.Watched:
			c.Going++
		case d.Watched && !choice.Serves(d.Namespace):
			c.Unserved++
		}
		if d.Watched || d.Act != footprint.Nothing {
			f.Namespaces = append(f.Namespaces, d)
		}
	}
}

// trouble says that a namespace would not be served.
func (f *planFound) trouble() error {
	n := f.Counts.LeaveAlone
	if n == 0 {
		return nil
	}
	err := fmt.Errorf("%d of %s that are to be served would not be: the Secret %s there is left alone", n, many(f.Counts.Watched, "namespace"), f.SecretName)
	if slices.ContainsFunc(f.Namespaces, func(d footprint.Decision) bool { return d.Adoptable }) {
		return advise(err, `pullkey takes over what somebody else made with adopt: "true" in ConfigMap %s/pullkey (value adopt of the chart)`, f.Namespace)
	}
	return err
}

// many writes how many there are of something.
func many(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// planText tells a plan for people: the counts first, then the namespaces,
// those together in which the same is done.
func (p *program) planText(f *planFound) string {
	head := facts{width: 15}
	head.add("configuration", f.From...)
	installed := "is not installed in namespace " + f.Namespace
	if f.Installed {
		installed = "is installed in namespace " + f.Namespace
	}
	head.add("pullkey", installed)
	if h := f.Helper; h != nil {
		line := "Deployment " + h.Deployment + ", " + many(int(h.Replicas), "replica")
		if h.Replicas > 0 {
			line += ": it writes the same Secrets unless pullkey's has another name"
		}
		head.add("vendor's helper", line)
	}
	head.add("Secret", f.SecretName)
	head.add("pods", map[bool]string{true: "are born with its name where they need it", false: "are left as they are"}[f.Pods])
	if f.HandBack {
		head.add("hand back", "all is left as it is, and pullkey writes nothing (handBack is true)")
	}
	head.add("ServiceAccounts", map[bool]string{true: "get its name", false: "are left as they are"}[f.ServiceAccounts])

	text := head.String() + "\n" + p.countsText(f.Counts)
	for _, group := range planGroups(f.Namespaces) {
		text += "\n" + p.paintOut(bold, group.title) + "\n"
		lines := facts{margin: "  "}
		for _, detail := range group.details {
			lines.lines(detail)
		}
		lines.lines(some(group.names, group.whole))
		text += lines.String()
	}
	return strings.TrimSuffix(text, "\n")
}

func (p *program) countsText(c planCounts) string {
	var b strings.Builder
	for _, row := range []struct {
		n     int
		text  string
		style string
		zero  bool // is told too
	}{
		{c.Namespaces, "namespaces", "", true},
		{c.Watched, "of them are chosen", "", true},
		{c.Create, "get the Secret", "", true},
		{c.Keep, "have it, and it is kept up to date", "", true},
		{c.Adopt, "have somebody else's, which is TAKEN OVER", yellow, false},
		{c.HandBack, "have it, and it is HANDED BACK to others", yellow, false},
		{c.LeaveAlone, "have one that is LEFT ALONE: nothing is written there", red, false},
		{c.Unserved, "are chosen, and no instance is for them", yellow, false},
		{c.Going, "are going away, and nothing is done there", "", false},
		{c.Remove, "are not served any more, and lose the Secret", yellow, false},
		{c.Attach, "ServiceAccounts get the Secret's name", "", true},
		{c.Detach, "ServiceAccounts lose it", yellow, false},
	} {
		if row.n == 0 && !row.zero {
			continue
		}
		line := fmt.Sprintf("%7d  %s", row.n, row.text)
		if row.style != "" {
			line = p.paintOut(row.style, line)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// planGroup are the namespaces in which the same is done for the same reason.
type planGroup struct {
	title   string
	details []string
	names   []string
	whole   bool // every name is told
}

// shownNames is how many names are told where many are as they should be.
const shownNames = 24

// planGroups puts together what is alike; what hinders comes first.
func planGroups(decisions []footprint.Decision) []planGroup {
	titles := []struct {
		act   footprint.Act
		title string
		whole bool
	}{
		{footprint.LeaveAlone, "left alone", true},
		{footprint.Adopt, "taken over", true},
		{footprint.HandBack, "handed back", true},
		{footprint.Remove, "not served any more", true},
		{footprint.Create, "get the Secret", false},
		{footprint.Keep, "have the Secret", false},
	}
	var groups []planGroup
	for _, t := range titles {
		alike := map[string][]footprint.Decision{}
		for _, d := range decisions {
			if d.Act == t.act {
				why := why(d)
				alike[why] = append(alike[why], d)
			}
		}
		var reasons []string
		for reason := range alike {
			reasons = append(reasons, reason)
		}
		slices.SortFunc(reasons, func(a, b string) int {
			return cmp.Or(len(alike[b])-len(alike[a]), strings.Compare(a, b))
		})
		for _, reason := range reasons {
			groups = append(groups, groupOf(t.title, reason, t.whole, alike[reason]))
		}
	}
	return groups
}

func groupOf(title, reason string, whole bool, decisions []footprint.Decision) planGroup {
	g := planGroup{title: many(len(decisions), "namespace") + ": " + title, whole: whole}
	if reason != "" {
		g.details = append(g.details, reason)
	}
	attach, detach := map[string]int{}, map[string]int{}
	for _, d := range decisions {
		g.names = append(g.names, d.Namespace)
		for _, name := range d.Attach {
			attach[name]++
		}
		for _, name := range d.Detach {
			detach[name]++
		}
	}
	if len(attach) > 0 {
		g.details = append(g.details, "named by ServiceAccounts "+tally(attach))
	}
	if len(detach) > 0 {
		g.details = append(g.details, "named no more by ServiceAccounts "+tally(detach))
	}
	if len(decisions) > 0 && decisions[0].Act == footprint.Remove {
		g.details = append(g.details, "the Secret goes once no pod names it")
	}
	return g
}

// why says why a Secret is left alone or taken over, and who writes it.
func why(d footprint.Decision) string {
	if d.Why == "" {
		return ""
	}
	text := "the Secret " + d.Why
	if len(d.Writers) > 0 {
		text += "; written by " + strings.Join(d.Writers, ", ")
	}
	return text
}

// tally writes names with how often they are, the most frequent first.
func tally(of map[string]int) string {
	var names []string
	for name := range of {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(of[b]-of[a], strings.Compare(a, b)) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%d)", name, of[name])
	}
	return some(names, false)
}

// some lists names, and of many the first.
func some(names []string, whole bool) string {
	if whole || len(names) <= shownNames {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more (-o json has all)", strings.Join(names[:shownNames], ", "), len(names)-shownNames)
}
