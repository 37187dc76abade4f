package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"onsale/internal/crowd"
)

type crowdCmd struct {
	Event  string        `arg:"" help:"The event to go to."`
	Fans   int           `default:"1000" help:"How many fans come."`
	Spread time.Duration `default:"10s" help:"Within how long they arrive; most of them early."`
	Limit  time.Duration `default:"10m" help:"After how long those who are left give up."`
	Seed   uint64        `default:"1" help:"Decides who does what."`
	URL    string        `env:"ONSALE_URL" help:"Where the sale is; the local system where it is not given."`
	Audit  bool          `default:"true" negatable:"" help:"Audit when the crowd has gone."`
}

func (c *crowdCmd) Run(e *env) error {
	if c.URL == "" {
		var err error
		if c.URL, err = e.setting("ONSALE_URL"); err != nil {
			return err
		}
	}
	summary, err := crowd.Run(e.ctx, crowd.Config{
		BaseURL: c.URL, EventID: c.Event, Fans: c.Fans, Spread: c.Spread, Limit: c.Limit, Seed: c.Seed,
		Out: e.out, Interactive: isTerminal(e.out), Authenticate: e.bank(),
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(e.out, summary)
	var breaches error
	if summary.Violations.Count > 0 {
		breaches = errors.New("the crowd saw promises broken")
	}
	if !c.Audit {
		return breaches
	}
	return errors.Join(breaches, (&auditCmd{Settle: 30 * time.Second}).Run(e))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// bank answers a challenge as the cardholder would, at the local double; nil where payments go to Stripe.
func (e *env) bank() func(ctx context.Context, intentID string) error {
	url, uerr := e.setting("STRIPE_API_URL")
	key, kerr := e.setting("STRIPE_SECRET_KEY")
	if uerr != nil || kerr != nil || url == "" {
		return nil
	}
	return func(ctx context.Context, intentID string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/_double/authenticate/"+intentID, strings.NewReader(`{"outcome":"success"}`))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("authenticate: %w", err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("authenticate: the double answered %s", resp.Status)
		}
		return nil
	}
}
