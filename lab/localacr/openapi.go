package localacr

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The OpenAPIs' versions (ACR's are those of its editions) and actions.
const (
	versionEnterprise = "2018-12-01"
	versionPersonal   = "2016-06-07"
	versionSTS        = "2015-04-01"

	ActionGetAuthorizationToken = "GetAuthorizationToken"
	ActionListInstanceEndpoint  = "ListInstanceEndpoint"
	ActionAssumeRole            = "AssumeRole"
	ActionAssumeRoleWithOIDC    = "AssumeRoleWithOIDC"
)

// openAPI is ACR's API of one region, or STS.
type openAPI struct {
	acr    *ACR
	server ServerKind
	region string
}

// call is a request to the API.
type call struct {
	request                       *http.Request
	id, version, action, instance string
	parameters                    url.Values // of query and form
	body                          []byte
	rpc                           bool // asked in the query, where the format has to be said
	signed                        signed
	malformed                     *cloudError
	user                          ramUser
	record                        *record
}

// operation is what an API can do.
type operation struct {
	server                ServerKind
	version, action, path string
	methods               []string
	answer                func(*openAPI, *call) (any, *cloudError)
	unsigned              bool
}

// operations is the table of the APIs. GET is accepted where POST is documented:
// users do so (facts, section 2.2).
func operations() []operation {
	rpc := []string{http.MethodPost, http.MethodGet}
	return []operation{
		{ServerAPI, versionEnterprise, ActionGetAuthorizationToken, "/", rpc, (*openAPI).enterpriseToken, false},
		{ServerAPI, versionEnterprise, ActionListInstanceEndpoint, "/", rpc, (*openAPI).endpoints, false},
		{ServerAPI, versionPersonal, ActionGetAuthorizationToken, "/tokens", []string{http.MethodGet}, (*openAPI).personalToken, false},
		{ServerSTS, versionSTS, ActionAssumeRole, "/", rpc, (*openAPI).assumeRole, false},
		{ServerSTS, versionSTS, ActionAssumeRoleWithOIDC, "/", []string{http.MethodPost}, (*openAPI).assumeRoleWithOIDC, true},
	}
}

func (p *openAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := p.read(r)
	if p.acr.obstruct(w, r, p.server, c.action, c.instance) {
		return
	}
	reply, err := p.answer(c)
	status := http.StatusOK
	if err != nil {
		status, c.record.Code = err.status, err.code
		reply = err.body(c.id, r.Host, c.version == versionPersonal)
		if err.code == errThrottled.code {
			w.Header().Set("x-ratelimit-user-api", "Limit:0,Remain:0,TimeLeft:1000,Reset:0")
		}
	}
	w.Header().Set("x-acs-request-id", c.id)
	writeJSON(w, status, reply)
}

// read takes from the request what it is about. Nothing is verified yet.
func (p *openAPI) read(r *http.Request) *call {
	const most = 1 << 20
	c := &call{request: r, id: requestID(), parameters: r.URL.Query(), record: recordOf(r)}
	var err error
	if c.body, err = io.ReadAll(io.LimitReader(r.Body, most)); err == nil && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		var form url.Values
		form, err = url.ParseQuery(string(c.body))
		for name, values := range form {
			c.parameters[name] = append(c.parameters[name], values...)
		}
	}
	c.version, c.action = r.Header.Get("x-acs-version"), r.Header.Get("x-acs-action")
	if c.rpc = c.action == ""; c.rpc {
		c.version, c.action = c.parameters.Get("Version"), c.parameters.Get("Action")
	}
	c.action, c.instance = clip(c.action), clip(c.parameters.Get("InstanceId"))
	if i := p.find(c); i != nil {
		c.instance = i.ID // the older version names none
	}
	if c.signed, c.malformed = readSigned(c); err != nil {
		c.malformed = errIncompleteSignature(err)
	}
	c.record.Action, c.record.Instance, c.record.AccessKeyID = c.action, c.instance, clip(c.signed.key)
	return c
}

// authenticate finds out who calls, for an operation that asks for it.
func (p *openAPI) authenticate(c *call, unsigned bool) (err *cloudError) {
	if unsigned {
		c.record.AccessKeyID = ""
		return p.acr.checkUnsigned(c.parameters)
	}
	if c.malformed != nil {
		return c.malformed
	}
	c.user, err = p.acr.caller(c.signed)
	c.record.Caller = c.user.arn
	return err
}

