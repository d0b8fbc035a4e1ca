package localacr

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// faultText is a fault as the admin endpoint and the command line write it.
type faultText struct {
	Fault      FaultKind `json:"fault"`
	Action     string    `json:"action,omitempty"`
	Instance   string    `json:"instance,omitempty"`
	Times      int       `json:"times,omitempty"`
	Status     int       `json:"status,omitempty"`
	Code       string    `json:"code,omitempty"`
	Credential int       `json:"credential,omitempty"`
	Lifetime   string    `json:"lifetime,omitempty"`
	Offset     string    `json:"offset,omitempty"`
}

// ParseFault reads a fault written in JSON, as
// {"fault":"throttle","action":"GetAuthorizationToken","times":3}.
func ParseFault(r io.Reader) (Fault, error) {
	decoder := json.NewDecoder(r)
	decoder.DisallowUnknownFields()
	var text faultText
	if err := decoder.Decode(&text); err != nil {
		return Fault{}, fmt.Errorf("read the fault: %w", err)
	}
	f := Fault{
		Kind: text.Fault, Action: text.Action, Instance: text.Instance, Times: text.Times, Status: text.Status,
		Code: text.Code, Credential: text.Credential,
	}
	for name, field := range map[string]struct {
		text string
		to   *time.Duration
	}{"lifetime": {text.Lifetime, &f.Lifetime}, "offset": {text.Offset, &f.Offset}} {
		if field.text == "" {
			continue
		}
		d, err := time.ParseDuration(field.text)
		if err != nil {
			return Fault{}, fmt.Errorf("read the fault's %s %q: write it like 90s or -20m", name, field.text)
		}
		*field.to = d
	}
	return f, f.check()
}

func (f *Fault) text() faultText {
	t := faultText{
		Fault: f.Kind, Action: f.Action, Instance: f.Instance, Times: f.Times, Status: f.Status,
		Code: f.Code, Credential: f.Credential,
	}
	if f.Lifetime != 0 {
		t.Lifetime = f.Lifetime.String()
	}
	if f.Offset != 0 {
		t.Offset = f.Offset.String()
	}
	return t
}

// serveAdmin opens the admin endpoint on loopback.
func (a *ACR) serveAdmin(context.Context) error {
	if !a.options.Admin {
		return nil
	}
	port := 0
	if a.options.FirstPort != 0 {
		port = a.options.FirstPort + len(a.sites)
	}
	listener, err := a.open("127.0.0.1", port)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /faults", a.listFaults)
	mux.HandleFunc("POST /faults", a.setFault)
	mux.HandleFunc("DELETE /faults", a.clearFaults)
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, a.log.Entries()) })
	mux.HandleFunc("POST /authorization/stop", switched(a.StopAuthorization))
	mux.HandleFunc("POST /authorization/start", switched(a.StartAuthorization))
	mux.HandleFunc("POST /cloud/stop", switched(a.StopCloud))
	mux.HandleFunc("POST /cloud/start", switched(a.StartCloud))
	mux.HandleFunc("POST /sts/stop", switched(a.StopSTS))
	mux.HandleFunc("POST /sts/start", switched(a.StartSTS))
	a.admin = "http://" + listener.Addr().String()
	a.run(listener, localOnly(mux), nil)
	return nil
}

// localOnly refuses what a web page made a browser send: it has an Origin, or
// a Host that only resolves to loopback.
func localOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil || host != "127.0.0.1" && host != "localhost" || r.Header.Get("Origin") != "" {
			writeJSON(w, http.StatusForbidden, map[string]string{"error": "the admin endpoint is for programs on this machine"})
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (a *ACR) listFaults(w http.ResponseWriter, _ *http.Request) {
	list := []faultText{}
	for _, f := range a.faults.List() {
		list = append(list, f.text())
	}
	writeJSON(w, http.StatusOK, list)
}

func (a *ACR) setFault(w http.ResponseWriter, r *http.Request) {
	const most = 64 << 10
	f, err := ParseFault(http.MaxBytesReader(w, r.Body, most))
	if err == nil {
		err = a.faults.Set(f)
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	a.listFaults(w, r)
}

func (a *ACR) clearFaults(w http.ResponseWriter, r *http.Request) {
	a.faults.Clear()
	a.listFaults(w, r)
}

// switched turns servers off or on.
func switched(turn func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := turn(); err != nil {
			writeJSON(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
