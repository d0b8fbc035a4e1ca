package nodeplugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/hostname"
)

// The words of the protocol of credential helpers, as
// github.com/docker/docker-credential-helpers defines them.
const (
	helperPrefix = "docker-credential-"
	ownHelper    = "pullkey"
	// notFound means, word for word, that there is no login: docker goes on as
	// nobody. Any other text ends what it does.
	notFound = "credentials not found in native keychain"
	// tempUser is what ACR calls all that it lets in for a while.
	tempUser = "cr_temp_user"

	verbGet, verbStore, verbErase, verbList, verbVersion = "get", "store", "erase", "list", "version"
)

// helperPatience is how long the cloud may take: docker waits for ever. A helper
// that is passed on to may ask a person, and takes its time.
const helperPatience = 15 * time.Second

const helperUsage = `docker-credential-pullkey gives docker, and what reads its config.json, credentials for ACR.

usage:
  docker-credential-pullkey [--config FILE] [--cache DIR] [--fallback NAME] get|store|erase|list|version

`

// helper is one run of docker's credential helper.
type helper struct {
	*Process
	config   *config
	cache    string
	fallback string
	patience time.Duration
}

// DockerHelper is the program that docker runs. It returns the exit code.
func DockerHelper(ctx context.Context, p Process) int {
	err := p.help(ctx, helperPatience)
	var passed *exec.ExitError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitDone
	case errors.As(err, &passed) && passed.ExitCode() > 0: // it has said why
		return passed.ExitCode()
	}
	_, _ = fmt.Fprintln(p.Stdout, line(err)) // where docker looks for it
	if _, ok := errors.AsType[misuse](err); ok {
		return exitMisused
	}
	return exitFailed
}

func (p *Process) help(ctx context.Context, patience time.Duration) error {
	flags := flag.NewFlagSet(helperPrefix+ownHelper, flag.ContinueOnError)
	file := flags.String("config", "", "the configuration; else that of PULLKEY_CONFIG, of ~/.config/pullkey, or of "+DefaultConfig)
	dir := flags.String("cache", "", "folder for credentials; else pullkey in XDG_RUNTIME_DIR, or ~/.cache/pullkey")
	fallback := flags.String("fallback", "", "the helper for other hosts, without docker-credential-; else that of the configuration")
	if err := p.parse(flags, helperUsage, p.Args); err != nil {
		return err
	}
	verb := flags.Arg(0)
	if flags.NArg() != 1 {
		return misuse{errors.New("one of get, store, erase, list and version is wanted; docker says which")}
	}
	if verb == verbVersion {
		_, err := fmt.Fprintln(p.Stdout, helperPrefix+ownHelper, p.Version())
		return err
	}
	if *fallback != "" && !isHelper(*fallback) {
		return misuse{fmt.Errorf("--fallback %q: must be the name of another helper, without docker-credential-", *fallback)}
	}
	if *file == "" {
		*file = p.findConfig()
	}
	c, err := loadConfig(*file)
	if err != nil {
		return err
	}
	h := &helper{p, c, *dir, *fallback, patience}
	if h.cache == "" {
		h.cache = p.userCache()
	}
	if h.fallback == "" {
		h.fallback = c.fallback
	}
	return h.do(ctx, verb)
}

// findConfig is where the configuration is.
func (p *Process) findConfig() string {
	if named := p.Getenv("PULLKEY_CONFIG"); named != "" {
		return named
	}
	if dir := p.folder("XDG_CONFIG_HOME", ".config"); dir != "" {
		own := filepath.Join(dir, "pullkey", filepath.Base(DefaultConfig))
		if _, err := os.Stat(own); !errors.Is(err, fs.ErrNotExist) {
			return own
		}
	}
	return DefaultConfig
}

// userCache is in memory where the session has a place for that.
func (p *Process) userCache() string {
	if dir := p.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "pullkey")
	}
	if dir := p.folder("XDG_CACHE_HOME", ".cache"); dir != "" {
		return filepath.Join(dir, "pullkey")
	}
	return nodeCache
}

// folder is one of the caller's by its variable, or below HOME.
func (p *Process) folder(variable, below string) string {
	if dir := p.Getenv(variable); filepath.IsAbs(dir) {
		return dir
	}
	if home := p.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, below)
	}
	return ""
}

