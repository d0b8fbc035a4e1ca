package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/pullkey/pullkey/internal/registry"
)

// browserPatience is how long a login waits for somebody to consent in a
// browser.
const browserPatience = 10 * time.Minute

// loginInBrowser has the user log in at the authorization server, in a
// browser: here, or with device on any other machine. The address is shown and
// no browser started: what stands in it would be in the browser's arguments.
func (p *program) loginInBrowser(ctx context.Context, device bool, host string, o registry.Options) (registry.LoggedIn, error) {
	client, err := registry.New(host, o)
	if err != nil {
		return registry.LoggedIn{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, browserPatience)
	defer cancel()
	if device {
		return client.LoginDevice(ctx, registry.DeviceOptions{Show: p.showDevice})
	}
	return client.LoginWeb(ctx, registry.WebOptions{Open: func(_ context.Context, page string) error {
		return p.tell("to log in to %s, open this page in a browser on this machine:\n\n  %s\n\n", host, clean(page))
	}})
}

func (p *program) showDevice(_ context.Context, d registry.DevicePrompt) error {
	page, code := clean(d.Page), clean(d.UserCode)
	if err := p.tell("to log in, open this page in any browser, and enter the code:\n\n  %s\n  %s\n\n", page, code); err != nil {
		return err
	}
	if d.PageWithCode != "" {
		if err := p.tell("or open this one, and compare the code:\n\n  %s\n\n", clean(d.PageWithCode)); err != nil {
			return err
		}
	}
	return p.tell("the code is good for %v\n", d.ExpiresAt.Sub(p.Now()).Round(time.Second))
}

// tell asks the user on standard error to do something.
func (p *program) tell(format string, args ...any) error {
	if _, err := fmt.Fprintf(p.err, format, args...); err != nil {
		return fmt.Errorf("write to standard error: %w", err)
	}
	return nil
}
