package dockerconfig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// The words of the protocol of credential helpers, as
// github.com/docker/docker-credential-helpers defines them.
const (
	programPrefix = "docker-credential-"
	// tokenUser stands for the user name where the secret is an identity token.
	tokenUser = "<token>"
	// nobody is what a helper says, word for word, when it has no login.
	nobody = "credentials not found in native keychain"

	verbGet   = "get"
	verbStore = "store"
	verbErase = "erase"
)

// sayings are the other texts of helpers that are known to hold no secret.
var sayings = []string{"no credentials server URL", "no credentials username"}

const (
	// helperPatience is how long a helper may take; docker waits forever.
	helperPatience = 15 * time.Second
	// pipePatience is how long output may stay open after a helper's end.
	pipePatience = time.Second
	// maxAnswer is far more than a helper's login has: they read no line longer
	// than 64 KiB themselves.
	maxAnswer = 256 << 10
)

// helperLogin is what is said to a helper, and what it says.
type helperLogin struct {
	ServerURL string
	Username  string
	Secret    string
}

// ask asks a helper for a login. The zero Login means that it has none.
func (s Store) ask(ctx context.Context, h helper) (credential.Login, error) {
	out, err := s.call(ctx, h, verbGet, []byte(h.url))
	if err != nil || out == nil {
		return credential.Login{}, err
	}
	var l helperLogin
	if err := json.Unmarshal(out, &l); err != nil {
		return credential.Login{}, h.problem(verbGet, errors.New("its answer is not the JSON object of a login"))
	}
	secret := credential.NewSecret(l.Secret)
	if l.Username == tokenUser {
		return credential.Login{IdentityToken: secret}, nil
	}
	return credential.Login{Username: l.Username, Password: secret}, nil
}

// give hands a helper a login to keep.
func (s Store) give(ctx context.Context, h helper, l credential.Login) error {
	said := helperLogin{ServerURL: h.url, Username: l.Username, Secret: l.Password.Reveal()}
	if !l.IdentityToken.Empty() {
		said.Username, said.Secret = tokenUser, l.IdentityToken.Reveal()
	}
	in, err := json.Marshal(said) //nolint:gosec // it goes to the helper's standard input, which is there to take it
	if err != nil {
		return h.problem(verbStore, errors.New("the login cannot be written as JSON"))
	}
	_, err = s.call(ctx, h, verbStore, in)
	return err
}

// call has a helper do something. It returns nil when the helper says that it
// has no login for what it was asked.
func (s Store) call(ctx context.Context, h helper, verb string, in []byte) ([]byte, error) {
	run := s.Run
	if run == nil {
		run = runProgram
	}
	bounded, cancel := context.WithTimeout(ctx, helperPatience)
	defer cancel()
	out, err := run(bounded, h.name, verb, in)
	if err == nil {
		return append([]byte{}, out...), nil
	}
	said := strings.TrimSpace(string(out))
	switch {
	case said == nobody:
		return nil, nil
	case errors.Is(err, exec.ErrNotFound):
		return nil, hinted{
			h.problem(verb, errors.New("there is no such program in PATH")),
			"install it, or take its name out of " + h.source.field() + " in " + h.source.File,
		}
	case ctx.Err() != nil:
		return nil, h.problem(verb, ctx.Err())
	case bounded.Err() != nil:
		return nil, hinted{
			h.problem(verb, fmt.Errorf("it gave no answer in %v and was stopped", helperPatience)),
			"it may wait for a key to be unlocked: unlock it and try again",
		}
	}
	for _, known := range sayings {
		if said == known {
			return nil, h.problem(verb, errors.New(known))
		}
	}
	return nil, hinted{
		h.problem(verb, fmt.Errorf("%w; what it printed may be secret and is not shown", err)),
		fmt.Sprintf("see for yourself what it says (it may print the password): echo %s | %s%s get", h.url, programPrefix, h.name),
	}
}

func (h helper) problem(verb string, err error) error {
	return fmt.Errorf("%s%s %s for %s: %w", programPrefix, h.name, verb, h.url, err)
}

// runProgram runs the program of a helper in a process group of its own, so
// that what it started ends with it. What it prints to stderr is dropped:
// helpers have printed secrets there.
func runProgram(ctx context.Context, name, verb string, in []byte) ([]byte, error) {
	program, err := exec.LookPath(programPrefix + name)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, verb) //nolint:gosec // the name has no path (isHelperName), the verb is ours
	out := &answer{}
	cmd.Stdin, cmd.Stdout = bytes.NewReader(in), out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipePatience
	err = cmd.Run()
	switch {
	case out.tooLong != nil:
		return nil, out.tooLong
	case errors.Is(err, exec.ErrWaitDelay):
		// It ended, and somebody that it left behind holds its output open.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return out.data, nil
	}
	return out.data, err
}

// answer takes what a helper prints, up to a bound.
type answer struct {
	data    []byte
	tooLong error
}

func (a *answer) Write(p []byte) (int, error) {
	if len(a.data)+len(p) > maxAnswer {
		a.tooLong = fmt.Errorf("it printed more than %d bytes", maxAnswer)
		return 0, a.tooLong
	}
	a.data = append(a.data, p...)
	return len(p), nil
}
