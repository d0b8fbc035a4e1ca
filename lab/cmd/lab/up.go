package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/sandbox"
)

// running is what a lab that is up, or on its way, tells the other commands.
type running struct {
	PID     int      // of lab serve
	Ready   bool     // everything runs
	Sandbox int      // process 1 of the sandbox
	CAFile  string   // the local ACR's authority
	Try     []string // commands to print
}

// home is the folder of the one lab that is up.
func home() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the folder for the lab: %w", err)
	}
	return filepath.Join(cache, "pullkey", "lab", "up"), nil
}

// errNotUp says that there is no lab to work with.
var errNotUp = errors.New("no lab is up; make lab-up starts one")

func state(dir string) (running, error) {
	var r running
	text, err := os.ReadFile(filepath.Join(dir, "running.json"))
	if err != nil {
		return r, errNotUp
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read the lab's state in %s: %w", dir, err)
	}
	if !serves(r.PID) {
		return r, errNotUp
	}
	return r, nil
}

// serves tells whether the process is a lab serve, and not another that has
// got its number since.
func serves(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.HasSuffix(line, []byte("\x00serve\x00"))
}

// up starts `lab serve` in the background and waits until it is ready.
func up(ctx context.Context, root string, _ []string, out io.Writer) error {
	if err := sandbox.Supported(); err != nil {
		return fmt.Errorf("%w; without that, `make localacr` runs the local ACR alone", err)
	}
	dir, err := home()
	if err != nil {
		return err
	}
	switch r, err := state(dir); {
	case err == nil && r.Ready:
		_, _ = fmt.Fprintln(out, "A lab is up already.")
		return printTry(out, r)
	case err == nil:
		return fmt.Errorf("a lab is coming up already (process %d); make lab-down stops it", r.PID)
	case !errors.Is(err, errNotUp):
		return err
	}
	if err := start(ctx, root, dir, out); err != nil {
		return err
	}
	r, err := state(dir)
	if err != nil {
		return err
	}
	return printTry(out, r)
}

// start runs `lab serve` until it is ready.
func start(ctx context.Context, root, dir string, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the lab's folder: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "serve.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the lab's log: %w", err)
	}
	defer func() { _ = log.Close() }()                   // the server has its own
	server := exec.Command(self, "-root", root, "serve") //nolint:noctx,gosec // it outlives this command
	ready, said, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the lab: %w", err)
	}
	server.Stdout, server.Stderr, server.ExtraFiles = log, log, []*os.File{said}
	server.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := server.Start(); err != nil {
		return fmt.Errorf("start the lab: %w", err)
	}
	_ = said.Close() // the server's own end stays open until it has ended
	if err := follow(ctx, ready, out); err != nil {
		_ = server.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		_ = server.Wait()                          // its own words are in the log
		return fmt.Errorf("%w; its log is %s", err, log.Name())
	}
	return nil
}

// follow shows what the server says until it says that it is ready.
func follow(ctx context.Context, from *os.File, out io.Writer) error {
	stop := context.AfterFunc(ctx, func() { _ = from.Close() })
	defer stop()
	var tail string
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		text := string(buffer[:n])
		if tail += text; strings.HasSuffix(tail, readyMark) {
			return nil
		}
		_, _ = io.WriteString(out, strings.ReplaceAll(text, "\x00", ""))
		if err != nil {
			return errors.Join(errors.New("the lab did not come up"), ctx.Err())
		}
	}
}

// readyMark ends what lab serve says to lab up.
const readyMark = "ready\x00"

func printTry(out io.Writer, r running) error {
	_, err := fmt.Fprintf(out, "\nTry:\n  %s\n\nmake lab-down stops it.\n", strings.Join(r.Try, "\n  "))
	return err
}

// serve is the lab in the background. What it has to say to lab up goes to
// descriptor 3.
func serve(ctx context.Context, root string, _ []string, _ io.Writer) (err error) {
	said := os.NewFile(3, "lab up")
	if _, err := said.Stat(); err != nil {
		return errors.New("lab serve is started by lab up")
	}
	dir, err := home()
	if err != nil {
		return err
	}
	if err := (running{PID: os.Getpid()}).write(dir); err != nil {
		return err
	}
	l, err := lab.Open(ctx, lab.Options{Root: root, Dir: dir, Admin: true, Progress: said})
	if err != nil {
		return tellBoth(said, errors.Join(err, tidy(dir)))
	}
	defer func() { err = errors.Join(err, l.Close(), tidy(dir)) }()
	r, err := bringUp(ctx, l)
	if err != nil {
		return tellBoth(said, err)
	}
	if err := r.write(dir); err != nil {
		return err
	}
	_, _ = io.WriteString(said, readyMark) // nobody may be waiting any more
	_ = said.Close()
	<-ctx.Done()
	return nil
}

