package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/dockerconfig"
	"github.com/pullkey/pullkey/internal/registry"
)

const loginAbout = `Ask the registry for a token with a user name and a password, as docker login
does, and keep what the answer says to keep: in docker's config.json, or in the
credential helper that it names. Without REGISTRY it is Docker Hub.`

const loginExample = `  pullkey login registry.example.com
  cat token | pullkey login registry.example.com --username alice --password-stdin
  pullkey login registry.example.com --web`

// loginFlags say how to log in.
type loginFlags struct {
	conversationFlags
	username      string
	password      string // only to refuse it
	passwordStdin bool
	keepPassword  bool
	web, device   bool
}

// loginDone is the JSON document of the command login.
type loginDone struct {
	Registry string          `json:"registry"`
	Username string          `json:"username,omitempty"`
	Stored   string          `json:"stored"`
	Kind     string          `json:"kind"` // password or identityToken
	Steps    []registry.Step `json:"steps,omitempty"`
}

func (p *program) loginCommand() *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{
		Use: "login [REGISTRY]", Short: "log in to a registry", Long: loginAbout, Example: loginExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 { // it is not repeated: it could be a password
				return usageError{errors.New("more than one registry is named"), cmd.CommandPath()}
			}
			return f.check(cmd)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			host, err := registryHost(cmd, args)
			if err != nil {
				return err
			}
			return p.login(cmd, &f, host)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVarP(&f.username, "username", "u", "", "user `name`; asked for when it is missing")
	s.BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from standard input")
	s.BoolVar(&f.keepPassword, "keep-password", false, "store the password also where the registry gives an identity token instead, which kubelet cannot use")
	s.BoolVar(&f.web, "web", false, "log in with a browser")
	s.BoolVar(&f.device, "device", false, "log in with a browser on another device")
	s.StringVarP(&f.password, "password", "p", "", "refused: use --password-stdin")
	s.Lookup("password").Hidden = true
	f.define(cmd)
	return cmd
}

// check refuses flags that do not go together.
func (f *loginFlags) check(cmd *cobra.Command) error {
	wrong := func(text string) error { return usageError{errors.New(text), cmd.CommandPath()} }
	browser := f.web || f.device
	switch {
	case cmd.Flags().Changed("password"):
		return advise(wrong("a password is not taken as an argument: everybody on this machine can read the arguments of a program"),
			"without it the password is asked for; a script gives it on standard input, with --password-stdin")
	case f.web && f.device:
		return wrong("--web and --device exclude each other")
	case browser && (f.passwordStdin || f.username != ""):
		return wrong("with --web or --device the authorization server asks who you are: no --username, no --password-stdin")
	case browser && f.keepPassword:
		return wrong("with --web or --device there is no password to keep")
	case f.passwordStdin && f.username == "":
		return wrong("--password-stdin needs --username")
	case strings.Contains(f.username, ":"):
		return wrong(`the user name has a ":", which HTTP's Basic scheme cannot carry`) // RFC 7617 section 2
	}
	return nil
}

func (p *program) login(cmd *cobra.Command, f *loginFlags, host string) error {
	store, err := p.store(&f.loginsFlags)
	if err != nil {
		return err
	}
	o, err := p.options(cmd, &f.conversationFlags, host)
	if err != nil {
		return err
	}
	in, err := p.loginAs(cmd, f, host, store, o)
	if err != nil {
		return err
	}
	source, err := store.Put(cmd.Context(), host, in.Login)
	if err != nil {
		return f.problem(err)
	}
	if !in.Checked {
		p.note("%s lets everybody in: whether user and password are right was not seen", host)
	}
	return p.loggedIn(host, in.Login, source)
}

// loginAs logs in in the way that the flags name, and returns what to store.
func (p *program) loginAs(cmd *cobra.Command, f *loginFlags, host string, store dockerconfig.Store, o registry.Options) (registry.LoggedIn, error) {
	if f.web || f.device {
		return p.loginInBrowser(cmd.Context(), f.device, host, o)
	}
	var err error
	if o.Login, o.LoginSource, err = p.who(cmd, f, store, host); err != nil {
		return registry.LoggedIn{}, err
	}
	o.KeepPassword = f.keepPassword
	client, err := registry.New(host, o)
	if err != nil {
		return registry.LoggedIn{}, err
	}
	return client.Login(cmd.Context())
}

