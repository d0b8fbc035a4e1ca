package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pullkey": main, "kubectl-pullkey": main})
}

// The stories in testdata/script run the program as people do, against
// registries on loopback.
func TestStories(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir+"/home")
			return os.Mkdir(env.WorkDir+"/home", 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "registry": startRegistry, "cloud": startCloud, "mode": mode},
	})
}

// exits runs the program and checks its exit code: exits CODE ARGS...
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARGS...")
	}
	code := 0
	err := ts.Exec("pullkey", args[1:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if want := args[0]; strconv.Itoa(code) != want {
		ts.Fatalf("got exit code %d, want %s", code, want)
	}
}

// startRegistry starts a registry for the rest of the story:
//
//	registry NAME [auth=basic|none] [plain] [public] [stranger=USER] [hidden=REPOSITORY] [quirk=NAME]...
//
// Its host is in $NAME, another server's in $NAME_ELSEWHERE, its certificate
// authority in NAME.pem. It has the images team/app:1.0 and, for two
// platforms, team/multi:1.0.
func startRegistry(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: registry NAME [OPTION]...")
	}
	var o registrytest.Options
	for _, option := range args[1:] {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "auth":
			o.Auth = registrytest.Auth(value)
		case "plain":
			o.Plain = true
		case "public":
			o.Public = true
		case "stranger":
			o.Stranger = value
		case "hidden":
			o.Hidden = append(o.Hidden, value)
		case "quirk":
			o.Quirks = append(o.Quirks, value)
		default:
			ts.Fatalf("the registry knows no option %q", option)
		}
	}
	r, err := registrytest.Start(o)
	ts.Check(err)
	ts.Defer(r.Close)
	for _, repository := range append([]string{"team/app"}, o.Hidden...) {
		_, err = r.Push(repository, "1.0", registrytest.Image{Layers: []int64{1000, 2000}})
		ts.Check(err)
	}
	_, err = r.Push("team/multi", "1.0", registrytest.Image{Platforms: []string{"linux/amd64", "linux/arm/v7"}})
	ts.Check(err)
	ts.Setenv(args[0], r.Host())
	ts.Setenv(args[0]+"_ELSEWHERE", strings.TrimPrefix(r.Elsewhere(), "https://"))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pem"), r.CA(), 0o600))
}

// mode checks the permissions of a file: mode 600 FILE.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: mode OCTAL FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}