func (p *openAPI) answer(c *call) (any, *cloudError) {
	table := operations()
	at := slices.IndexFunc(table, func(o operation) bool {
		return o.server == p.server && o.version == c.version && o.action == c.action && o.path == c.request.URL.Path && slices.Contains(o.methods, c.request.Method)
	})
	if err := p.authenticate(c, at >= 0 && table[at].unsigned); err != nil {
		return nil, err
	}
	switch {
	case !slices.ContainsFunc(table, func(o operation) bool { return o.server == p.server && o.version == c.version }):
		return nil, errVersion
	case at < 0:
		return nil, errAction
	case c.rpc && !strings.EqualFold(c.parameters.Get("Format"), "JSON"):
		return nil, errFormat
	}
	if f, ok := p.acr.faults.take(c.action, c.instance, Throttle, ErrorCode); ok {
		return nil, f.cloudError()
	}
	return table[at].answer(p, c)
}

// target returns the instance that a call is about, if the caller may.
func (p *openAPI) target(c *call) (*instance, *cloudError) {
	if c.version == versionEnterprise && c.instance == "" {
		return nil, errInstanceMissing
	}
	i := p.find(c)
	_, elsewhere := p.acr.faults.take(c.action, c.instance, WrongRegion)
	switch missing := i == nil || elsewhere; {
	case c.version == versionPersonal && (missing || c.user.NotInitialized):
		return nil, errUserUnknown
	case missing:
		return nil, errInstanceUnknown
	case !c.user.mayCall(c.action, i):
		return nil, errForbidden
	}
	if _, fails := p.acr.faults.take(c.action, c.instance, NotSuccess); fails {
		return nil, errNotSuccess
	}
	return i, nil
}

// find returns the instance in this API's region that a call names: with the
// older version, which names none, the Personal Edition.
func (p *openAPI) find(c *call) *instance {
	personal := c.version == versionPersonal
	for _, i := range p.acr.instances {
		if i.Region == p.region && i.personal() == personal && (personal || i.ID == c.instance) {
			return i
		}
	}
	return nil
}

// enterpriseToken answers GetAuthorizationToken of 2018-12-01.
func (p *openAPI) enterpriseToken(c *call) (any, *cloudError) {
	i, err := p.target(c)
	if err != nil {
		return nil, err
	}
	password, until := p.acr.issue(c, i)
	return map[string]any{
		"AuthorizationToken": password, "TempUsername": temporaryUser, "ExpireTime": until.UnixMilli(),
		"Code": "success", "IsSuccess": true, "RequestId": c.id,
	}, nil
}

// personalToken answers GetAuthorizationToken of 2016-06-07.
func (p *openAPI) personalToken(c *call) (any, *cloudError) {
	i, err := p.target(c)
	if err != nil {
		return nil, err
	}
	password, until := p.acr.issue(c, i)
	data := map[string]any{"authorizationToken": password, "tempUserName": temporaryUser, "expireDate": until.UnixMilli()}
	return map[string]any{"data": data, "requestId": c.id}, nil
}

// endpoints answers ListInstanceEndpoint of 2018-12-01.
func (p *openAPI) endpoints(c *call) (any, *cloudError) {
	i, err := p.target(c)
	if err != nil {
		return nil, err
	}
	domains := map[string][]any{}
	for _, s := range p.acr.registrySites(i) {
		if s.port == distributedPort {
			continue // is not an endpoint of the instance
		}
		kind, network := "SYSTEM", "internet"
		if slices.Contains(i.Domains, s.name) {
			kind = "USER"
		} else if vpcSuffix(s.name) != "" {
			network = "vpc"
		}
		domains[network] = append(domains[network], map[string]any{"Domain": s.address, "Type": kind})
	}
	list, module := []any{}, c.parameters.Get("ModuleName")
	if module == "" || module == "Registry" {
		list = append(list, endpoint("internet", domains["internet"]), endpoint("vpc", domains["vpc"]))
	}
	return map[string]any{"Endpoints": list, "Code": "success", "IsSuccess": true, "RequestId": c.id}, nil
}

func endpoint(network string, domains []any) map[string]any {
	e := map[string]any{"EndpointType": network, "Enable": true, "Status": "RUNNING", "AclEnable": false, "Domains": domains}
	if network == "vpc" {
		e["LinkedVpcs"] = []any{map[string]any{"VpcId": "vpc-localacr", "Status": "RUNNING", "DefaultAccess": true}}
	}
	return e
}

// issue makes a temporary user for the caller. The expiry is a whole second,
// because the registry's tokens count in seconds and must not outlive it.
func (a *ACR) issue(c *call, i *instance) (password string, until time.Time) {
	now := a.clock()
	f, shortened := a.faults.take(c.action, c.instance, Lifetime)
	if !shortened {
		f.Lifetime = a.options.CredentialLifetime
	}
	until = now.Add(f.Lifetime)
	if session := c.user.key.ExpiresAt; !session.IsZero() && (!shortened || session.Before(until)) {
		until = session
	}
	until = until.Truncate(time.Second)
	password, number := a.accounts.addTemporary(c.user, i, now, until)
	c.record.User, c.record.Credential = temporaryUser, number
	return password, until
}

func requestID() string {
	id := strings.ToUpper(randomText(32, hexadecimal))
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}
