package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// AuditEvent is one request that the API server answered. A watch appears when
// it closes.
type AuditEvent struct {
	Time       time.Time // when the request came in
	User       string
	Groups     []string
	UserAgent  string
	Verb       string
	RequestURI string
	Group      string // API group, resource and subresource
	Resource   string
	Sub        string
	Namespace  string
	Name       string
	Code       int
	Request    json.RawMessage // what was sent, where Options.AuditSecrets asks for it
}

// auditPolicy records every request once, when it has been answered, and
// nothing of its content unless the content of Secrets is asked for.
func auditPolicy(secrets bool) string {
	const every = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
rules:
`
	const written = `- {level: Request, verbs: [create, update, patch, delete], resources: [{group: "", resources: [secrets]}]}
`
	const rest = "- {level: Metadata}\n"
	if secrets {
		return every + written + rest
	}
	return every + rest
}

func (c *Cluster) auditLog() string { return filepath.Join(c.dir, "audit.log") }

// AuditEvents returns all requests since the cluster started, oldest answer
// first. It needs Options.Audit.
func (c *Cluster) AuditEvents() ([]AuditEvent, error) {
	if !c.audit {
		return nil, errors.New("reading the audit log: the cluster was started without Options.Audit")
	}
	text, err := os.ReadFile(c.auditLog())
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	var events []AuditEvent
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // still being written
		}
		event, err := parseAudit(line)
		if err != nil {
			return nil, fmt.Errorf("reading line %d of %s: %w", len(events)+1, c.auditLog(), err)
		}
		events = append(events, event)
	}
	return events, nil
}

func parseAudit(line []byte) (AuditEvent, error) {
	var e struct {
		Verb       string    `json:"verb"`
		RequestURI string    `json:"requestURI"`
		UserAgent  string    `json:"userAgent"`
		Received   time.Time `json:"requestReceivedTimestamp"`
		User       struct {
			Username string   `json:"username"`
			Groups   []string `json:"groups"`
		} `json:"user"`
		Object struct {
			Group       string `json:"apiGroup"`
			Resource    string `json:"resource"`
			Subresource string `json:"subresource"`
			Namespace   string `json:"namespace"`
			Name        string `json:"name"`
		} `json:"objectRef"`
		Response struct {
			Code int `json:"code"`
		} `json:"responseStatus"`
		Request json.RawMessage `json:"requestObject"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return AuditEvent{}, fmt.Errorf("decoding an audit event: %w", err)
	}
	return AuditEvent{
		Time: e.Received, User: e.User.Username, Groups: e.User.Groups, UserAgent: e.UserAgent,
		Verb: e.Verb, RequestURI: e.RequestURI,
		Group: e.Object.Group, Resource: e.Object.Resource, Sub: e.Object.Subresource,
		Namespace: e.Object.Namespace, Name: e.Object.Name, Code: e.Response.Code, Request: e.Request,
	}, nil
}