// do does what docker asks for.
func (h *helper) do(ctx context.Context, verb string) error {
	switch verb {
	case verbList:
		return h.list(ctx)
	case verbGet, verbStore, verbErase:
	default:
		return misuse{fmt.Errorf("the action %q is not known", verb)}
	}
	data, err := read(h.Stdin)
	if err != nil {
		return err
	}
	server := string(bytes.TrimSpace(data))
	if verb == verbStore {
		if server, err = storedFor(data); err != nil {
			return err
		}
	}
	in, ours := h.config.serves(hostOf(server))
	switch {
	case ours:
		return h.ours(ctx, verb, server, in)
	case h.fallback != "":
		return h.passOn(ctx, verb, data, h.Stdout)
	case verb == verbStore:
		return advise("name another helper for other registries: fallback in the configuration, or credHelpers in docker's config.json", "this helper keeps no logins")
	case verb == verbGet:
		return errors.New(notFound)
	}
	return nil
}

// ours does it for a host of ours.
func (h *helper) ours(ctx context.Context, verb, server string, in instance) error {
	switch verb {
	case verbGet:
		return h.get(ctx, server, in)
	case verbErase:
		return h.erase(in)
	}
	return nil // docker stores after each login, and that must not fail
}

func (h *helper) get(ctx context.Context, server string, in instance) error {
	who, err := h.caller()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	got, err := h.login(ctx, h.config, h.cache, who, in)
	if err != nil {
		return fmt.Errorf("obtain a credential for %s: %w", hostOf(server), err)
	}
	login := struct{ ServerURL, Username, Secret string }{server, got.Username, got.Password.Reveal()}
	return json.NewEncoder(h.Stdout).Encode(login) //nolint:gosec // docker asked for it
}

// erase has the next get ask the cloud. Nothing is kept of who is nobody.
func (h *helper) erase(in instance) error {
	who, err := h.caller()
	if err != nil {
		return nil //nolint:nilerr // said above
	}
	store, err := openCache(h.cache, h.Now)
	if err != nil {
		return err
	}
	return store.forget(who.of(in))
}

// storedFor reads the server of a login that is to be stored.
func storedFor(data []byte) (string, error) {
	fields, err := object(data, "ServerURL", "Username", "Secret")
	var server string
	if err == nil && json.Unmarshal(fields["ServerURL"], &server) != nil {
		err = errors.New("it has no ServerURL")
	}
	if err != nil {
		return "", fmt.Errorf("read the login that is to be stored: %w", err)
	}
	return server, nil
}

// hostOf is the registry of what docker calls a server URL, "" for none.
func hostOf(server string) string {
	for _, scheme := range []string{"https://", "http://"} {
		server = strings.TrimPrefix(server, scheme)
	}
	name, _, _ := strings.Cut(server, "/")
	host, err := hostname.Parse(name)
	if err != nil {
		return ""
	}
	return host
}

// list tells what there is to get, without asking the cloud. docker, where this is
// its credsStore, gets all that is listed before it builds, and gives up at the
// first that it does not get: a host of ours is listed while its login lives.
func (h *helper) list(ctx context.Context) error {
	known := map[string]string{}
	if h.fallback != "" {
		var others bytes.Buffer
		if err := h.passOn(ctx, verbList, []byte("unused"), &others); err != nil {
			_, _ = h.Stdout.Write(others.Bytes())
			return err
		}
		if json.Unmarshal(others.Bytes(), &known) != nil {
			return fmt.Errorf("read what %s%s lists: it is not JSON of names", helperPrefix, h.fallback)
		}
	}
	maps.DeleteFunc(known, func(server, _ string) bool { // get would not pass it on
		_, ours := h.config.serves(hostOf(server))
		return ours
	})
	for _, host := range h.living() {
		known[host] = tempUser
	}
	return json.NewEncoder(h.Stdout).Encode(known)
}

// living are the hosts of which a login is kept that lives; none where nobody can
// ask, which get says.
func (h *helper) living() []string {
	who, err := h.caller()
	if err != nil {
		return nil
	}
	store, err := openCache(h.cache, h.Now)
	if err != nil {
		return nil
	}
	var hosts []string
	for _, in := range h.config.instances {
		if _, ok := store.read(who.of(in)).lives(h.Now()); ok {
			hosts = append(hosts, in.hosts...)
		}
	}
	return hosts
}