// write keeps the state for the other commands.
func (r running) write(dir string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write the lab's state: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "running.json"), text, 0o600); err != nil {
		return fmt.Errorf("write the lab's state: %w", err)
	}
	return nil
}

// tidy leaves nothing of a lab in its folder but the logs.
func tidy(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	errs := []error{err}
	for _, path := range left {
		if name := filepath.Base(path); filepath.Ext(name) != ".log" && name != "cluster" {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

func tellBoth(w io.Writer, err error) error {
	_, _ = fmt.Fprintln(w, err)
	return err
}

// bringUp starts everything and says what to try.
func bringUp(ctx context.Context, l *lab.Lab) (running, error) {
	r := running{PID: os.Getpid(), Ready: true, Sandbox: l.Sandbox.PID(), CAFile: l.CAFile()}
	if err := l.StartCluster(ctx); err != nil {
		return r, err
	}
	if err := l.Install(ctx); err != nil {
		return r, err
	}
	if err := l.Configure(ctx, 15*time.Minute, "all"); err != nil {
		return r, err
	}
	host := l.ACR.Instances()[0].Hosts[0]
	image, err := l.Push(ctx, host, "play/app")
	if err != nil {
		return r, err
	}
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := l.Injecting(limited, "default", host); err != nil {
		return r, err
	}
	user, password := l.ACR.Owner()
	file := filepath.Join(l.Dir, "owner-password")
	if err := os.WriteFile(file, []byte(password.Reveal()), 0o600); err != nil {
		return r, fmt.Errorf("write the registry owner's password: %w", err)
	}
	r.Try = []string{
		"export KUBECONFIG=" + l.Cluster.Kubeconfig(),
		"export PATH=" + filepath.Dir(l.Cluster.Kubectl(ctx).Path) + ":$PATH",
		"kubectl get secrets -A",
		"kubectl create namespace mine",
		"kubectl -n mine run app --image " + image,
		"kubectl -n mine get pods",
		"go run ./cmd/pullkey status",
		fmt.Sprintf("make lab-exec CMD='docker login %s -u %s --password-stdin' < %s", host, user, file),
		fmt.Sprintf("make lab-exec CMD='skopeo inspect docker://%s'", image),
		fmt.Sprintf(`make lab-exec CMD='curl -d {\"fault\":\"throttle\"} %s/faults'`, l.ACR.Admin()),
	}
	return r, nil
}

// inside runs a command in the sandbox of the lab that is up, with the local
// ACR's authority as the only one it trusts.
func inside(_ context.Context, _ string, args []string, _ io.Writer) error {
	dir, err := home()
	if err != nil {
		return err
	}
	r, err := state(dir)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return errors.New("lab exec needs a command")
	}
	program, err := exec.LookPath("nsenter")
	if err != nil {
		return fmt.Errorf("find nsenter (Debian package util-linux): %w", err)
	}
	args = append([]string{"nsenter", "--target", strconv.Itoa(r.Sandbox), "--net", "--mount", "--pid", "--ipc", "--uts", "--"}, args...)
	// docker and skopeo keep what they log in with here, not in the user's home.
	logins := filepath.Join(dir, "docker")
	variables := append(sandbox.Environment(), lab.Trusting(r.CAFile)...)
	variables = append(variables, "DOCKER_CONFIG="+logins, "REGISTRY_AUTH_FILE="+filepath.Join(logins, "config.json"))
	return fmt.Errorf("become nsenter: %w", syscall.Exec(program, args, variables)) //nolint:gosec // the user's own command
}

// down stops the lab that is up and waits until it has ended.
func down(ctx context.Context, _ string, _ []string, out io.Writer) error {
	dir, err := home()
	if err != nil {
		return err
	}
	r, err := state(dir)
	if errors.Is(err, errNotUp) {
		_, _ = fmt.Fprintln(out, "No lab is up.")
		return errors.Join(sandbox.Clear(dir), tidy(dir)) // of one that crashed
	}
	if err != nil {
		return err
	}
	if err := syscall.Kill(r.PID, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the lab (process %d): %w", r.PID, err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for serves(r.PID) {
		select {
		case <-limit.Done():
			return fmt.Errorf("stop the lab: process %d has not ended within a minute; its log is %s", r.PID, filepath.Join(dir, "serve.log"))
		case <-tick.C:
		}
	}
	_, _ = fmt.Fprintln(out, "The lab is stopped.")
	return nil
}
