package nodeplugin

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/hostname"
	"github.com/pullkey/pullkey/internal/openapi"
)

// DefaultConfig is where the configuration is on a node.
const DefaultConfig = "/etc/pullkey/credential-provider.yaml"

// maxConfig is far above what a person writes.
const maxConfig = 1 << 20

// config is the file. The words of an instance are those of acr-registry-info.
type config struct {
	instances []instance
	// roles are those that ServiceAccounts have; nil means that the machine is
	// who asks.
	roles            []role
	region           string // the machine's; "" is asked of the metadata service
	caFile           string
	stsEndpoint      string
	metadataEndpoint string
	fallback         string // the helper for hosts that are not ours
}

type instance struct {
	acr.Instance
	hosts    []string
	assume   string
	duration time.Duration
	endpoint string
}

// role is who a ServiceAccount is at the cloud.
type role struct {
	account       string // namespace/name
	arn, provider string
}

// byAccounts tells whether ServiceAccounts are who asks.
func (c *config) byAccounts() bool { return c.roles != nil }

// serves returns the instance of a host.
func (c *config) serves(host string) (instance, bool) {
	i := slices.IndexFunc(c.instances, func(in instance) bool { return slices.Contains(in.hosts, host) })
	if i < 0 {
		return instance{}, false
	}
	return c.instances[i], true
}

// hosts are all that have a login.
func (c *config) hosts() []string {
	var all []string
	for _, in := range c.instances {
		all = append(all, in.hosts...)
	}
	return all
}

// loadConfig reads the file at path. It decides where tokens and credentials go:
// nobody but its owner may have written it, who is root or the caller.
func loadConfig(path string) (*config, error) {
	data, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(data)
	if err != nil {
		return nil, advise("docs/reference/node-plugins.md lists the fields", "read %s: %w", path, err)
	}
	return c, nil
}

// loadNode reads the file at path for kubelet's program, where an expireDuration
// that no session takes up would be passed over. docker's helper may have sessions
// that the file does not know of.
func loadNode(path string) (*config, error) {
	c, err := loadConfig(path)
	if err != nil {
		return nil, err
	}
	for _, in := range c.instances {
		if in.duration != 0 && in.assume == "" && !c.byAccounts() {
			return nil, advise("take it out, or name the role in assumeRoleARN",
				"read %s: the instance of %s has expireDuration, and no role is assumed for it that could last so long", path, in.hosts[0])
		}
	}
	return c, nil
}

func readConfig(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, advise("write the configuration there, or name another with --config", "read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("read the configuration: %s is not a regular file", path)
	case info.Mode().Perm()&0o022 != 0 || known && owner.Uid != 0 && int(owner.Uid) != os.Geteuid():
		return nil, advise("give it to root and take the others' right to write it away: chown root "+path+" && chmod go-w "+path,
			"read the configuration: others may write %s", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the configuration: %w", err)
	case len(data) > maxConfig:
		return nil, fmt.Errorf("read the configuration: %s is larger than 1 MiB", path)
	}
	return data, nil
}

// reader collects what is wrong with a file.
type reader struct{ wrong []string }

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf("line %d: ", n.Line)+fmt.Sprintf(format, args...))
}

// parseConfig reads the content of the file, or says all that is wrong with it.
func parseConfig(data []byte) (*config, error) {
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	var document, second yaml.Node
	if err := d.Decode(&document); errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	} else if err != nil {
		return nil, errors.New("it is not YAML: " + openapi.Printable(strings.TrimPrefix(err.Error(), "yaml: ")))
	}
	var r reader
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is a second document in it")
	}
	c := r.config(document.Content[0])
	if len(r.wrong) > 0 {
		return nil, errors.New(strings.Join(r.wrong, "; "))
	}
	return c, nil
}

