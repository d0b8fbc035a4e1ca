package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/source"
)

// policyDocument is a document of RAM with where it belongs.
type policyDocument struct {
	Title    string      `json:"title"`
	AttachTo string      `json:"attachTo"`
	Document ramDocument `json:"document"`
}

// ramDocument is a policy as RAM writes it.
type ramDocument struct {
	Version   string         `json:"Version"`
	Statement []ramStatement `json:"Statement"`
}

type ramStatement struct {
	Effect    string                         `json:"Effect"`
	Action    []string                       `json:"Action"`
	Resource  []string                       `json:"Resource,omitempty"`
	Principal map[string][]string            `json:"Principal,omitempty"`
	Condition map[string]map[string][]string `json:"Condition,omitempty"`
}

func allow(actions, resources []string) ramStatement {
	return ramStatement{Effect: "Allow", Action: actions, Resource: resources}
}

// grants collects what a configuration takes.
type grants struct {
	// region is the cluster's, may be empty; subject is who may use RRSA.
	region, subject string

	principals []*principal
	roles      []*trust
	notes      []string
	federated  bool
}

// principal is somebody who must be permitted something.
type principal struct {
	who string // in sentences; a role's is its ARN
	// tokens, repositories and endpoints are resources of ACR, roles are what it
	// assumes.
	tokens, repositories, endpoints, roles []string
}

// trust is a role that somebody must be able to assume.
type trust struct {
	role      string
	providers []string
	callers   []string
}

// note keeps what the user should know, once.
func (g *grants) note(text string) {
	if !slices.Contains(g.notes, text) {
		g.notes = append(g.notes, text)
	}
}

func (g *grants) principal(who string) *principal {
	for _, p := range g.principals {
		if p.who == who {
			return p
		}
	}
	p := &principal{who: who}
	g.principals = append(g.principals, p)
	return p
}

func (g *grants) trust(role string) *trust {
	for _, t := range g.roles {
		if t.role == role {
			return t
		}
	}
	t := &trust{role: role}
	g.roles = append(g.roles, t)
	return t
}

const (
	ownIdentity = "the identity of the controller: the RAM user of its access key, or the RAM role of the nodes"
	// somebody stands in a document for an account that nothing names.
	somebody = "ACCOUNT_ID"
)

// grant adds what an instance takes.
func (g *grants) grant(in acrconfig.Instance) {
	who, caller := ownIdentity, "acs:ram::"+somebody+":root"
	switch {
	case in.AccessKeyFrom != "":
		who = "the RAM user of the access key in Secret " + controllersNamespace + "/" + in.AccessKeyFrom
	case in.AccessKey.ID != "":
		who = "the RAM user of the access key in the configuration of " + instanceName(in.ID)
	case in.RRSARoleARN != "":
		who, caller = in.RRSARoleARN, in.RRSARoleARN
		g.federated = true
		t := g.trust(in.RRSARoleARN)
		t.providers = with(t.providers, cmp.Or(in.RRSAProviderARN, "acs:ram::"+account(in.RRSARoleARN)+":oidc-provider/ack-rrsa-CLUSTER_ID"))
		if in.RRSAProviderARN == "" {
			g.note("the configuration names no OIDC provider: put the cluster's id in place of CLUSTER_ID")
		}
	}
	if in.AssumeRoleARN != "" {
		g.principal(who).roles = with(g.principal(who).roles, in.AssumeRoleARN)
		t := g.trust(in.AssumeRoleARN)
		t.callers = with(t.callers, caller)
		if strings.Contains(caller, somebody) {
			g.note("put the number of the account that assumes the role in place of " + somebody + "; better name the user or role there than root, which is everybody in it with the right to")
		}
		who = in.AssumeRoleARN
	}
	g.registry(g.principal(who), in)
}