// envWithin is set for a helper that this program runs.
const envWithin = "PULLKEY_WITHIN"

// passOn has the other helper answer, in its own words. A link to this program has
// another name and would pass on to itself for ever.
func (h *helper) passOn(ctx context.Context, verb string, in []byte, out io.Writer) error {
	if h.Getenv(envWithin) != "" {
		return advise("name another helper in fallback", "pass on to %s%s: it is this program under another name, or passes on to it", helperPrefix, h.fallback)
	}
	program, err := exec.LookPath(helperPrefix + h.fallback)
	if err != nil {
		return advise("install it, or take fallback out of the configuration", "pass on to %s%s: there is no such program in PATH", helperPrefix, h.fallback)
	}
	cmd := exec.CommandContext(ctx, program, verb) //nolint:gosec // the name has no path (isHelper), the verb is known
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), out, h.Stderr
	cmd.Env = append(cmd.Environ(), envWithin+"=1")
	cmd.WaitDelay = time.Second // what it left running may hold its output open
	return cmd.Run()
}

// The variables in which Alibaba Cloud's programs look for an identity.
const (
	envKeyID         = "ALIBABA_CLOUD_ACCESS_KEY_ID"
	envKeySecret     = "ALIBABA_CLOUD_ACCESS_KEY_SECRET"
	envSecurityToken = "ALIBABA_CLOUD_SECURITY_TOKEN" //nolint:gosec // the name of a variable
	envRole          = "ALIBABA_CLOUD_ROLE_ARN"
	envProvider      = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN"
	envTokenFile     = "ALIBABA_CLOUD_OIDC_TOKEN_FILE"
	envNoMetadata    = "ALIBABA_CLOUD_ECS_METADATA_DISABLED"
)

const nobodyHint = "set " + envKeyID + " and " + envKeySecret + ", and " + envSecurityToken + " for a temporary key; or " + envRole + ", " + envProvider +
	" and " + envTokenFile + "; or run it on an ECS instance that has a RAM role"

// caller is who runs docker, found as Alibaba Cloud's programs do. A part of an
// identity is not taken for none: somebody else would ask.
func (h *helper) caller() (caller, error) {
	get := h.Getenv
	role := []string{get(envRole), get(envProvider), get(envTokenFile)}
	switch set := strings.Join(role, ""); {
	case get(envKeyID) != "" && get(envKeySecret) != "":
		return h.ofKey(), nil
	case get(envKeyID) != "" || get(envKeySecret) != "":
		return caller{}, advise("set both", "%s and %s: one of them is not set", envKeyID, envKeySecret)
	case set != "" && (role[0] == "" || role[1] == "" || role[2] == ""):
		return caller{}, advise("set all three, or none", "%s, %s and %s: one of them is not set", envRole, envProvider, envTokenFile)
	case set != "":
		text, err := os.ReadFile(role[2])
		if err != nil {
			return caller{}, advise("name a file that can be read", "read the token of %s: %w", envTokenFile, err)
		}
		token := credential.NewSecret(string(text))
		whose := fmt.Sprintf("%q of %s", subjectOf(token), role[2])
		return assumed(whose, role[0], role[1], role[2], func(context.Context) (credential.Secret, error) { return token, nil }), nil
	case strings.EqualFold(get(envNoMetadata), "true"):
		return caller{}, advise(nobodyHint, "there is no identity: none in the environment, and %s is set", envNoMetadata)
	}
	return h.machine(h.config), nil
}

func (h *helper) ofKey() caller {
	key := credential.AccessKey{ID: h.Getenv(envKeyID), Secret: credential.NewSecret(h.Getenv(envKeySecret)), SessionToken: credential.NewSecret(h.Getenv(envSecurityToken))}
	return caller{"access key " + key.ID, "", func(context.Context, *cloud, instance) (alicloud.Identity, error) {
		return alicloud.AccessKey("of the environment", func(context.Context) (credential.AccessKey, error) { return key, nil }), nil
	}}
}
