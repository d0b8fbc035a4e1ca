package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

// diagnosisText is the verdict first, then the evidence and the fix, then the chain.
func (p *program) diagnosisText(d *explain.Diagnosis) string {
	var b strings.Builder
	p.verdictText(&b, d)
	p.chainText(&b, d)
	p.triedText(&b, d.Tried)
	p.viewText(&b, d.View)
	if len(d.AlsoNoticed) > 0 {
		b.WriteString("\n  also noticed\n")
		for _, f := range d.AlsoNoticed {
			lines := facts{margin: "    "}
			lines.lines(strings.TrimSpace(fmt.Sprintf("%s  %s", f.Code, f.Sentence)))
			b.WriteString(lines.String())
		}
	}
	timelineText(&b, d.Timeline)
	notCheckedText(&b, d.NotChecked)
	return strings.TrimSuffix(b.String(), "\n")
}

// timelineText tells who wrote what, and when; the newest, where that is much.
func timelineText(b *strings.Builder, all []explain.Moment) {
	const most = 12
	if len(all) == 0 {
		return
	}
	b.WriteString("\n  when (UTC)\n")
	if older := len(all) - most; older > 0 {
		fmt.Fprintf(b, "    %d older ones are left out here: -o json has all\n", older)
		all = all[older:]
	}
	lines := facts{margin: "    ", width: len(time.DateTime)}
	for _, m := range all {
		what := m.What
		if m.Who != "" {
			what += " (" + m.Who + ")"
		}
		lines.add(m.At.UTC().Format(time.DateTime), what)
	}
	b.WriteString(lines.String())
}

// notCheckedText tells what could not be looked at, and which right it takes.
func notCheckedText(b *strings.Builder, list []explain.NotChecked) {
	if len(list) > 0 {
		b.WriteString("\n  not checked\n")
		for _, n := range list {
			lines := facts{margin: "    "}
			lines.lines(n.What + ": " + n.Why)
			if n.Rule != "" {
				lines.lines("it takes this rule in a " + roleOf(n) + ":")
				lines.lines(n.Rule)
			}
			b.WriteString(lines.String())
		}
	}
}

// roleOf is the kind of role that a rule stands in: nodes have no namespace, and what is
// read of other namespaces is in all of them.
func roleOf(n explain.NotChecked) string {
	if strings.Contains(n.Rule, `"nodes"`) || strings.Contains(n.Rule, `"leases"`) || strings.HasSuffix(n.What, "of other namespaces") {
		return "ClusterRole"
	}
	return "Role"
}

func (p *program) verdictText(b *strings.Builder, d *explain.Diagnosis) {
	v := d.Verdict
	signs := map[explain.Status]string{
		explain.OK: p.paintOut(green, "✓"), explain.Broken: p.paintOut(red, "✗"), explain.Inconclusive: p.paintOut(yellow, "?"), explain.Waiting: p.paintOut(yellow, "…"),
	}
	head := string(v.Code)
	if head == "" {
		head = string(v.Status)
	}
	for _, other := range v.Alternatives {
		head += " or " + string(other.Code)
		v.Sentence += "; or: " + other.Sentence
		v.Fixes = slices.Concat(v.Fixes, other.Fixes)
	}
	fmt.Fprintf(b, "%s %s", signs[v.Status], p.paintOut(bold, head))
	if v.Certainty != "" {
		fmt.Fprintf(b, "  [%s]", v.Certainty)
	}
	b.WriteString("\n")
	lines := facts{margin: "  "}
	lines.lines(v.Sentence)
	b.WriteString(lines.String() + "\n")
	lines = facts{margin: "    ", width: 8}
	what := "pod"
	if d.Target.Workload != "" {
		what = "owner"
	}
	lines.add(what, nameOf(&d.Target)+", "+d.Target.ContainerKind+" "+d.Target.Container)
	if v.Compare == nil {
		lines.add("image", d.Target.Image)
	}
	b.WriteString(lines.String())
	compareText(b, v.Compare)
	for _, e := range v.Evidence {
		lines = facts{margin: "    "}
		lines.lines(e)
		b.WriteString(lines.String())
	}
	for _, f := range v.Fixes {
		lines = facts{margin: "  ", width: 4}
		lines.add("fix", f.Title)
		b.WriteString("\n" + lines.String())
		if f.Command != "" {
			b.WriteString(commandLines(clean(f.Command), "       "))
		}
	}
	if v.Code != "" {
		fmt.Fprintf(b, "\n  docs pullkey explain %s\n", v.Code)
	}
}

// commandLines breaks a command between its words, as a shell reads it on.
func commandLines(command, margin string) string {
	var b strings.Builder
	line := margin
	for _, word := range shellWords(command) {
		if len(line) > len(margin) && len(line)+len(word)+len(" \\") > columns {
			b.WriteString(line + "\\\n")
			line = margin + "  "
		}
		line += word + " "
	}
	return b.String() + strings.TrimRight(line, " ") + "\n"
}

// shellWords are the words of a command, each with its quotes.
func shellWords(command string) []string {
	var words []string
	quotes := false
	return append(words, strings.FieldsFunc(command, func(r rune) bool {
		if r == '\'' {
			quotes = !quotes
		}
		return r == ' ' && !quotes
	})...)
}

// compareText writes image and key one above the other, with signs below the first
// letters that differ.
func compareText(b *strings.Builder, c *explain.Compare) {
	if c == nil {
		return
	}
	image, key := explain.Differing(clean(c.ImageIs), clean(c.KeyIs))
	below := func(line [3]string) string {
		return "             " + strings.Repeat(" ", utf8.RuneCountInString(line[0])) + strings.Repeat("^", utf8.RuneCountInString(line[1])) + "\n"
	}
	fmt.Fprintf(b, "    image    %s\n", strings.Join(image[:], ""))
	if key[1] == "" { // the key lacks something
		b.WriteString(below(image))
	}
	fmt.Fprintf(b, "    key      %s   (%s)\n", strings.Join(key[:], ""), clean(c.Of))
	if key[1] != "" {
		b.WriteString(below(key))
	}
}

func (p *program) chainText(b *strings.Builder, d *explain.Diagnosis) {
	names := linkNames()
	seen := slices.ContainsFunc(d.Steps, func(s explain.Step) bool { return s.Vantage != cause.API })
	b.WriteString(map[bool]string{true: "\n  the chain, and whence each link is seen\n", false: "\n  the chain, from the API server's objects alone\n"}[seen])
	from := map[cause.Vantage]string{cause.API: "api", cause.Client: "here", cause.Node: "node"}
	for _, s := range d.Steps {
		lines, name := facts{margin: "    ", width: 15}, names[s.Link]
		if seen {
			lines.width, name = 20, fmt.Sprintf("%-15s %s", name, from[s.Vantage])
		}
		lines.add(name, s.Summary)
		b.WriteString("  " + p.sign(s.Status) + " " + strings.TrimPrefix(lines.String(), lines.margin))
	}
}

// sign is what became of a link, in a letter.
func (p *program) sign(s explain.StepStatus) string {
	return map[explain.StepStatus]string{
		explain.Pass: p.paintOut(green, "✓"), explain.Fail: p.paintOut(red, "✗"), explain.Warn: p.paintOut(yellow, "!"), explain.Skip: "·", explain.Unknown: "?",
	}[s]
}
