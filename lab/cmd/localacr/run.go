package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pullkey/pullkey/lab/localacr"
)

const usage = `Usage: localacr [flags]

Runs a local Alibaba Cloud Container Registry on loopback, without root, until
Ctrl-C: an Enterprise instance and the Personal Edition, each with its registry,
the authorization servers, the OpenAPI that hands out temporary users, and STS
and the metadata service, which hand out sessions of RAM roles.

Example: credentials that live 90 seconds, and an API that throttles the first
three calls
  localacr --lifetime 90s --fault throttle,times=3

Flags:
`

// settings are what the flags say.
type settings struct {
	options localacr.Options
	faults  []localacr.Fault
	log     string
}

func parse(args []string, help io.Writer) (settings, error) {
	s := settings{options: localacr.Options{Admin: true}}
	flags := flag.NewFlagSet("localacr", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are returned
	flags.Usage = func() {}
	flags.DurationVar(&s.options.CredentialLifetime, "lifetime", 0, "`duration` for which temporary users are good (default 1h)")
	flags.IntVar(&s.options.FirstPort, "first-port", 0, "first `port` of the consecutive ones to use (default: any that are free)")
	flags.BoolVar(&s.options.Plain, "plain", false, "serve http, without TLS")
	flags.StringVar(&s.options.CADir, "ca-dir", "", "`folder` that keeps the certificate authority from one start to the next (default: a new authority)")
	flags.StringVar(&s.options.Dir, "dir", "", "`folder` that keeps what is pushed (default: gone at the end)")
	flags.BoolVar(&s.options.Implicit, "implicit", false, "let the authorization server put tokens into addresses (the implicit grant, which RFC 9700 advises against), to see the leak")
	flags.StringVar(&s.log, "log", "", "`file` to which the access log is appended as JSON lines; - is the standard output")
	flags.Func("fault", "what goes wrong from the start, may be repeated: `kind[,name=value...]`\n"+
		"kinds: "+kinds()+"\n"+
		"names: action, instance, times, status, code, credential, lifetime, offset", func(text string) error {
		f, err := parseFault(text)
		s.faults = append(s.faults, f)
		return err
	})
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(help)
		_, _ = io.WriteString(help, usage)
		flags.PrintDefaults()
	}
	if err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("localacr takes flags alone, not %q", flags.Arg(0))
	}
	return s, nil
}

// kinds are those of the faults, in two lines.
func kinds() string {
	var names []string
	for _, k := range localacr.Kinds() {
		names = append(names, string(k))
	}
	half := len(names) / 2
	return strings.Join(names[:half], ", ") + ",\n  " + strings.Join(names[half:], ", ")
}

// parseFault reads a fault as flags write it: kind,name=value,name=value.
func parseFault(text string) (localacr.Fault, error) {
	kind, rest, more := strings.Cut(text, ",")
	fields := map[string]any{"fault": kind}
	for more {
		var part string
		part, rest, more = strings.Cut(rest, ",")
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return localacr.Fault{}, fmt.Errorf("%q is not name=value", part)
		}
		fields[name] = value
		if number, err := strconv.Atoi(value); err == nil && slices.Contains([]string{"times", "status", "credential"}, name) {
			fields[name] = number
		}
	}
	encoded, err := json.Marshal(fields)
	if err != nil {
		return localacr.Fault{}, fmt.Errorf("read the fault %q: %w", text, err)
	}
	return localacr.ParseFault(bytes.NewReader(encoded))
}

// run is the program. It returns the exit code: 0 after a signal or --help, 2
// for a command line that it does not understand, 1 for everything else.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "localacr: %v\nlocalacr --help lists the flags.\n", err)
		return 2
	}
	if err := s.serve(ctx, stdout); err != nil {
		_, _ = fmt.Fprintln(stderr, "localacr:", err)
		return 1
	}
	return 0
}

