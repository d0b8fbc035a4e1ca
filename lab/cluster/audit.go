package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// AuditEvent is one request that the API server answered. A watch appears when
// it closes.
type AuditEvent struct {
	Time       time.Time // when the request came in
	Ended      time.Time // when it had been answered
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
	Request    json.RawMessage // what was sent, where Options.AuditSecrets or AuditResults asks for it
	Result     json.RawMessage // what came of it, where Options.AuditResults asks for it
}

// auditPolicy records every request once, when it has been answered, and
// nothing of its content unless that is asked for: what is sent for Secrets, or
// what is sent for Secrets and ServiceAccounts and what comes of it.
func auditPolicy(secrets, results bool) string {
	const every = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
rules:
`
	const written = `- {level: Request, verbs: [create, update, patch, delete], resources: [{group: "", resources: [secrets]}]}
`
	const left = `- {level: RequestResponse, verbs: [create, update, patch, delete, deletecollection], resources: [{group: "", resources: [secrets, serviceaccounts]}]}
`
	const rest = "- {level: Metadata}\n"
	switch {
	case results:
		return every + left + rest
	case secrets:
		return every + written + rest
	}
	return every + rest
}

func (c *Cluster) auditLog() string { return filepath.Join(c.dir, "audit.log") }

// APIServerLog is the file that the API server writes its log to.
func (c *Cluster) APIServerLog() string { return filepath.Join(c.dir, apiServer+".log") }

// AuditEvents returns all requests since the cluster started, oldest answer
// first. It needs Options.Audit.
func (c *Cluster) AuditEvents() ([]AuditEvent, error) {
	events, _, err := c.AuditFrom(0)
	return events, err
}

// AuditFrom returns the requests that were answered from a place of the audit
// log on, and the place where the next will stand. The first place is 0.
func (c *Cluster) AuditFrom(place int64) ([]AuditEvent, int64, error) {
	if !c.audit {
		return nil, place, errors.New("reading the audit log: the cluster was started without Options.Audit")
	}
	text, err := readFrom(c.auditLog(), place)
	if err != nil {
		return nil, place, fmt.Errorf("reading the audit log: %w", err)
	}
	var events []AuditEvent
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // still being written
		}
		event, err := parseAudit(line)
		if err != nil {
			return nil, place, fmt.Errorf("reading what stands at byte %d of %s: %w", place, c.auditLog(), err)
		}
		events = append(events, event)
		place += int64(len(line))
	}
	return events, place, nil
}

func readFrom(path string, place int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(place, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(file)
}

func parseAudit(line []byte) (AuditEvent, error) {
	var e struct {
		Verb       string    `json:"verb"`
		RequestURI string    `json:"requestURI"`
		UserAgent  string    `json:"userAgent"`
		Received   time.Time `json:"requestReceivedTimestamp"`
		Ended      time.Time `json:"stageTimestamp"`
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
		Result  json.RawMessage `json:"responseObject"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return AuditEvent{}, fmt.Errorf("decoding an audit event: %w", err)
	}
	return AuditEvent{
		Time: e.Received, Ended: e.Ended, User: e.User.Username, Groups: e.User.Groups, UserAgent: e.UserAgent,
		Verb: e.Verb, RequestURI: e.RequestURI,
		Group: e.Object.Group, Resource: e.Object.Resource, Sub: e.Object.Subresource,
		Namespace: e.Object.Namespace, Name: e.Object.Name, Code: e.Response.Code, Request: e.Request, Result: e.Result,
	}, nil
}
