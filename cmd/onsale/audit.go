package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"onsale/internal/audit"
	"onsale/internal/sale"
)

type auditCmd struct {
	Settle time.Duration `default:"30s" help:"For how long something may look wrong, because it is under way, before it is a breach."`
	JSON   bool          `help:"Print the report as JSON."`
}

// errBreach ends a command whose audit found something.
var errBreach = errors.New("the audit found breaches")

func (c *auditCmd) Run(e *env) error {
	report, err := e.audit(c.Settle)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(report); err != nil {
			return err
		}
	} else {
		printReport(e.out, report)
	}
	if !report.Clean() {
		return errBreach
	}
	return nil
}

func printReport(w io.Writer, r audit.Report) {
	fmt.Fprintf(w, "Audit: %d joins, %d checkouts, %d orders (%d confirmed), %d seats sold, %d payments captured, %d canceled",
		r.Joins, r.Commands, r.Orders, r.Confirmed, r.Sold, r.Captured, r.Canceled)
	var currencies []string
	for c := range r.Revenue {
		currencies = append(currencies, c)
	}
	slices.Sort(currencies)
	for _, c := range currencies {
		fmt.Fprintf(w, ", %s taken", sale.Money(r.Revenue[c], c))
		if r.Returned[c] > 0 {
			fmt.Fprintf(w, " and %s of that given back", sale.Money(r.Returned[c], c))
		}
	}
	if r.Refunded+r.Disputed+r.ChargedBack > 0 {
		fmt.Fprintf(w, "; %d payments refunded, %d disputed, %d charged back", r.Refunded, r.Disputed, r.ChargedBack)
	}
	fmt.Fprintln(w)
	if r.Clean() {
		fmt.Fprintln(w, "  every guarantee that is checked holds")
		return
	}
	for _, f := range r.Findings {
		fmt.Fprintln(w, "  BREACH of", f)
	}
}
