package cli

import (
	"regexp"
	"strings"
)

// again repeats the flags of this run without which another one would talk to
// another registry or look for its login elsewhere.
func (c *conversationFlags) again() string {
	var b strings.Builder
	if c.plainHTTP {
		b.WriteString(" --plain-http")
	}
	if c.caFile != "" {
		b.WriteString(" --ca-file " + quote(c.caFile))
	}
	for _, realm := range c.realms {
		b.WriteString(" --allow-realm " + quote(realm))
	}
	return b.String() + c.loginsFlags.again()
}

func (l *loginsFlags) again() string {
	if l.file == "" {
		return ""
	}
	return " --auth-file " + quote(l.file)
}

// again repeats the flags of this run without which another one would talk to
// another cluster.
func (f *clusterFlags) again() string {
	if f.context == "" {
		return f.fileAgain()
	}
	return f.fileAgain() + " --context " + quote(f.context)
}

func (f *clusterFlags) fileAgain() string {
	if f.kubeconfig == "" {
		return ""
	}
	return " --kubeconfig " + quote(f.kubeconfig)
}

// kubectlCommandLine is the beginning of a command in a hint that asks the
// cluster. It takes the flags of the cluster before its verb.
var kubectlCommandLine = regexp.MustCompile(`\bkubectl (auth|cluster-info|create|get)\b`)

// loginCommandLine is a command in a hint that logs in somewhere. Without a
// host, or with a flag alone, it is a word about the command.
var loginCommandLine = regexp.MustCompile(`\bpullkey login ([^\s'-]\S*|'[^']*')`)

// pasteable returns a hint in which commands can be pasted into a shell: a login
// with the host quoted and the flags of this run, kubectl with those of the
// cluster. Hints come from rooms that do not know the command line.
func pasteable(hint, flags, cluster string) string {
	hint = kubectlCommandLine.ReplaceAllStringFunc(hint, func(found string) string {
		return "kubectl" + cluster + strings.TrimPrefix(found, "kubectl")
	})
	return loginCommandLine.ReplaceAllStringFunc(hint, func(found string) string {
		host := strings.TrimPrefix(found, "pullkey login ")
		if !strings.HasPrefix(host, "'") {
			host = quote(host)
		}
		return "pullkey login " + host + flags
	})
}

// plain is what a POSIX shell takes as it is.
var plain = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote writes s as one word of a POSIX shell.
func quote(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
