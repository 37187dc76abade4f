package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"onsale/internal/admin"
	"onsale/internal/plan"
	"onsale/plans"
)

type eventCmd struct {
	Create createCmd `cmd:"" help:"Put an event on sale from a seating plan, in its lobby."`
	List   listCmd   `cmd:"" help:"List the events."`
	Open   openCmd   `cmd:"" help:"Open the sale: the line begins to move."`
	Close  closeCmd  `cmd:"" help:"End the sale for good."`
}

type createCmd struct {
	ID            string        `arg:"" help:"The event's id: a-z, 0-9 and -."`
	Plan          string        `required:"" placeholder:"FILE" help:"Seating plan in pretix's JSON format: a file, or one of ours: theatre, arena, stadium."`
	Prices        string        `required:"" placeholder:"CATEGORY=MINOR,..." help:"Price of each category in minor units, like Stalls=8500,Balcony=4500."`
	Name          string        `help:"What fans read; the plan's name where it is not given."`
	Currency      string        `default:"eur" help:"ISO 4217."`
	Rate          float64       `default:"10" help:"Fans admitted a second."`
	Cap           int           `help:"The most shoppers inside at once; 0 for no such limit."`
	Beacon        string        `placeholder:"CHAIN/ROUND" help:"The public random value that the draw waits for: drand's chain hash, and a round after the opening."`
	OpensAt       time.Time     `name:"opens-at" format:"2006-01-02T15:04:05Z07:00" help:"When it opens by itself (RFC 3339); otherwise by hand."`
	MaxSeats      int           `name:"max-seats" default:"8" help:"Seats that a session can hold at once."`
	MaxPerSale    int           `name:"max-per-sale" help:"Seats that a session can get in all its orders together; 0 for no limit."`
	HoldTTL       time.Duration `name:"hold-ttl" default:"5m" help:"How long a fan has from hold to checkout."`
	PaymentWindow time.Duration `name:"payment-window" default:"3m" help:"What a checkout extends the hold to, at least."`
	Open          bool          `help:"Open it at once."`
}

// Validate refuses what the server would take for a value that is not given, and use its default for.
func (c *createCmd) Validate() error {
	var seats error
	if c.MaxSeats < 1 || c.MaxSeats > admin.MaxSeatsPerHold {
		seats = fmt.Errorf("--max-seats must be 1 to %d", admin.MaxSeatsPerHold)
	}
	return errors.Join(seats, wholeSeconds("--hold-ttl", c.HoldTTL), wholeSeconds("--payment-window", c.PaymentWindow))
}

func wholeSeconds(flag string, d time.Duration) error {
	if d < time.Second || d > admin.MaxHoldTTL || d%time.Second != 0 {
		return fmt.Errorf("%s must be 1s to %s, in whole seconds", flag, admin.MaxHoldTTL)
	}
	return nil
}

func (c *createCmd) Run(e *env) error {
	client, err := e.admin()
	if err != nil {
		return err
	}
	created, err := c.put(e.ctx, client)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s: %d seats, %s\n", c.ID, created.Seats, c.opening(time.Now()))
	fmt.Fprintf(e.out, "  commitment of the draw: %s\n  Publish it now: it binds the draw to a secret that was made before anyone joined.\n", created.Commitment)
	return nil
}

// opening says how the sale comes to be open.
func (c *createCmd) opening(now time.Time) string {
	switch {
	case c.Open:
		return "open"
	case c.OpensAt.IsZero():
		return fmt.Sprintf("in its lobby; open it with `onsale event open %s`", c.ID)
	case !c.OpensAt.After(now):
		return fmt.Sprintf("opening at once: %s, when it was to open, has passed", c.OpensAt.Format(time.RFC3339))
	}
	return fmt.Sprintf("in its lobby; it opens by itself at %s, or before with `onsale event open %s`", c.OpensAt.Format(time.RFC3339), c.ID)
}

// put checks plan and prices here, so that what is wrong is told before anything is sent, and puts the event on sale.
func (c *createCmd) put(ctx context.Context, client admin.Client) (admin.Created, error) {
	raw, err := readPlan(c.Plan)
	if err != nil {
		return admin.Created{}, err
	}
	p, err := plan.Parse(bytes.NewReader(raw))
	if err != nil {
		return admin.Created{}, fmt.Errorf("%s: %w", c.Plan, err)
	}
	prices, err := plan.ParsePrices(c.Prices)
	if err != nil {
		return admin.Created{}, fmt.Errorf("--prices: %w", err)
	}
	if _, err := p.Price(prices); err != nil {
		return admin.Created{}, fmt.Errorf("--prices: %w", err)
	}
	body := admin.CreateEvent{
		ID: c.ID, Name: c.Name, Currency: c.Currency, Rate: c.Rate, Cap: c.Cap, Beacon: c.Beacon, MaxSeatsPerHold: c.MaxSeats, MaxSeatsPerSale: c.MaxPerSale,
		HoldTTLSeconds: int(c.HoldTTL / time.Second), PaymentWindowSeconds: int(c.PaymentWindow / time.Second), Plan: json.RawMessage(raw), Prices: prices,
	}
	if !c.OpensAt.IsZero() {
		body.OpensAt = &c.OpensAt
	}
	created, err := client.Put(ctx, body)
	if err != nil || !c.Open {
		return created, err
	}
	return created, client.Move(ctx, c.ID, "open")
}

// readPlan reads a file, or one of the plans that come with the binary.
func readPlan(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	f, perr := plans.Open(name)
	if perr != nil {
		return nil, fmt.Errorf("there is no file %s, and no plan of that name: %w", name, perr)
	}
	defer f.Close()
	return io.ReadAll(f)
}

type listCmd struct{}

func (c *listCmd) Run(e *env) error {
	client, err := e.admin()
	if err != nil {
		return err
	}
	all, err := client.List(e.ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "EVENT\tSTATE\tRATE/S\tSEATS\tNAME")
	for _, x := range all {
		fmt.Fprintf(w, "%s\t%s\t%g\t%d\t%s\n", x.EventID, x.State, x.Rate, x.Seats, x.Name)
	}
	return w.Flush()
}

// one is the argument of the commands that name an event and no more.
type one struct {
	ID string `arg:"" help:"The event."`
}

type (
	openCmd  one
	closeCmd one
)

func (c *openCmd) Run(e *env) error {
	return e.move(c.ID, "open", "open: the lobby is drawn, and the line begins to move")
}
func (c *closeCmd) Run(e *env) error {
	return e.move(c.ID, "close", "closed for good; holds that live can still be paid")
}

// move moves a sale and says what came of it.
func (e *env) move(eventID, verb, said string) error {
	client, err := e.admin()
	if err != nil {
		return err
	}
	if err := client.Move(e.ctx, eventID, verb); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s: %s\n", eventID, said)
	return nil
}
