package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/status"
)

// statusText tells a status for people: the whole first, then each account.
func (p *program) statusText(s statusFound) string {
	whole := facts{width: 14}
	whole.add("configuration", configurationText(s.Configuration)...)
	whole.add("region", regionText(s.Region))
	if i := s.Injection; i.State != "" {
		whole.add("injection", injectionText(i)...)
	}
	whole.add("namespaces", namespacesText(s.Status)...)
	if lines := othersText(s.Status); len(lines) > 0 {
		whole.add("others", lines...)
	}
	written := []string{moment(s.WrittenAt, s.Now) + ", by controller " + s.Controller}
	if s.Silent {
		written = append(written, "the controller has not written since, and should have: it may be down")
	}
	whole.add("written", written...)
	text := whole.String()
	for _, a := range s.Accounts {
		text += "\n" + p.accountText(a, s.Now)
	}
	if len(s.Accounts) == 0 {
		text += "\nno account\n"
	}
	return strings.TrimSuffix(text, "\n")
}

func configurationText(c status.Configuration) []string {
	inForce := map[string]string{
		"configuration": "in force", "last good": "the last good one is in force", "nothing": "nothing is in force",
	}[c.InForce]
	if inForce == "" {
		inForce = "in force is: " + c.InForce
	}
	if c.Valid {
		return []string{"valid, " + inForce}
	}
	lines := []string{"NOT VALID; " + inForce}
	// A problem of several keys has a line for each.
	for line := range strings.Lines(c.Problem) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	for line := range strings.Lines(c.Hint) {
		lines = append(lines, "hint: "+strings.TrimSuffix(line, "\n"))
	}
	return lines
}

func injectionText(i status.Injection) []string {
	lines := []string{map[status.InjectionState]string{
		status.InjectionActive:   "active: pods are born with the name of the pull Secret",
		status.InjectionInactive: "NOT ACTIVE",
		status.InjectionUnknown:  "not known",
		status.InjectionOff:      "switched off",
	}[i.State]}
	if i.By == status.ByWebhook {
		lines[0] += ", by the webhook"
	}
	if i.Problem != "" {
		lines = append(lines, i.Problem)
	}
	if i.Hint != "" {
		lines = append(lines, "hint: "+i.Hint)
	}
	return lines
}

func namespacesText(s status.Status) []string {
	lines := []string{fmt.Sprintf("%d watched", s.Namespaces)}
	if s.HandedBack {
		lines = append(lines, "HANDED BACK: all pull Secrets are left to others, and nothing is injected")
	}
	if s.Leaving > 0 {
		lines = append(lines, fmt.Sprintf("%d not watched any more, with the pull Secret still there: it stays until no pod names it", s.Leaving))
	}
	if s.Refused > 0 {
		lines = append(lines, fmt.Sprintf("%d WHERE THE API SERVER REFUSES the pull Secret or its name: see the Events WriteRefused", s.Refused))
	}
	return lines
}

// othersText tells who else writes Secrets of the pull Secret's name.
func othersText(s status.Status) []string {
	var lines []string
	if s.Others.Helper != "" {
		lines = append(lines, "THE VENDOR'S HELPER RUNS: Deployment "+s.Others.Helper)
	}
	if s.Others.Foreign > 0 {
		lines = append(lines, fmt.Sprintf("%d pull Secrets are somebody else's, and left alone", s.Others.Foreign))
	}
	if len(s.Others.Writers) > 0 {
		lines = append(lines, "written by "+strings.Join(s.Others.Writers, ", "))
	}
	if len(lines) > 0 && !s.HandedBack {
		lines = append(lines, `hint: to move over, stop who writes them and set adopt: "true" (the chart's value adopt); pullkey plan shows what would be taken over`)
	}
	return lines
}

func regionText(r status.Region) string {
	switch {
	case r.Name == "":
		return "not known"
	case r.Source == "":
		return r.Name
	}
	return r.Name + " (" + r.Source + ")"
}

// stateStyles are how states are painted.
var stateStyles = map[status.State]string{
	status.Fresh: green, status.Degraded: yellow, status.Expired: red, status.Refused: red, status.Missing: red,
}

func (p *program) accountText(a accountFound, now time.Time) string {
	state := strings.ToUpper(clean(string(a.StateNow)))
	style := stateStyles[a.StateNow]
	if style == "" {
		style = bold
	}
	f := facts{margin: "  ", width: 11}
	f.add("identity", identityText(a.Identity)...)
	f.add("hosts", a.Hosts...)
	if len(a.Hosts) == 0 {
		f.add("hosts", "none: no pull Secret has it")
	}
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			f.add(name, moment(t, now))
		}
	}
	if a.Unlisted != "" {
		f.add("", "its domains are not listed: "+a.Unlisted+"; the known ones go on")
	}
	at("issued", a.IssuedAt)
	at("expires", a.ExpiresAt)
	at("next try", a.NextAttempt)
	f.add("verified", verifiedText(a))
	f.add("namespaces", fmt.Sprint(a.Namespaces))
	if len(a.OnlyNamespaces) > 0 {
		f.add("", "limited to "+strings.Join(a.OnlyNamespaces, ", "))
	}
	if e := a.Error; e != nil {
		message := e.Message
		if e.Code != "" && !strings.Contains(message, e.Code) {
			message = e.Code + ": " + message
		}
		f.add("error", "since "+moment(e.Since, now), message)
		if e.Hint != "" {
			f.add("", "hint: "+e.Hint)
		}
	}
	return p.paintOut(style, state) + strings.Repeat(" ", max(1, 10-len(state))) +
		p.paintOut(bold, clean(instanceName(a.Instance))) + " in " + clean(a.Region) + "\n" + f.String()
}

func identityText(i status.Identity) []string {
	name := i.Name
	switch {
	case i.Kind == "" && name == "":
		name = "none is known"
	case i.Kind != "":
		name = strings.TrimSpace(name + " (" + i.Kind + ")")
	}
	lines := []string{name}
	if i.Why != "" {
		lines = append(lines, i.Why)
	}
	if i.Borrowed {
		lines = append(lines, "BORROWED: it is somebody else's, and ends when they take it away")
	}
	if i.ClockSkew != 0 {
		lines = append(lines, "clock: "+skewText(time.Duration(i.ClockSkew)*time.Second))
	}
	return lines
}

func verifiedText(a accountFound) string {
	switch {
	case a.StateNow == status.Refused:
		return "the registry's token server refuses it"
	case a.Verified == "accepted":
		return "the registry's token server accepts it"
	case a.Verified == "unreachable":
		return "the registry's token server cannot be reached from the controller"
	case a.Verified == "":
		return "not asked"
	}
	return a.Verified
}