// registry adds what the calls for an instance take. The forms of resources
// are those of ACR's documentation, section "RAM authorization" and the pages
// of the calls.
func (g *grants) registry(p *principal, in acrconfig.Instance) {
	prefix := "acs:cr:" + in.Region + ":*:"
	if !strings.HasPrefix(in.ID, "cri-") {
		p.tokens = with(p.tokens, "*")
		p.repositories = with(p.repositories, prefix+"repository/*")
		g.note("for the Personal Edition no resource of cr:GetAuthorizationToken is documented, so that it is granted for all (*); what can be pulled is limited by cr:PullRepository")
		return
	}
	p.tokens = with(p.tokens, prefix+"repository/"+in.ID)
	p.repositories = with(p.repositories, prefix+"repository/"+in.ID+"/*")
	if len(in.Domains) == 0 || len(source.Strange(in.Domains, nil)) > 0 {
		p.endpoints = with(p.endpoints, prefix+"instance/"+in.ID)
		g.note("the resource of cr:ListInstanceEndpoint is that of GetInstanceEndpoint: its own is not documented")
	}
	g.note("these resources were not tried on the live cloud; where it answers Forbidden.RAM, write * as the vendor's own policy does, and tell us")
}

// documents returns what to put where.
func (g *grants) documents() []policyDocument {
	list := []policyDocument{}
	for _, p := range g.principals {
		list = append(list, policyDocument{"permissions of " + named(p.who), p.place(), ramDocument{"1", p.statements()}})
	}
	for _, t := range g.roles {
		list = append(list, policyDocument{"who may assume role " + t.role, "RAM console: Roles, " + roleName(t.role) + ", Trust Policy", ramDocument{"1", g.statements(t)}})
	}
	return list
}

func named(who string) string {
	if strings.HasPrefix(who, "acs:") {
		return "role " + who
	}
	return who
}

func (p *principal) place() string {
	const custom = "as a custom policy"
	if strings.HasPrefix(p.who, "acs:") {
		return "RAM console of account " + account(p.who) + ": Roles, " + roleName(p.who) + ", Permissions, " + custom
	}
	return "RAM console: the user or role, Permissions, " + custom
}

func (p *principal) statements() []ramStatement {
	var list []ramStatement
	add := func(action string, resources []string) {
		if len(resources) > 0 {
			list = append(list, allow([]string{action}, resources))
		}
	}
	if slices.Contains(p.tokens, "*") {
		p.tokens = []string{"*"}
	}
	add("cr:GetAuthorizationToken", p.tokens)
	add("cr:PullRepository", p.repositories)
	add("cr:ListInstanceEndpoint", p.endpoints)
	add("sts:AssumeRole", p.roles)
	return list
}

// statements says who may assume a role.
func (g *grants) statements(t *trust) []ramStatement {
	assume := []string{"sts:AssumeRole"}
	var list []ramStatement
	for _, provider := range t.providers {
		list = append(list, ramStatement{
			Effect: "Allow", Action: assume, Principal: map[string][]string{"Federated": {provider}},
			Condition: map[string]map[string][]string{"StringEquals": {
				"oidc:iss": {g.issuer(provider)}, "oidc:aud": {"sts.aliyuncs.com"}, "oidc:sub": {g.subject},
			}},
		})
	}
	if len(t.callers) > 0 {
		list = append(list, ramStatement{Effect: "Allow", Action: assume, Principal: map[string][]string{"RAM": t.callers}})
	}
	return list
}

// issuer is that of an ACK cluster, whose id is in the name of its provider.
func (g *grants) issuer(provider string) string {
	region := cmp.Or(g.region, "REGION")
	if g.region == "" {
		g.note("put the cluster's region in place of REGION, or give it with --region")
	}
	g.note("oidc:iss is as ACK makes it; compare with your cluster's: kubectl get --raw /.well-known/openid-configuration")
	_, cluster, ok := strings.Cut(provider, ":oidc-provider/ack-rrsa-")
	if !ok {
		cluster = "CLUSTER_ID"
		g.note("the OIDC provider is not called as ACK calls it: put your issuer's URL at oidc:iss")
	}
	return "https://oidc-ack-" + region + ".oss-" + region + ".aliyuncs.com/" + cluster
}

// account returns the number of the account in an ARN, and roleName the name.
func account(arn string) string {
	parts := append(strings.Split(arn, ":"), make([]string, 4)...)
	return parts[3]
}

func roleName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// with returns list with value, once.
func with(list []string, value string) []string {
	if slices.Contains(list, value) {
		return list
	}
	return append(list, value)
}
