package events

// Types of webhook events that are acted on: https://docs.stripe.com/api/events/types
const (
	WebhookAuthorized     = "payment_intent.amount_capturable_updated"
	WebhookDeclined       = "payment_intent.payment_failed"
	WebhookCanceled       = "payment_intent.canceled"
	WebhookChargeRefunded = "charge.refunded"
	WebhookRefundChanged  = "charge.refund.updated"
	WebhookRefundUpdated  = "refund.updated"
	WebhookRefundFailed   = "refund.failed"
	WebhookDisputeOpened  = "charge.dispute.created"
	WebhookDisputeUpdated = "charge.dispute.updated"
	WebhookDisputeClosed  = "charge.dispute.closed"
)

// WebhookTypes are the types that a webhook endpoint must be enabled for. Others have nothing to add: what was
// captured is known from the answer to the capture.
func WebhookTypes() []string {
	return []string{
		WebhookAuthorized, WebhookDeclined, WebhookCanceled, WebhookChargeRefunded, WebhookRefundChanged, WebhookRefundUpdated, WebhookRefundFailed,
		WebhookDisputeOpened, WebhookDisputeUpdated, WebhookDisputeClosed,
	}
}
