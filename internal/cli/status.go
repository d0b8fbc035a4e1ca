package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullkey/pullkey/internal/status"
)

const statusAbout = `Tell how pullkey's controller fares: whether the configuration is in force, and
for each registry account in whose name its credential is obtained, for which
hosts, until when, and what went wrong last. It reads what the controller wrote
into ConfigMap pullkey-status, and says what the clock alone has changed since.
A credential is FRESH; DEGRADED, where it lives and could not be renewed;
EXPIRED; REFUSED by the registry; or MISSING, where there never was one. The
exit code is 1 unless all are fresh and the configuration is in force.`

const statusExample = `  pullkey status
  pullkey status --context production -o json`

// controllersNamespace is where the controller and its own objects are.
const controllersNamespace = "pullkey-system"

// overdue is how long after a planned attempt the controller must have written
// what came of it: one takes half a minute at most.
const overdue = 5 * time.Minute

// statusFound is the JSON document of the command status: what the controller
// wrote, and what it comes to now.
type statusFound struct {
	status.Status
	Accounts []accountFound `json:"accounts"`
	// Now is when it was read.
	Now time.Time `json:"now"`
	// Well tells whether all credentials are fresh and the configuration in force.
	Well bool `json:"well"`
	// Silent tells that the controller should have written since, and has not.
	Silent bool `json:"controllerSilent"`
}

// accountFound is an account with its state at the time of reading.
type accountFound struct {
	status.Account
	StateNow status.State `json:"stateNow"`
}

func (p *program) statusCommand() *cobra.Command {
	var f clusterFlags
	cmd := &cobra.Command{
		Use: "status", Short: "tell how the controller and its credentials fare", Long: statusAbout, Example: statusExample, Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !isNamespace(f.namespace) {
				return usageError{fmt.Errorf("--namespace: %q is no name of a namespace", f.namespace), cmd.CommandPath()}
			}
			return p.status(cmd, &f)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVarP(&f.namespace, "namespace", "n", controllersNamespace, "`namespace` of the controller")
	f.defineCluster(cmd)
	return cmd
}

func (p *program) status(cmd *cobra.Command, f *clusterFlags) error {
	api, err := p.api(f)
	if err != nil {
		return err
	}
	written, err := configMap(cmd.Context(), api, f.namespace, status.Name,
		"the controller writes it: is pullkey installed in this cluster, in this namespace (-n), in a version that has pullkey status, and running? kubectl get pods -n "+f.namespace)
	if err != nil {
		return err
	}
	s, err := status.Decode(written.Data[status.Key])
	if err != nil {
		return advise(fmt.Errorf("ConfigMap %s in namespace %s: %w", status.Name, f.namespace, err), "use a pullkey of the controller's version; if it is, delete the ConfigMap and start the controller anew")
	}
	found := judge(s, p.Now())
	if err := p.found(found, p.statusText(found)); err != nil {
		return err
	}
	return found.trouble(f.namespace)
}

// judge says what a status comes to at the time now.
func judge(s status.Status, now time.Time) statusFound {
	found := statusFound{Status: s, Now: now, Accounts: []accountFound{}}
	found.Well = s.Configuration.Valid && s.Configuration.InForce == "configuration" && len(s.Accounts) > 0
	for _, a := range s.Accounts {
		now := stateAt(a, now)
		found.Accounts = append(found.Accounts, accountFound{a, now})
		found.Silent = found.Silent || now != a.State
		found.Well = found.Well && now == status.Fresh
	}
	return found
}

// stateAt returns the state of an account at the time now. The controller
// renews a credential long before its end: one whose end, or whose renewal, is
// past and of which nothing was written has no controller.
func stateAt(a status.Account, now time.Time) status.State {
	lives := a.State == status.Fresh || a.State == status.Degraded
	switch {
	case lives && !a.ExpiresAt.IsZero() && !now.Before(a.ExpiresAt):
		return status.Expired
	case a.State == status.Fresh && !a.NextAttempt.IsZero() && now.Sub(a.NextAttempt) > overdue:
		return status.Degraded
	}
	return a.State
}

// trouble says in a sentence what is not well.
func (s *statusFound) trouble(namespace string) error {
	var all []string
	switch c := s.Configuration; {
	case !c.Valid:
		all = append(all, "the configuration is not valid")
	case c.InForce != "configuration":
		all = append(all, "the configuration is not in force")
	}
	for _, state := range []status.State{status.Degraded, status.Expired, status.Refused, status.Missing} {
		n := 0
		for _, a := range s.Accounts {
			if a.StateNow == state {
				n++
			}
		}
		switch {
		case n > 0 && len(s.Accounts) == 1:
			all = append(all, "the credential is "+string(state))
		case n == 1:
			all = append(all, fmt.Sprintf("1 of %d credentials is %s", len(s.Accounts), state))
		case n > 1:
			all = append(all, fmt.Sprintf("%d of %d credentials are %s", n, len(s.Accounts), state))
		}
	}
	switch {
	case s.Well:
		return nil
	case len(all) == 0:
		return errors.New("not all is well: the controller keeps no credential")
	}
	err := errors.New("not all is well: " + strings.Join(all, ", "))
	if s.Silent {
		return advise(err, "see whether the controller runs: kubectl get pods -n %s", namespace)
	}
	return err
}