func (r *reader) config(root *yaml.Node) *config {
	c := &config{}
	r.fields(root, map[string]func(*yaml.Node){
		"instances": func(n *yaml.Node) {
			r.items(n, func(n *yaml.Node) { c.instances = append(c.instances, r.instance(n)) })
		},
		"roles": func(n *yaml.Node) {
			c.roles = []role{}
			r.items(n, func(n *yaml.Node) { c.roles = append(c.roles, r.role(n)) })
		},
		"regionId":         func(n *yaml.Node) { c.region = r.region(n) },
		"caFile":           func(n *yaml.Node) { c.caFile = r.path(n) },
		"stsEndpoint":      func(n *yaml.Node) { c.stsEndpoint = r.endpoint(n) },
		"metadataEndpoint": func(n *yaml.Node) { c.metadataEndpoint = r.metadata(n) },
		"fallback":         func(n *yaml.Node) { c.fallback = r.helper(n) },
	})
	if len(r.wrong) == 0 {
		r.check(root, c)
	}
	return c
}

// check looks at what the fields say together.
func (r *reader) check(root *yaml.Node, c *config) {
	if len(c.instances) == 0 {
		r.fail(root, "no instance is listed")
	}
	hosts := c.hosts()
	slices.Sort(hosts)
	for i := range hosts[:max(len(hosts)-1, 0)] {
		if hosts[i] == hosts[i+1] {
			r.fail(root, "the host %s is of two instances", hosts[i])
		}
	}
	seen := map[string]bool{}
	for _, role := range c.roles {
		if seen[role.account] {
			r.fail(root, "the ServiceAccount %s has two roles", role.account)
		}
		seen[role.account] = true
	}
	if c.byAccounts() && len(c.roles) == 0 {
		r.fail(root, "roles is there and lists none")
	}
}

func (r *reader) instance(n *yaml.Node) instance {
	in, given := instance{}, false
	r.fields(n, map[string]func(*yaml.Node){
		"instanceId":     func(n *yaml.Node) { in.ID, given = r.instanceID(n), true },
		"regionId":       func(n *yaml.Node) { in.Region = r.region(n) },
		"domains":        func(n *yaml.Node) { in.hosts = r.domains(n) },
		"assumeRoleARN":  func(n *yaml.Node) { in.assume = r.arn(n, "role") },
		"expireDuration": func(n *yaml.Node) { in.duration = r.seconds(n) },
		"endpoint":       func(n *yaml.Node) { in.endpoint = r.endpoint(n) },
	})
	switch {
	case !given: // it would mean the Personal Edition, at a host of the Enterprise's
		r.fail(n, `the instance has no instanceId, which is "" for the Personal Edition`)
	case in.Region == "":
		r.fail(n, "the instance has no regionId")
	case len(in.hosts) == 0 && in.ID != "" && !in.Personal():
		// Only the cloud knows them, and kubelet must be told them before it asks.
		r.fail(n, "the instance has no domains: those of an Enterprise instance do not follow from its id")
	case len(in.hosts) == 0:
		in.hosts = acr.StandardHosts(in.Instance)
	}
	return in
}

func (r *reader) role(n *yaml.Node) role {
	var got role
	r.fields(n, map[string]func(*yaml.Node){
		"serviceAccount":  func(n *yaml.Node) { got.account = r.account(n) },
		"roleARN":         func(n *yaml.Node) { got.arn = r.arn(n, "role") },
		"oidcProviderARN": func(n *yaml.Node) { got.provider = r.arn(n, "oidc-provider") },
	})
	if got.account == "" || got.arn == "" || got.provider == "" {
		r.fail(n, "the role wants all of serviceAccount, roleARN and oidcProviderARN")
	}
	return got
}

// fields hands each field of a mapping to who reads it.
func (r *reader) fields(n *yaml.Node, known map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.fail(n, "this is no list of fields")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, content := n.Content[i], n.Content[i+1]
		take, ok := known[name.Value]
		switch {
		case !ok || name.Kind != yaml.ScalarNode:
			r.fail(name, "the field %q is not known", openapi.Printable(name.Value))
		case seen[name.Value]:
			r.fail(name, "the field %s is given twice", name.Value)
		default:
			take(content)
		}
		seen[name.Value] = true
	}
}

func (r *reader) items(n *yaml.Node, take func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.fail(n, `this is no list, of which each item begins with "- "`)
		return
	}
	for _, item := range n.Content {
		take(item)
	}
}

// text is the text of a value; one that is no text, or empty, is an error.
func (r *reader) text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" {
		r.fail(n, "this is no text, or an empty one")
		return ""
	}
	return n.Value
}

