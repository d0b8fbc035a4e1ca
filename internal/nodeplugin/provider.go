package nodeplugin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// providerName is the program's; kubelet knows a provider by the name of its file.
const providerName = "pullkey-credential-provider"

// nodeCache is in memory: no credential is left on a disk, or after a restart of
// the machine.
const nodeCache = "/run/pullkey/credentials"

// providerPatience leaves kubelet, which waits for a minute, time to read why.
const providerPatience = 50 * time.Second

const providerUsage = `pullkey-credential-provider gives kubelet credentials for images in ACR.

usage:
  pullkey-credential-provider [--config FILE] [--cache DIR]    kubelet runs it so
  pullkey-credential-provider install [--config FILE] (--print | --dir DIR [--bin-dir DIR] [--root DIR])
  pullkey-credential-provider wait    does nothing until it is told to end, after install in a pod
  pullkey-credential-provider version

`

// Provider is the program that kubelet runs. It returns the exit code.
func Provider(ctx context.Context, p Process) int {
	if len(p.Args) > 0 {
		switch p.Args[0] {
		case "install":
			return p.end(p.install(p.Args[1:]))
		case "wait":
			return p.end(p.wait(ctx, p.Args[1:]))
		case "version":
			_, err := fmt.Fprintln(p.Stdout, providerName, p.Version())
			return p.end(err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, providerPatience)
	defer cancel()
	return p.end(p.provide(ctx))
}

// misuse is an error of whoever called the program.
type misuse struct{ error }

// end says an error in one line, which kubelet repeats in its log.
func (p *Process) end(err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	}
	_, _ = fmt.Fprintln(p.Stderr, providerName+": "+line(err))
	if _, ok := errors.AsType[misuse](err); ok {
		return exitMisused
	}
	return exitFailed
}

// parse reads flags, and says how the program is used where that is asked for.
func (p *Process) parse(flags *flag.FlagSet, usage string, args []string) error {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(p.Stdout, usage)
		flags.SetOutput(p.Stdout)
		flags.PrintDefaults()
		return err
	}
	if err != nil {
		return misuse{err}
	}
	return nil
}

func (p *Process) provide(ctx context.Context) error {
	flags := flag.NewFlagSet(providerName, flag.ContinueOnError)
	file := flags.String("config", DefaultConfig, "the configuration")
	dir := flags.String("cache", nodeCache, "folder for credentials, of the caller's alone")
	if err := p.parse(flags, providerUsage, p.Args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return misuse{fmt.Errorf("the argument %q is not known", flags.Arg(0))}
	}
	data, err := read(p.Stdin)
	if err != nil {
		return err
	}
	asked, err := parseRequest(data)
	if err != nil {
		return err
	}
	c, err := loadNode(*file)
	if err != nil {
		return err
	}
	in, ours := c.serves(strings.ToLower(asked.host))
	if !ours {
		return p.tell(nothing())
	}
	who, err := p.caller(c, asked)
	if err != nil {
		return err
	}
	got, err := p.login(ctx, c, *dir, who, in)
	if err != nil {
		return fmt.Errorf("obtain a credential for %s: %w", asked.host, err)
	}
	return p.tell(answer(asked.host, got, p.Now()))
}

// login returns the credential of somebody for an instance.
func (p *Process) login(ctx context.Context, c *config, dir string, who caller, in instance) (credential.Credential, error) {
	store, err := openCache(dir, p.Now)
	if err != nil {
		return credential.Credential{}, err
	}
	return obtain(ctx, store, who.of(in), p.Now, p.warn, func(ctx context.Context) (kept, error) { return newCloud(p, c).fetch(ctx, who, in) })
}

// warn says in one line what went wrong without ending the program.
func (p *Process) warn(err error) {
	if err != nil {
		_, _ = fmt.Fprintln(p.Stderr, "pullkey: "+line(err))
	}
}

func (p *Process) tell(r response) error {
	if err := json.NewEncoder(p.Stdout).Encode(r); err != nil {
		return fmt.Errorf("answer kubelet: %w", err)
	}
	return nil
}

// caller is who asks: the machine, or the pod's ServiceAccount where roles are
// configured. Neither takes the other's place: that would give a pod more than it
// has, or less than it looks.
func (p *Process) caller(c *config, asked request) (caller, error) {
	given := !asked.token.Empty()
	switch {
	case !given && !c.byAccounts():
		return p.machine(c), nil
	case !given:
		return caller{}, advise("give kubelet the configuration that \"pullkey-credential-provider install --print\" prints",
			"kubelet sends no token of a ServiceAccount, and the configuration has roles for ServiceAccounts alone")
	case !c.byAccounts():
		return caller{}, advise("add roles to the configuration, or take tokenAttributes out of kubelet's",
			"kubelet sends a token of a ServiceAccount, and the configuration has no roles")
	}
	account, err := accountOf(asked.token)
	if err != nil {
		return caller{}, err
	}
	for _, r := range c.roles {
		if r.account == account {
			token := func(context.Context) (credential.Secret, error) { return asked.token, nil }
			return assumed("ServiceAccount "+account, r.arn, r.provider, "kubelet", token), nil
		}
	}
	return caller{}, advise("add it to roles in the configuration of this node, if it may pull; its annotations decide nothing",
		"ServiceAccount %s has no role in the configuration", account)
}

// accountOf reads whose a token is. It came from kubelet, which had it made, and
// the cloud verifies the first of an account before anything is kept for it.
func accountOf(token credential.Secret) (string, error) {
	subject, is := strings.CutPrefix(subjectOf(token), "system:serviceaccount:")
	account := strings.Replace(subject, ":", "/", 1)
	if !is || !isAccount(account) {
		return "", errors.New("read the token that kubelet sends: it is not that of a ServiceAccount")
	}
	return account, nil
}

// subjectOf reads who a token says it is of, "" where it does not say.
func subjectOf(token credential.Secret) string {
	var claims struct {
		Subject string `json:"sub"`
	}
	if parts := strings.Split(token.Reveal(), "."); len(parts) == 3 {
		if payload, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(payload, &claims) == nil {
			return claims.Subject
		}
	}
	return ""
}