func (p *program) loggedIn(host string, login credential.Login, source dockerconfig.Source) error {
	done := loginDone{Registry: host, Username: login.Username, Stored: source.String(), Kind: "password", Steps: p.traced}
	what := "the password is stored"
	if !login.IdentityToken.Empty() {
		done.Kind, what = "identityToken", "an identity token, and no password, is stored"
	}
	if source.Helper == "" {
		p.note("what is stored in %s is not encrypted; a credential helper (credsStore in that file) keeps it elsewhere", source.File)
	}
	who := ""
	if login.Username != "" {
		who = " as " + login.Username
	}
	return p.found(done, clean(fmt.Sprintf("logged in to %s%s: %s in %s", host, who, what, source)))
}

// who finds out who is to be logged in, and where that was said.
func (p *program) who(cmd *cobra.Command, f *loginFlags, store dockerconfig.Store, host string) (credential.Login, string, error) {
	if f.passwordStdin {
		password, err := p.passwordFromStdin()
		return credential.Login{Username: f.username, Password: password}, "--username and standard input", err
	}
	if p.Terminal.Raw == nil {
		return credential.Login{}, "", advise(errors.New("ask for the password: standard input is no terminal"),
			"give the password on standard input: pullkey login %s --username %s --password-stdin < FILE", quote(host), quote(cmp.Or(f.username, "NAME")))
	}
	login, err := p.askWho(cmd, f, store, host)
	return login, "what was typed on the terminal", err
}

func (p *program) askWho(cmd *cobra.Command, f *loginFlags, store dockerconfig.Store, host string) (credential.Login, error) {
	before := ""
	if f.username == "" {
		// A login that cannot be read is no reason not to replace it.
		if found, err := store.Get(cmd.Context(), host); err == nil {
			before = clean(found.Username)
		}
	}
	return p.dialogue(cmd.Context(), func(t *term.Terminal) (credential.Login, error) {
		name, err := askName(t, host, f.username, before)
		if err != nil {
			return credential.Login{}, err
		}
		password, err := t.ReadPassword("password of " + clean(name) + " at " + host + ": ")
		if err == nil && password == "" {
			err = errors.New("no password was typed")
		}
		return credential.Login{Username: name, Password: credential.NewSecret(password)}, err
	})
}

// askName asks for the user name unless it is known; before is the one that an
// empty answer means.
func askName(t *term.Terminal, host, known, before string) (string, error) {
	if known != "" {
		return known, nil
	}
	prompt := "user name at " + host + ": "
	if before != "" {
		prompt = "user name at " + host + " [" + before + "]: "
	}
	t.SetPrompt(prompt)
	name, err := t.ReadLine()
	name = strings.TrimSpace(name)
	switch {
	case err != nil:
		return "", err
	case name == "" && before == "":
		return "", errors.New("no user name was typed")
	case name == "":
		return before, nil
	case strings.Contains(name, ":"):
		return "", errors.New(`the user name has a ":", which HTTP's Basic scheme cannot carry`)
	}
	return name, nil
}

// maxPassword is more than any password or token that a registry takes.
const maxPassword = 64 << 10

// passwordFromStdin reads all of standard input, less the end of the line.
func (p *program) passwordFromStdin() (credential.Secret, error) {
	data, err := io.ReadAll(io.LimitReader(p.Stdin, maxPassword+1))
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case err != nil:
		return credential.Secret{}, fmt.Errorf("read the password from standard input: %w", err)
	case text == "":
		what := "standard input is empty"
		if len(data) > 0 {
			what = "its line is empty"
		}
		return credential.Secret{}, advise(errors.New("read the password from standard input: "+what), "check what is to give it: the file after <, or the program before |")
	case len(data) > maxPassword:
		return credential.Secret{}, fmt.Errorf("read the password from standard input: it is longer than %d bytes", maxPassword)
	case strings.ContainsAny(text, "\r\n\x00"):
		return credential.Secret{}, advise(errors.New("read the password from standard input: it has more than one line"), "a password is one line; printf %%s prints no end of a line")
	}
	return credential.NewSecret(text), nil
}
