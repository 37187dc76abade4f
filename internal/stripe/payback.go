package stripe

import (
	"context"
	"time"

	"github.com/stripe/stripe-go/v76"

	"onsale/internal/sale"
)

// Refund gives the whole of a captured payment back. The refund's id is the idempotency key, so asking again finds the
// first answer. What can't be refunded is sale.Invalid or sale.Conflict, with Stripe's code.
func (c *Client) Refund(ctx context.Context, r sale.Refund) (sale.Repayment, error) {
	params := &stripe.RefundParams{
		PaymentIntent: stripe.String(r.IntentID), Amount: stripe.Int64(r.Amount), Reason: stripe.String(string(stripe.RefundReasonRequestedByCustomer)),
	}
	params.AddMetadata("refund_id", r.ID.String())
	params.AddMetadata("order_id", r.OrderID.String())
	params.Context = ctx
	params.SetIdempotencyKey(r.ID.String())
	made, err := c.refunds.New(params)
	if err != nil {
		_, err = sorted("refund", err)
		return sale.Repayment{}, err
	}
	return repayment(made), nil
}

// Refunds returns all refunds of an intent, newest first.
func (c *Client) Refunds(ctx context.Context, intentID string) ([]sale.Repayment, error) {
	params := &stripe.RefundListParams{PaymentIntent: stripe.String(intentID)}
	var all []sale.Repayment
	err := c.eachRefund(ctx, params, func(r sale.Repayment) bool { all = append(all, r); return true })
	return all, err
}

// EachRefund calls f for every refund, newest first, until f returns false.
func (c *Client) EachRefund(ctx context.Context, f func(sale.Repayment) bool) error {
	return c.eachRefund(ctx, &stripe.RefundListParams{}, f)
}

func (c *Client) eachRefund(ctx context.Context, params *stripe.RefundListParams, f func(sale.Repayment) bool) error {
	params.Limit = stripe.Int64(100)
	params.Context = ctx
	it := c.refunds.List(params)
	for it.Next() {
		if !f(repayment(it.Refund())) {
			return nil
		}
	}
	if err := it.Err(); err != nil {
		_, err = sorted("list refunds", err)
		return err
	}
	return nil
}

// Dispute asks how a dispute stands now.
func (c *Client) Dispute(ctx context.Context, id string) (sale.Dispute, error) {
	params := &stripe.DisputeParams{}
	params.Context = ctx
	d, err := c.disputes.Get(id, params)
	if err != nil {
		_, err = sorted("retrieve dispute", err)
		return sale.Dispute{}, err
	}
	out := sale.Dispute{ID: d.ID, State: sale.DisputeState(d.Status), Amount: d.Amount, Currency: string(d.Currency), Reason: string(d.Reason),
		OpenedAt: time.Unix(d.Created, 0).UTC()}
	if d.PaymentIntent != nil {
		out.IntentID = d.PaymentIntent.ID
	}
	return out, nil
}

func repayment(r *stripe.Refund) sale.Repayment {
	out := sale.Repayment{ID: r.ID, RefundID: r.Metadata["refund_id"], State: sale.RefundPending, Amount: r.Amount, Currency: string(r.Currency)}
	if r.PaymentIntent != nil {
		out.IntentID = r.PaymentIntent.ID
	}
	switch r.Status {
	case stripe.RefundStatusSucceeded:
		out.State = sale.RefundSucceeded
	case stripe.RefundStatusFailed, stripe.RefundStatusCanceled:
		out.State, out.Failure = sale.RefundFailed, string(r.FailureReason)
		if out.Failure == "" {
			out.Failure = string(r.Status)
		}
	}
	return out
}
