package controller

import (
	"fmt"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/acrconfig"
)

// Webhook is how the webhook was installed: pullkey may neither read nor write that.
type Webhook struct {
	Served bool
	// Fail tells whether pods are refused while it does not answer, Timeout how
	// long they wait.
	Fail    bool
	Timeout time.Duration
}

// reportWebhook tells what the configuration asks of the webhook that only an
// installation can give it. Where the policies run nothing waits and nothing fails.
func (c *Controller) reportWebhook(wanted acrconfig.Webhook) {
	const about = "webhook"
	values := wanted.Values(c.Webhook.Fail, c.Webhook.Timeout)
	if !c.Webhook.Served || len(values) == 0 {
		c.unsay(about)
		return
	}
	c.say(about, c.configurationReference(), reasonConfigurationWarning, fmt.Sprintf(
		"webhook-configuration asks for what the installation decides; hint: upgrade the release with --set %s", strings.Join(values, ",")))
}
