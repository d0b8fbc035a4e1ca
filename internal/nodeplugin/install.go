package nodeplugin

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"go.yaml.in/yaml/v3"

	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/openapi"
)

// nodeFile is what install calls kubelet's configuration.
const nodeFile = "pullkey.yaml"

// installFlags say what to install, and where.
type installFlags struct {
	config, dir, binDir, root string
	print                     bool
}

func (p *Process) install(args []string) error {
	var f installFlags
	flags := flag.NewFlagSet(providerName+" install", flag.ContinueOnError)
	flags.StringVar(&f.config, "config", DefaultConfig, "the configuration")
	flags.BoolVar(&f.print, "print", false, "print kubelet's configuration and write nothing")
	flags.StringVar(&f.dir, "dir", "", "write it to "+nodeFile+" in this folder, which kubelet's --image-credential-provider-config names")
	flags.StringVar(&f.binDir, "bin-dir", "", "put this program into this folder, which kubelet's --image-credential-provider-bin-dir names")
	flags.StringVar(&f.root, "root", "", "where the root of the node is mounted, for --dir, --bin-dir and a copy of the configuration at "+DefaultConfig)
	if err := p.parse(flags, providerUsage, args); err != nil {
		return err
	}
	if err := f.check(flags.NArg()); err != nil {
		return err
	}
	c, err := loadNode(f.config)
	if err != nil {
		return err
	}
	document := kubeletConfig(c, f.at())
	if f.print {
		_, err := p.Stdout.Write(document)
		return err
	}
	return p.place(f, document)
}

// check looks at what the flags say together.
func (f installFlags) check(arguments int) error {
	if arguments > 0 || f.print == (f.dir != "") || f.print && (f.binDir != "" || f.root != "") {
		return misuse{errors.New("install wants either --print, or --dir with or without --bin-dir and --root, and no argument")}
	}
	for _, dir := range []string{f.dir, f.binDir} {
		if dir != "" && !filepath.IsAbs(dir) {
			return misuse{fmt.Errorf("%s does not begin with /: kubelet is told the folder as it is written", dir)}
		}
	}
	if f.root != "" && filepath.Clean(f.dir) == filepath.Dir(DefaultConfig) {
		return misuse{fmt.Errorf("--dir cannot be %s: kubelet would read %s too, which is not for it", f.dir, DefaultConfig)}
	}
	return nil
}

// at is where the configuration is on the node.
func (f installFlags) at() string {
	if f.root != "" {
		return DefaultConfig
	}
	return f.config
}

