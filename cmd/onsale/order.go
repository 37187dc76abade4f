package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"onsale/internal/admin"
	"onsale/internal/sale"
)

type orderCmd struct {
	List   orderListCmd   `cmd:"" help:"List orders, newest first."`
	Show   orderShowCmd   `cmd:"" help:"Show an order and all that became of its money."`
	Refund orderRefundCmd `cmd:"" help:"Pay the whole of an order back."`
}

type orderListCmd struct {
	Event  string `help:"Only of this event."`
	Status string `help:"Only those that are processing, authentication_required, payment_failed, confirmed, rejected, voided or refunded."`
	Limit  int    `default:"50" help:"At most so many, up to 1000."`
	JSON   bool   `help:"Print them as JSON."`
}

// Validate refuses a limit of 0, which the client would leave out.
func (c *orderListCmd) Validate() error {
	if c.Limit < 1 || c.Limit > admin.MaxOrders {
		return fmt.Errorf("--limit must be 1 to %d", admin.MaxOrders)
	}
	return nil
}

func (c *orderListCmd) Run(e *env) error {
	client, err := e.admin()
	if err != nil {
		return err
	}
	all, err := client.Orders(e.ctx, c.Event, c.Status, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.out, all)
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ORDER\tEVENT\tSTATUS\tAMOUNT\tSEATS\tCREATED")
	for _, o := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", o.ID, o.EventID, o.Status, sale.Money(o.Amount, o.Currency), strings.Join(o.Seats, " "), o.CreatedAt.UTC().Format(time.RFC3339))
	}
	return w.Flush()
}

type orderShowCmd struct {
	Order uuid.UUID `arg:"" help:"The order's id."`
	JSON  bool      `help:"Print it as JSON."`
}

func (c *orderShowCmd) Run(e *env) error {
	client, err := e.admin()
	if err != nil {
		return err
	}
	o, err := client.Order(e.ctx, c.Order)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.out, o)
	}
	return printOrder(e.out, o)
}

// printOrder writes an order and, a line each, what became of its money.
func printOrder(out io.Writer, o admin.Order) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "order %s of %s: %s%s\n", o.ID, o.EventID, o.Status, because(o.Reason))
	fmt.Fprintf(w, "  seats\t%s\n  amount\t%s\n  created\t%s\n  changed\t%s\n", strings.Join(o.Seats, " "), sale.Money(o.Amount, o.Currency), stamp(o.CreatedAt), stamp(o.UpdatedAt))
	for _, a := range o.Attempts {
		fmt.Fprintf(w, "  attempt\t%s\t%s\t%s\tbegun %s, changed %s\n", a.ID, a.State, a.IntentID, stamp(a.CreatedAt), stamp(a.UpdatedAt))
	}
	for _, r := range o.Refunds {
		seats := "frees the seats"
		if r.KeepSeats {
			seats = "keeps the seats"
		}
		fmt.Fprintf(w, "  refund\t%s\t%s%s\t%s\tasked %s, changed %s; %s: %s\n", r.ID, r.State, because(r.Failure), r.StripeID, stamp(r.CreatedAt), stamp(r.UpdatedAt), seats, r.Reason)
	}
	for _, d := range o.Disputes {
		fmt.Fprintf(w, "  dispute\t%s\t%s\t%s\topened %s, changed %s: %s\n", d.ID, d.State, sale.Money(d.Amount, d.Currency), stamp(d.OpenedAt), stamp(d.UpdatedAt), d.Reason)
	}
	return w.Flush()
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

type orderRefundCmd struct {
	Order     uuid.UUID `arg:"" help:"The order's id."`
	Reason    string    `required:"" help:"Why, for whoever looks at it later. The buyer is not told."`
	KeepSeats bool      `help:"Leave the seats sold; otherwise they go back on sale."`
	JSON      bool      `help:"Print the refund as JSON."`
}

func (c *orderRefundCmd) Run(e *env) error {
	client, err := e.admin()
	if err != nil {
		return err
	}
	r, err := client.Refund(e.ctx, c.Order, c.Reason, c.KeepSeats)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.out, r)
	}
	fmt.Fprintf(e.out, "refund %s of %s is %s; `onsale order show %s` tells what becomes of it\n", r.ID, sale.Money(r.Amount, r.Currency), r.State, r.OrderID)
	return nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