// form is a text that must be right.
func (r *reader) form(n *yaml.Node, what string, right func(string) bool) string {
	text := r.text(n)
	if text != "" && !right(text) {
		r.fail(n, "this is not %s", what)
	}
	return text
}

func (r *reader) instanceID(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Value == "" {
		return "" // the Personal Edition of before September 2024
	}
	return r.form(n, `the id of an instance, which begins with cri- or crpi-, or "" for the Personal Edition`, acr.IsInstance)
}

func (r *reader) region(n *yaml.Node) string {
	return r.form(n, "a region id, as cn-hangzhou", openapi.IsRegion)
}

// domains reads a text with commas, as acr-registry-info has it, or a list.
func (r *reader) domains(n *yaml.Node) []string {
	var hosts []string
	take := func(n *yaml.Node) {
		for name := range strings.SplitSeq(r.text(n), ",") {
			host, err := hostname.Parse(strings.TrimSpace(name))
			if err != nil {
				r.fail(n, "this is no registry host: %v", errors.Unwrap(err))
				continue
			}
			hosts = append(hosts, host)
		}
	}
	if n.Kind == yaml.SequenceNode {
		r.items(n, take)
	} else {
		take(n)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// arn reads the name of a thing at RAM: acs:ram::ACCOUNT:KIND/NAME.
func (r *reader) arn(n *yaml.Node, kind string) string {
	return r.form(n, "the ARN of such a thing, acs:ram::ACCOUNT:"+kind+"/NAME", func(s string) bool {
		account, name, cut := strings.Cut(strings.TrimPrefix(s, "acs:ram::"), ":"+kind+"/")
		odd := func(letters string) func(rune) bool {
			return func(c rune) bool { return !strings.ContainsRune(letters, c) }
		}
		const digits, letters = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		return cut && strings.HasPrefix(s, "acs:ram::") && account != "" && name != "" && len(s) < 256 &&
			!strings.ContainsFunc(account, odd(digits)) && !strings.ContainsFunc(name, odd(digits+letters+"._@-"))
	})
}

// account reads namespace/name.
func (r *reader) account(n *yaml.Node) string {
	return r.form(n, "a ServiceAccount, written as namespace/name", isAccount)
}

func isAccount(s string) bool {
	const signs = "abcdefghijklmnopqrstuvwxyz0123456789-."
	namespace, name, cut := strings.Cut(s, "/")
	odd := func(c rune) bool { return !strings.ContainsRune(signs, c) }
	return cut && namespace != "" && name != "" && !strings.ContainsFunc(namespace, odd) && !strings.ContainsFunc(name, odd)
}

// The cloud's bounds of a session, in seconds.
const leastSeconds, mostSeconds = 900, 43200

func (r *reader) seconds(n *yaml.Node) time.Duration {
	text := r.text(n)
	seconds, err := strconv.Atoi(text)
	if text != "" && (err != nil || seconds < leastSeconds || seconds > mostSeconds) {
		r.fail(n, "this is not a number of seconds from %d to %d", leastSeconds, mostSeconds)
		return 0
	}
	return time.Duration(seconds) * time.Second
}

func (r *reader) endpoint(n *yaml.Node) string {
	text := r.text(n)
	if text != "" {
		if err := openapi.CheckEndpoint(text); err != nil {
			r.fail(n, "%v", err)
		}
	}
	return text
}

func (r *reader) metadata(n *yaml.Node) string {
	return r.form(n, "http://HOST, as of the metadata service", func(s string) bool {
		u, err := url.Parse(s)
		return err == nil && u.Scheme == "http" && u.Host != "" && u.User == nil && u.Path == "" && u.RawQuery == ""
	})
}

func (r *reader) path(n *yaml.Node) string {
	return r.form(n, "a path that begins with /", filepath.IsAbs)
}

func (r *reader) helper(n *yaml.Node) string {
	return r.form(n, "the name of another helper, without docker-credential-", isHelper)
}

// isHelper tells whether a text is the name of another helper than this one.
func isHelper(s string) bool {
	return s != "" && s != ownHelper && s[0] != '-' && s[0] != '.' && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '/' })
}