// wait returns when the process is told to end. Pods of a DaemonSet have to run on
// when all is placed, and process 1 of a container is not ended by a signal that it
// does not look at.
func (p *Process) wait(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return misuse{fmt.Errorf("wait takes no argument, and is given %q", args[0])}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	if _, err := fmt.Fprintln(p.Stdout, providerName+" waits until it is told to end"); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// kubeletConfig is what kubelet is to be told. The names of hosts are in full: a
// pattern could cover a host that is not ours.
func kubeletConfig(c *config, at string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Made by %s install from %s.\napiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: %[1]s\n  matchImages:\n", providerName, at)
	hosts := c.hosts()
	slices.Sort(hosts)
	for _, host := range hosts {
		fmt.Fprintf(&b, "  - %q\n", host)
	}
	fmt.Fprintf(&b, "  # Each answer has its own, from the end of the credential.\n  defaultCacheDuration: \"1m\"\n  apiVersion: %s\n", apiVersion)
	if at != DefaultConfig {
		fmt.Fprintf(&b, "  args: [%q]\n", "--config="+at)
	}
	if c.byAccounts() {
		fmt.Fprintf(&b, "  tokenAttributes:\n    serviceAccountTokenAudience: %s\n    cacheType: ServiceAccount\n    requireServiceAccount: true\n", alicloud.Audience)
	}
	return b.Bytes()
}

// place writes what is not there yet, the program before the configuration that
// names it: without the one, kubelet does not start with the other.
func (p *Process) place(f installFlags, document []byte) error {
	dir, err := f.open(f.dir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // nothing was written to it itself
	if err := checkOthers(dir); err != nil {
		return err
	}
	if f.binDir != "" {
		if err := p.placeProgram(f); err != nil {
			return err
		}
	}
	if f.root != "" {
		data, err := readConfig(f.config)
		if err == nil {
			err = p.placeIn(f, DefaultConfig, data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	if err := p.placeFile(dir, nodeFile, document, 0o644); err != nil {
		return err
	}
	bin := f.binDir
	if bin == "" {
		bin = "FOLDER"
	}
	_, err = fmt.Fprintf(p.Stdout, "kubelet wants --image-credential-provider-config=%s --image-credential-provider-bin-dir=%s, and reads them when it starts\n", f.dir, bin)
	return err
}

// open opens a folder of the node, and makes it where it is not there. Below --root
// no link leads out of it: an absolute one would be followed on this side.
func (f installFlags) open(dir string) (*os.Root, error) {
	opened, err := f.make(dir)
	switch {
	case err != nil && f.root != "":
		return nil, advise("below --root a link that is absolute is not followed: name the folder that it leads to", "open the folder %s: %w", dir, err)
	case err != nil:
		return nil, fmt.Errorf("open the folder %s: %w", dir, err)
	}
	return opened, nil
}

func (f installFlags) make(dir string) (*os.Root, error) {
	const mode = 0o755
	if f.root == "" {
		if err := os.MkdirAll(dir, mode); err != nil {
			return nil, err
		}
		return os.OpenRoot(dir)
	}
	root, err := os.OpenRoot(f.root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // nothing was written to it itself
	below, err := filepath.Rel("/", dir)
	if err != nil {
		return nil, err
	}
	if err := root.MkdirAll(below, mode); err != nil {
		return nil, err
	}
	return root.OpenRoot(below)
}

// checkOthers looks at what kubelet reads from the folder. A file that it cannot
// read, or a second provider of our name, and it does not start. What stands under
// the name of our file and has the providers of others was not written by install.
func checkOthers(dir *os.Root) error {
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return fmt.Errorf("look at what is there: %w", err)
	}
	for _, e := range entries {
		if !slices.Contains([]string{".json", ".yaml", ".yml"}, filepath.Ext(e.Name())) {
			continue
		}
		path := filepath.Join(dir.Name(), e.Name())
		data, err := dir.ReadFile(e.Name())
		if err != nil {
			return fmt.Errorf("look at what is there: %w", err)
		}
		if err := checkOther(path, data); err != nil {
			return err
		}
	}
	return nil
}

func checkOther(path string, data []byte) error {
	var file struct {
		Kind      string                  `yaml:"kind"`
		Providers []struct{ Name string } `yaml:"providers"`
	}
	if yaml.Unmarshal(data, &file) != nil || file.Kind != "CredentialProviderConfig" {
		return advise("repair it or take it out of the folder", "look at what is there: %s is no CredentialProviderConfig, and kubelet would not start", path)
	}
	own := filepath.Base(path) == nodeFile
	for _, provider := range file.Providers {
		switch {
		case own && provider.Name != providerName:
			return advise("move it to a file of another name beside it: kubelet reads all files of the folder",
				"look at what is there: %s has the provider %s of others, which install would take away", path, openapi.Printable(provider.Name))
		case !own && provider.Name == providerName:
			return advise("take it out of that file", "look at what is there: %s has a provider %s too, and kubelet would not start", path, providerName)
		}
	}
	return nil
}

func (p *Process) placeProgram(f installFlags) error {
	own, err := p.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	data, err := os.ReadFile(own)
	if err != nil {
		return fmt.Errorf("read this program: %w", err)
	}
	return p.placeIn(f, filepath.Join(f.binDir, providerName), data, 0o755)
}

func (p *Process) placeIn(f installFlags, path string, data []byte, mode fs.FileMode) error {
	dir, err := f.open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // nothing was written to it itself
	return p.placeFile(dir, filepath.Base(path), data, mode)
}

// placeFile writes a file at once, unless it is there as it should be.
func (p *Process) placeFile(dir *os.Root, name string, data []byte, mode fs.FileMode) error {
	path := filepath.Join(dir.Name(), name)
	info, err := dir.Lstat(name)
	if there, same := dir.ReadFile(name); err == nil && same == nil && info.Mode() == mode && bytes.Equal(there, data) {
		_, err := fmt.Fprintln(p.Stdout, path+" is as it should be")
		return err
	}
	if err := replace(dir, name, data, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = fmt.Fprintln(p.Stdout, path+" is written")
	return err
}

// replace puts a file in the place of what is there. The name beside it ends as
// none does that kubelet reads.
func replace(dir *os.Root, name string, data []byte, mode fs.FileMode) error {
	next := "." + name + "-new"
	if err := dir.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a run that was killed
		return err
	}
	f, err := dir.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = dir.Rename(next, name)
	}
	if err != nil {
		_ = dir.Remove(next) // it stays beside its cause
	}
	return err
}
