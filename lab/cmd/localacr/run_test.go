package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// launch runs the program and returns what it printed once it is up, and how
// to stop it.
func launch(t *testing.T, args ...string) (printed string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	code := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		code <- run(ctx, args, write, &stderr)
		_ = write.Close()
	}()
	var b strings.Builder
	for lines := bufio.NewScanner(read); lines.Scan(); {
		b.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "skopeo inspect") {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, read) }()
	stopped := false
	stop = func() int {
		cancel()
		stopped = true
		return <-code
	}
	t.Cleanup(func() {
		if !stopped {
			stop()
		}
		if stderr.Len() > 0 {
			t.Errorf("on the standard error: %s", stderr.String())
		}
	})
	return b.String(), stop
}

func TestTheCommandsThatItPrintsWork(t *testing.T) {
	for _, mode := range [][]string{nil, {"--plain"}} {
		printed, stop := launch(t, mode...)
		_, try, found := strings.Cut(printed, "Try:\n")
		if !found {
			t.Fatalf("it printed no commands to try:\n%s", printed)
		}
		for command := range strings.Lines(try) {
			command = strings.TrimSpace(command)
			tool, _, _ := strings.Cut(command, " ")
			name := strings.Join(append(mode, tool), " ")
			if words := strings.Fields(command); tool == "go" {
				name = strings.Join(append(mode, "pullkey", words[3]), " ")
			}
			if strings.Contains(command, "--web") {
				continue // it waits for a person with a browser (lab/oauth tries that)
			}
			t.Run(name, func(t *testing.T) { tryOne(t, command, tool) })
		}
		if code := stop(); code != 0 {
			t.Errorf("stopped, it left with %d", code)
		}
	}
}

// tryOne runs a command as a user would, from the root of the repository.
func tryOne(t *testing.T, command, tool string) {
	t.Helper()
	needTool(t, tool)
	c := exec.CommandContext(t.Context(), "sh", "-c", command)
	c.Dir = filepath.Join("..", "..", "..")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", command, err, out)
	}
	want := ""
	for sign, says := range map[string]string{"curl": "401", "pullkey login": "logged in", "pullkey pull": "sha256:", "skopeo": `"Layers"`} {
		if strings.Contains(command, sign) {
			want = says
		}
	}
	if want == "" || !bytes.Contains(out, []byte(want)) {
		t.Errorf("%s\nprinted no %q:\n%s", command, want, out)
	}
}

// needTool skips the test where the tool is missing, but not in CI.
func needTool(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", tool)
		}
		t.Skipf("%s is not installed", tool)
	}
}

func TestSecretsAreInFilesOfTheUserAloneAndGoWithIt(t *testing.T) {
	printed, stop := launch(t)
	dir := regexp.MustCompile(`removes (\S+)\.`).FindStringSubmatch(printed)[1]
	count := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if d.IsDir() {
			return nil
		}
		count++
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(printed, string(text)) {
			t.Errorf("what stands in %s was printed", path)
		}
		return err
	})
	if err != nil || count != 6 {
		t.Errorf("%d files, %v; want 6", count, err)
	}
	if code := stop(); code != 0 {
		t.Errorf("stopped, it left with %d", code)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestFlagsSetFaultsLifetimeAndLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	printed, _ := launch(t, "--log", log, "--fault", "throttle,action=GetAuthorizationToken,times=3", "--fault", "lifetime,lifetime=90s")
	faults := regexp.MustCompile(`(http://\S+/faults) \(`).FindStringSubmatch(printed)[1]
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, faults, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	want := `[{"fault":"throttle","action":"GetAuthorizationToken","times":3},{"fault":"lifetime","lifetime":"1m30s"}]`
	if err != nil || strings.TrimSpace(string(body)) != want {
		t.Errorf("the faults are %s, %v; want %s", body, err, want)
	}
	if text, err := os.ReadFile(log); err != nil || !bytes.Contains(text, []byte(`"server":"registry"`)) {
		t.Errorf("the access log: %v: %s", err, text)
	}
}

func TestTheImplicitGrantIsThereWhenItIsAskedFor(t *testing.T) {
	for _, on := range []bool{false, true} {
		args := []string{"--plain"}
		if on {
			args = append(args, "--implicit")
		}
		printed, _ := launch(t, args...)
		realm := regexp.MustCompile(`token server +(http://\S+)/auth`).FindStringSubmatch(printed)[1]
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, realm+"/.well-known/oauth-authorization-server", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || bytes.Contains(body, []byte(`"implicit"`)) != on {
			t.Errorf("implicit %v: the metadata are %s, %v", on, body, err)
		}
	}
}

func TestCommandLinesThatCannotBeAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"an argument":                        {[]string{"up"}, `not "up"`, 2},
		"a flag that there is not":           {[]string{"--nonsense"}, "-nonsense", 2},
		"a fault that there is not":          {[]string{"--fault", "fire"}, `no fault is called "fire"`, 2},
		"a fault with a field there is not":  {[]string{"--fault", "hang,colour=red"}, "colour", 2},
		"a fault whose times is no number":   {[]string{"--fault", "hang,times=many"}, "times", 2},
		"a fault with half a field":          {[]string{"--fault", "hang,times"}, "name=value", 2},
		"a lifetime that is too short":       {[]string{"--lifetime", "1ms"}, "1s", 1},
		"a log file that cannot be":          {[]string{"--log", "/dev/null/x"}, "access log", 1},
		"a port that is not one":             {[]string{"--first-port", "70000"}, "70000", 1},
		"a clock offset for a single action": {[]string{"--fault", "clock-offset,offset=1h,action=Token"}, "clock-offset", 2},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), c.args, &stdout, &stderr); code != c.code || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("it left with %d: %s", code, stderr.String())
			}
		})
	}
}

func TestHelpShowsAnExample(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "localacr --lifetime 90s --fault throttle,times=3") {
		t.Errorf("it left with %d: %s", code, stderr.String())
	}
}

func TestTheFaultThatItPrintsTouchesAPull(t *testing.T) {
	needTool(t, "curl")
	printed, _ := launch(t, "--plain")
	fault := regexp.MustCompile(`(?m)^ +(curl -d .*)$`).FindStringSubmatch(printed)
	host := regexp.MustCompile(`(?m)^ +registry +(\S+)$`).FindStringSubmatch(printed)
	if fault == nil || host == nil {
		t.Fatalf("it printed no fault, or no registry:\n%s", printed)
	}
	const status = "curl -s -o /dev/null -w '%%{http_code}' http://%s/v2/"
	for _, step := range []struct{ command, want string }{
		{fmt.Sprintf(status, host[1]), "401"},
		{strings.Replace(fault[1], "curl", "curl -s", 1), ""},
		{fmt.Sprintf(status, host[1]), "429"},
	} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", step.command).Output()
		if err != nil || !bytes.Contains(out, []byte(step.want)) {
			t.Errorf("%s\nprinted %q, %v; want %q", step.command, out, err, step.want)
		}
	}
}