// serve runs it until ctx ends.
func (s *settings) serve(ctx context.Context, stdout io.Writer) (err error) {
	log, err := openLog(s.log, stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	s.options.Log = log
	a, err := localacr.Start(ctx, s.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	for _, f := range s.faults {
		if err := a.Faults().Set(f); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "localacr-files-") // 0700
	if err != nil {
		return fmt.Errorf("make a folder for the passwords: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := addRole(a); err != nil {
		return err
	}
	secrets := addClients(a)
	if err := writeFiles(a, dir, secrets); err != nil {
		return err
	}
	if err := pushHello(ctx, a); err != nil {
		return err
	}
	if _, err := io.WriteString(stdout, describe(a, dir)); err != nil {
		return fmt.Errorf("say what is running: %w", err)
	}
	<-ctx.Done()
	return nil
}

// borrowed is a writer that is not ours to close.
type borrowed struct{ io.Writer }

// Close implements io.Closer.
func (borrowed) Close() error { return nil }

func openLog(name string, stdout io.Writer) (io.WriteCloser, error) {
	switch name {
	case "":
		return borrowed{io.Discard}, nil
	case "-":
		return borrowed{stdout}, nil
	}
	//nolint:gosec // the name is a flag of the user
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the access log: %w", err)
	}
	return file, nil
}

// addRole adds a role that the default user may assume, and that the metadata
// service hands out.
func addRole(a *localacr.ACR) error {
	return a.AttachRole(a.AddRole(localacr.Role{
		Name: role, Trust: []localacr.Trust{{Principals: []string{"acs:ram::" + a.Account() + ":root"}}},
		Grants: []localacr.Grant{{Instance: localacr.Everything, Repository: "demo/*", Actions: []string{"pull"}}},
	}))
}

// addClients adds whom the ways of OAuth 2.0 need besides the owner: a person
// to sign in as in the browser, and a robot. It returns their secrets by file.
func addClients(a *localacr.ACR) map[string]string {
	pull := localacr.Grant{Instance: localacr.Everything, Repository: "demo/*", Actions: []string{"pull"}}
	return map[string]string{
		filePerson: a.AddUser(person, pull).Reveal(),
		fileRobot:  a.AddRobot(robot, pull).Reveal(),
	}
}

// writeFiles writes the secrets where only the user can read them, and the
// certificate of the authority.
func writeFiles(a *localacr.ACR, dir string, files map[string]string) error {
	user, password := a.Owner()
	auths := map[string]any{}
	for _, i := range a.Instances() {
		for _, host := range i.Hosts {
			auths[host] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password.Reveal()))}
		}
	}
	authfile, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		return fmt.Errorf("encode %s: %w", fileAuth, err)
	}
	files[filePassword], files[fileSecret] = password.Reveal(), a.AccessKey().Secret.Reveal()
	files[fileAuth], files[fileCA] = string(authfile), string(a.CA())
	for name, text := range files {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

const (
	filePassword = "owner-password"
	fileSecret   = "access-key-secret" //nolint:gosec // a file's name
	fileAuth     = "auth.json"
	fileLogins   = "logins.json" // is made by the commands to try
	fileCA       = "ca.crt"
	filePerson   = "alice-password"
	fileRobot    = "robot-secret"

	person = "alice"
	robot  = "robot"
	role   = "puller"

	helloRepository = "demo/hello"
)

// pushHello pushes a small image to each instance, to have something to pull.
func pushHello(ctx context.Context, a *localacr.ACR) error {
	const text = "hello from a local registry\n"
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "hello.txt", Mode: 0o644, Size: int64(len(text))}); err != nil {
		return fmt.Errorf("make an image: %w", err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("make an image: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("make an image: %w", err)
	}
	for _, i := range a.Instances() {
		if _, err := a.Push(ctx, i.Hosts[0], helloRepository, "1", localacr.Image{Layers: [][]byte{layer.Bytes()}}); err != nil {
			return err
		}
	}
	return nil
}
