package localacr

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The OpenAPI's versions, which are those of the editions, and its actions.
const (
	versionEnterprise = "2018-12-01"
	versionPersonal   = "2016-06-07"

	ActionGetAuthorizationToken = "GetAuthorizationToken"
	ActionListInstanceEndpoint  = "ListInstanceEndpoint"
)

// openAPI is the API of one region.
type openAPI struct {
	acr    *ACR
	region string
}

// call is a request to the API.
type call struct {
	id, version, action, instance string
	module                        string
	user                          ramUser
	record                        *record
}

// operation is what the API can do.
type operation struct {
	version, action, path string
	methods               []string
	answer                func(*openAPI, *call) (any, *cloudError)
}

// operations is the table of the API. GET is accepted where POST is documented:
// users do so (facts, section 2.2).
func operations() []operation {
	rpc := []string{http.MethodPost, http.MethodGet}
	return []operation{
		{versionEnterprise, ActionGetAuthorizationToken, "/", rpc, (*openAPI).enterpriseToken},
		{versionEnterprise, ActionListInstanceEndpoint, "/", rpc, (*openAPI).endpoints},
		{versionPersonal, ActionGetAuthorizationToken, "/tokens", []string{http.MethodGet}, (*openAPI).personalToken},
	}
}

func (p *openAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := p.read(r)
	if p.acr.obstruct(w, r, ServerAPI, c.action, c.instance) {
		return
	}
	reply, err := p.answer(c, r)
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
	query := r.URL.Query()
	c := &call{
		id: requestID(), version: r.Header.Get("x-acs-version"), action: clip(r.Header.Get("x-acs-action")),
		instance: clip(query.Get("InstanceId")), module: query.Get("ModuleName"), record: recordOf(r),
	}
	c.record.Action, c.record.Instance = c.action, c.instance
	if signed, err := parseAuthorization(r.Header.Get("Authorization")); err == nil {
		c.record.AccessKeyID = clip(signed.credential)
	}
	return c
}

func (p *openAPI) answer(c *call, r *http.Request) (any, *cloudError) {
	const most = 1 << 20
	body, err := io.ReadAll(io.LimitReader(r.Body, most))
	if err != nil {
		return nil, errIncompleteSignature(err)
	}
	var failure *cloudError
	if c.user, failure = p.acr.caller(r, body); failure != nil {
		return nil, failure
	}
	if c.version != versionEnterprise && c.version != versionPersonal {
		return nil, errVersion
	}
	for _, o := range operations() {
		if o.version == c.version && o.action == c.action && o.path == r.URL.Path && slices.Contains(o.methods, r.Method) {
			if _, throttled := p.acr.faults.take(c.action, c.instance, Throttle); throttled {
				return nil, errThrottled
			}
			return o.answer(p, c)
		}
	}
	return nil, errAction
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
	id := c.instance
	if c.version == versionPersonal {
		id = ""
	}
	for _, i := range p.acr.instances {
		if i.Region == p.region && i.ID == id {
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
		kind, network := "SYSTEM", "internet"
		if slices.Contains(i.Domains, s.name) {
			kind = "USER"
		} else if vpcSuffix(s.name) != "" {
			network = "vpc"
		}
		domains[network] = append(domains[network], map[string]any{"Domain": s.address, "Type": kind})
	}
	list := []any{}
	if c.module == "" || c.module == "Registry" {
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
