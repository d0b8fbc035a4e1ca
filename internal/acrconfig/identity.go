package acrconfig

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/hostname"
	"github.com/pullkey/pullkey/internal/openapi"
)

// The vendor's bounds of expireDuration, in seconds.
const leastExpire, mostExpire = 3600, 43200

// arnRule says how the name of a thing at RAM is written.
type arnRule struct {
	noun, kind string
	form       *regexp.Regexp
}

// The account is a number. The names are wider than RAM's own.
var (
	roleARN     = arnRule{"a role", "role", regexp.MustCompile(`^acs:ram::\d{1,20}:role/[A-Za-z0-9._@-]{1,64}$`)}
	providerARN = arnRule{"an OIDC provider", "oidc-provider", regexp.MustCompile(`^acs:ram::\d{1,20}:oidc-provider/[A-Za-z0-9._@-]{1,128}$`)}
)

// The forms of an access key are wider than the cloud's own; what has a blank
// is none. The length is looked at apart: counted in the expression, each sign costs
// every start 0.7 KB.
var (
	keyIDForm     = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	keySecretForm = regexp.MustCompile(`^[!-~]+$`)
)

const longestKeyID, longestKeySecret = 128, 256

// readIdentity takes over a field that says in whose name to ask.
func (e *entry) readIdentity(field string, content *yaml.Node) {
	v := e.v
	switch field {
	case fieldAssume:
		e.AssumeRoleARN = v.arn(content, roleARN)
	case fieldRRSA:
		e.RRSARoleARN = v.arn(content, roleARN)
	case fieldProvider, fieldProviderAlias:
		e.readProvider(content)
	case fieldExpire:
		e.ExpireDuration = v.seconds(content, leastExpire, mostExpire)
	default:
		e.readKey(field, content)
	}
}

func (e *entry) readKey(field string, content *yaml.Node) {
	const hint = " alone; better put the access key into a Secret, and write " + fieldKeyFrom + ": NAME"
	v := e.v
	text := v.text(content)
	switch {
	case text == "":
	case field == fieldKey && (len(text) > longestKeyID || !keyIDForm.MatchString(text)):
		v.fail(content.Line, "this is not the id of an access key", "write the id"+hint)
	case field == fieldKey:
		e.AccessKey.ID = text
	case field == fieldKeySecret && (len(text) > longestKeySecret || !keySecretForm.MatchString(text)):
		v.fail(content.Line, "this is not the secret of an access key", "write the secret"+hint)
	case field == fieldKeySecret:
		e.AccessKey.Secret = credential.NewSecret(text)
	case len(text) > accountNames.most || !accountNames.form.MatchString(text):
		v.fail(content.Line, "this cannot be the name of a Secret", "write the name of a Secret in pullkey's namespace with access-key-id and access-key-secret, and never the key itself")
	default:
		e.AccessKeyFrom = text
	}
}

// readProvider reads both spellings of one field.
func (e *entry) readProvider(content *yaml.Node) {
	arn, before := e.v.arn(content, providerARN), e.RRSAProviderARN
	if arn != "" && before != "" && arn != before {
		e.v.fail(content.Line, fieldProvider+" and "+fieldProviderAlias+" are the same field and name two providers", "keep "+fieldProvider)
	}
	if arn != "" {
		e.RRSAProviderARN = arn
	}
}

func (v *value) arn(content *yaml.Node, rule arnRule) string {
	arn := v.text(content)
	if arn != "" && !rule.form.MatchString(arn) {
		v.fail(content.Line, "this is not the ARN of "+rule.noun, "write it like acs:ram::1234567890123456:"+rule.kind+"/NAME, with the number of the account that it belongs to")
		return ""
	}
	return arn
}

// identities are fields that each say in whose name to ask, so that two of
// them in one item contradict each other. A role can be assumed on top of any.
var identities = [][2]string{{fieldKey, fieldRRSA}, {fieldKeyFrom, fieldKey}, {fieldKeyFrom, fieldRRSA}}

func (e *entry) checkIdentity() {
	for _, pair := range identities {
		if e.gives(pair[0]) && e.gives(pair[1]) {
			e.v.fail(max(e.lineOf(pair[0]), e.lineOf(pair[1])), pair[0]+" and "+pair[1]+" say two identities", "keep one of them")
		}
	}
	switch key, secret := e.gives(fieldKey), e.gives(fieldKeySecret); {
	case key && !secret:
		e.v.fail(e.lineOf(fieldKey), fieldKey+" is given without "+fieldKeySecret, "write both, or better put them into a Secret, and write "+fieldKeyFrom+": NAME")
	case secret && !key:
		e.v.fail(e.lineOf(fieldKeySecret), fieldKeySecret+" is given without "+fieldKey, "write both, or better put them into a Secret, and write "+fieldKeyFrom+": NAME")
	case key:
		e.v.warn(e.lineOf(fieldKey), "the access key stands in clear in a ConfigMap; better put it into a Secret in pullkey's namespace, as access-key-id and access-key-secret, and write "+fieldKeyFrom+" with its name")
	}
}

// settleRRSA says what becomes of roles that need an OIDC token. The vendor's
// helper takes them only while RRSA is switched on.
func (e *entry) settleRRSA(on bool) {
	role, provider := e.RRSARoleARN != "", e.RRSAProviderARN != ""
	field := fieldRRSA
	if !role {
		field = e.providerField()
	}
	switch {
	case !on && (role || provider):
		e.v.warn(e.lineOf(field), field+" has no effect while "+e.v.rrsaSwitch()+" is not switched on: the credential is asked for in another name")
		e.RRSARoleARN, e.RRSAProviderARN = "", ""
	case provider && !role:
		e.v.fail(e.lineOf(field), "a provider is given without a role to assume", "write "+fieldRRSA+" beside it, or take it out")
	case role && !provider:
		e.v.warn(e.lineOf(field), fieldProvider+" is not given: the provider that the pod's environment names is used")
	}
	if e.ExpireDuration > 0 && e.AssumeRoleARN == "" && e.RRSARoleARN == "" {
		e.v.warn(e.lineOf(fieldExpire), fieldExpire+" has no effect without a role ("+fieldAssume+" or "+fieldRRSA+")")
	}
}

func (e *entry) providerField() string {
	if e.gives(fieldProviderAlias) && !e.gives(fieldProvider) {
		return fieldProviderAlias
	}
	return fieldProvider
}

// endpoint returns the URL of an API endpoint, which may be written as a host
// alone. A signed request must not go out in clear.
func (v *value) endpoint(content *yaml.Node) string {
	text := v.text(content)
	if text == "" {
		return ""
	}
	scheme, host, found := strings.Cut(text, "://")
	if !found {
		scheme, host = "https", text
	}
	const hint = "write it like https://cr-vpc.cn-hangzhou.aliyuncs.com"
	host, err := hostname.Parse(strings.TrimSuffix(host, "/"))
	switch u := (url.URL{Scheme: strings.ToLower(scheme), Host: host}); {
	case err != nil:
		v.fail(content.Line, "this is neither a host nor the URL of one", hint)
	case u.Scheme != "https" && u.Scheme != "http":
		v.fail(content.Line, "the URL begins neither with https:// nor with http://", hint)
	case u.Scheme == "http" && !openapi.IsLoopback(u.Hostname()):
		v.fail(content.Line, "an endpoint is asked over https; http is for this machine's own addresses alone", hint)
	default:
		return fmt.Sprintf("%s://%s", u.Scheme, u.Host)
	}
	return ""
}
