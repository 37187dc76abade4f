package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"onsale/events"
	"onsale/internal/beacon"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/record"
	"onsale/internal/sale"
)

type verifyCmd struct {
	Event     string        `arg:"" placeholder:"EVENT_URL" help:"https://host/v1/queue/hamlet, or hamlet alone for the local system."`
	Ticket    string        `env:"ONSALE_TICKET" help:"A ticket: say where it stands by the records, and check its receipt."`
	Session   string        `env:"ONSALE_SESSION" help:"The session that joined with the ticket: check that the place is its own. It is not sent."`
	BeaconURL []string      `name:"beacon-url" env:"BEACON_URL" help:"Relays of drand, to check the draw's public random value against its chain."`
	Patience  time.Duration `default:"10s" help:"How long to wait for records that others name and that are not shown yet."`
}

// stopped ends a check that could not be made, which says nothing of the records. The exit code is 2.
type stopped struct{ error }

func (s stopped) Unwrap() error { return s.error }
func (s stopped) Error() string { return visible(s.error.Error()) }

// errAltered ends a check that found something.
var errAltered = errors.New("the public records are not what they should be")

func (c *verifyCmd) Run(e *env) error {
	v, err := c.begin(e)
	if err != nil {
		return stopped{err}
	}
	for _, read := range []func(context.Context) error{v.readLog, v.readLine} {
		if err := read(e.ctx); err != nil {
			return stopped{fmt.Errorf("verify %s: %w", v.eventID, err)}
		}
	}
	missed := errors.Join(v.checkBeacon(e.ctx), v.checkTicket(e.ctx))
	v.report()
	switch {
	case len(v.breaches) > 0 && missed != nil:
		return fmt.Errorf("%w, and not all could be checked: %s", errAltered, visible(missed.Error()))
	case len(v.breaches) > 0:
		return errAltered
	case missed != nil:
		return stopped{fmt.Errorf("verify %s: %w", v.eventID, missed)}
	}
	return nil
}

// begin reads what was asked for, before anything is fetched.
func (c *verifyCmd) begin(e *env) (*verification, error) {
	text := c.Event
	if sale.CheckEventID(text) == nil {
		base, err := e.setting("ONSALE_URL")
		if err != nil {
			return nil, err
		}
		text = strings.TrimSuffix(base, "/") + "/v1/queue/" + text
	}
	queue, eventID, err := parseEventURL(text)
	if err != nil {
		return nil, err
	}
	v := &verification{
		eventID: eventID, out: e.out, pages: pages{queue: queue, http: &http.Client{Timeout: pageTimeout}, patience: c.Patience},
		relays: c.BeaconURL, session: c.Session, ticketText: c.Ticket,
	}
	if c.Ticket != "" {
		t, err := line.ReadTicket(c.Ticket)
		if err != nil {
			return nil, fmt.Errorf("--ticket: %w", err)
		}
		v.ticket = &t
	}
	if c.Session != "" && v.ticket == nil {
		return nil, errors.New("--session says whose the --ticket is, and none is given")
	}
	return v, nil
}

var eventPath = regexp.MustCompile(`^(.*)/v1/(?:queue|events)/([^/]+)/?$`)

// parseEventURL reads the address of an event or of its line, and returns the line's, and the event's id.
func parseEventURL(text string) (*url.URL, string, error) {
	bad := fmt.Errorf("%q is neither an event's id nor an address like https://host/v1/queue/hamlet", text)
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, "", bad
	}
	m := eventPath.FindStringSubmatch(u.Path)
	if m == nil || sale.CheckEventID(m[2]) != nil {
		return nil, "", bad
	}
	return &url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host, Path: m[1] + "/v1/queue/" + m[2]}, m[2], nil
}

// verification is one check: what was read so far, and what was found.
type verification struct {
	eventID    string
	out        io.Writer
	pages      pages
	checker    *record.Checker
	summary    record.Summary
	breaches   []record.Breach
	relays     []string
	beaconSaid string

	page        record.Draw
	first, last events.Admission
	written     []byte            // last, as it was written
	drawn       *events.Admission // the record with the draw
	seal        events.Sealed

	ticket     *line.Ticket
	ticketText string
	ticketSaid string
	session    string
	own        events.Chunk // the ticket's
}

func (v *verification) breach(record_, what string, args ...any) {
	v.breaches = append(v.breaches, record.Breach{Record: record_, What: fmt.Sprintf(what, args...)})
}

// readLog reads the page of the draw and then the log. The first record may be written between the two: a page that
// names none, where the log has some, is read again.
func (v *verification) readLog(ctx context.Context) error {
	for {
		v.checker, v.page, v.first, v.last, v.written, v.drawn = record.NewChecker(v.eventID), record.Draw{}, events.Admission{}, events.Admission{}, nil, nil
		v.checker.Now = time.Now
		if err := v.readDraw(ctx); err != nil {
			return err
		}
		if err := v.readAdmissions(ctx); err != nil {
			return err
		}
		if v.page.Head != nil || v.page.EventID == "" || v.last.N == 0 {
			return nil
		}
		if !v.pages.wait(ctx) {
			return fmt.Errorf("the page of the draw names no record, and the log has %d: it lags behind; try again later", v.last.N)
		}
	}
}

func (v *verification) readDraw(ctx context.Context) error {
	raw, _, err := v.pages.get(ctx, v.pages.queue.JoinPath("draw"), "")
	if err != nil {
		return err
	}
	v.checker.Page(raw)
	_ = json.Unmarshal(raw, &v.page) // the checker says what is wrong with it
	return nil
}

func (v *verification) readAdmissions(ctx context.Context) error {
	// The page of the draw was read first: a log that is whole reaches the record which that page names.
	enough := func() bool { return v.page.Head == nil || v.last.N >= v.page.Head.N }
	err := v.pages.lines(ctx, "admissions", enough, func(raw []byte) {
		v.checker.Admission(raw)
		var a events.Admission
		if _ = json.Unmarshal(raw, &a); a.N == 0 {
			return // the checker says what is wrong with it
		}
		if v.first.N == 0 {
			v.first = a
		}
		if a.Drawn != nil && a.Draw != nil && v.drawn == nil {
			v.drawn = &a
		}
		v.last, v.written = a, raw
	}, v.progress("admission records"))
	return err
}

func (v *verification) readLine(ctx context.Context) error {
	var n, last, covered uint64
	if v.last.Line != nil {
		covered = v.last.Line.Read
	}
	err := v.pages.lines(ctx, "chunks", func() bool { return max(n, last) >= covered }, func(raw []byte) {
		n++
		v.checker.Line(raw)
		var at struct{ Sequence uint64 }
		if json.Unmarshal(raw, &at) == nil {
			last = at.Sequence // where one is left out, the end is reached all the same
		}
		own, seal := v.ticket != nil && n == v.ticket.Sequence, v.drawn != nil && n == v.drawn.Draw.Sealed
		var m record.Message
		if !own && !seal || json.Unmarshal(raw, &m) != nil {
			return
		}
		if own {
			v.own, _ = events.DecodeChunk(m.Chunk) // without joins where it can't be read
		}
		if seal {
			_ = json.Unmarshal(m.Sealed, &v.seal)
		}
	}, v.progress("messages of the line"))
	if err == nil {
		v.summary = v.checker.Finish()
		v.breaches = append(v.summary.Breaches, v.breaches...)
	}
	return err
}

// progress shows on a terminal how much of something was read; 0 ends it.
func (v *verification) progress(what string) func(n uint64) {
	if !isTerminal(v.out) {
		return func(uint64) {}
	}
	return func(n uint64) {
		fmt.Fprint(v.out, "\r\x1b[2K")
		if n > 0 {
			fmt.Fprintf(v.out, "%d %s", n, what)
		}
	}
}

const beaconTimeout = 10 * time.Second

// checkBeacon holds the draw's public random value against its chain, where relays are given.
func (v *verification) checkBeacon(ctx context.Context) error {
	if v.first.Beacon == "" {
		return nil
	}
	ref, err := draw.ParseBeaconRef(v.first.Beacon)
	if err != nil {
		v.breach("admission 1", "%v", err)
		return nil
	}
	if v.drawn == nil {
		v.beaconSaid = fmt.Sprintf("the draw waits for round %d of chain %x", ref.Round, ref.Chain)
		return nil
	}
	value := v.drawn.Drawn.Beacon
	if len(v.relays) == 0 {
		v.beaconSaid = fmt.Sprintf("the value %s was taken from the record and not checked. It must be the\n              randomness at https://api.drand.sh/%x/public/%d",
			visible(value), ref.Chain, ref.Round)
		return errors.New("the draw's beacon could not be checked: give --beacon-url, such as https://api.drand.sh, to hold its value against the chain's signature")
	}
	return v.askChain(ctx, ref, value)
}

// askChain holds the value that the draw used against the one that the chain signed.
func (v *verification) askChain(ctx context.Context, ref draw.BeaconRef, value string) error {
	client, err := beacon.NewClient(beacon.Config{Relays: v.relays, Chain: ref.Chain, Timeout: beaconTimeout}, nil)
	if err != nil {
		return err
	}
	chain, err := client.Chain(ctx)
	if err != nil {
		return err
	}
	signed, err := client.Round(ctx, ref.Round)
	if err != nil {
		return err
	}
	if want := hex.EncodeToString(signed.Randomness[:]); value != want {
		v.breach("draw", "its beacon's value is %s, and the chain signed %s for round %d", value, want, ref.Round)
	}
	published := chain.At(ref.Round)
	if published.Before(v.first.At) {
		v.breach("draw", "its beacon was published at %s, before the event was created: it was no secret to anyone", published.Format(time.RFC3339))
	}
	v.beaconSaid = fmt.Sprintf("round %d, published at %s; the value was held against the one that the chain signed", ref.Round, published.Format(time.RFC3339))
	if published.Before(v.seal.At) {
		v.beaconSaid += fmt.Sprintf("\n              It was known before the seal, at %s: whoever also knew the secret could tell what one more join would change", v.seal.At.Format(time.RFC3339))
	}
	return nil
}

// receiptPage is the answer of /proof.
type receiptPage struct {
	Receipt draw.Receipt `json:"receipt"`
	Root    draw.Hash    `json:"root"`
	Arrival uint64       `json:"arrival"`
	Place   uint64       `json:"place"`
}

// checkTicket finds the ticket in the records and checks its receipt.
func (v *verification) checkTicket(ctx context.Context) error {
	t := v.ticket
	if t == nil {
		return nil
	}
	// The hash is of the event too: a session that has it proves that the ticket is of this event.
	ours := v.session != "" && sale.HashSession(v.eventID, v.session) == t.Session
	place, known := v.checker.Place(*t)
	if !known {
		return v.misplaced(ours, "it is of message %d of the line, which ends at %d", t.Sequence, v.summary.Messages)
	}
	if uint64(t.Index) >= uint64(len(v.own.Sessions)) || v.own.Sessions[t.Index] != t.Session {
		return v.misplaced(ours, "the join that it names, %d of message %d of the line, is not its session's", t.Index, t.Sequence)
	}
	if v.session != "" && !ours {
		return fmt.Errorf("--session is not the session that joined %s with this --ticket: give that one", v.eventID)
	}
	v.ticketSaid = v.stands(place)
	before := len(v.breaches)
	if !place.Drawn || t.Sequence > v.drawn.Draw.Sealed {
		return nil // there is no receipt
	}
	raw, _, err := v.pages.get(ctx, v.pages.queue.JoinPath("proof"), v.ticketText)
	if refused := (answered{}); errors.As(err, &refused) && refused.status/100 == 4 {
		v.breach("ticket", "the sale refuses its receipt: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	var page receiptPage
	if err := json.Unmarshal(raw, &page); err != nil {
		v.breach("ticket", "its receipt can't be read: %v", err)
		return nil
	}
	if v.checkReceipt(page, place); len(v.breaches) == before {
		v.ticketSaid += " The receipt leads to the root in the log."
	}
	return nil
}

// misplaced is for a ticket whose join is not in the records: that breaks a promise if the ticket is ours, of this
// event, and is most likely the mistake of whoever gave it if nobody knows.
func (v *verification) misplaced(ours bool, what string, args ...any) error {
	if ours {
		v.breach("ticket", what, args...)
		return nil
	}
	return fmt.Errorf("the --ticket may be of another event than %s: %s; "+
		"if it is of this one, the records lack its join, and the --session that joined with it shows that", v.eventID, fmt.Sprintf(what, args...))
}

// checkReceipt holds a receipt against the records: each of its claims can be made without it.
func (v *verification) checkReceipt(page receiptPage, place line.Place) {
	t, r := *v.ticket, page.Receipt
	root, err := draw.ParseHash(v.drawn.Drawn.Root)
	if err == nil {
		err = r.Verify(root, t.Session)
	}
	if err != nil {
		v.breach("ticket", "its receipt proves nothing: %v", err)
	}
	if r.EventID != v.eventID || r.Sequence != t.Sequence || r.Index != t.Index || r.TreeSize != v.drawn.Drawn.Chunks || page.Root != root {
		v.breach("ticket", "its receipt is of join %d of message %d of %q, under root %s of %d chunks", r.Index, r.Sequence, r.EventID, page.Root, r.TreeSize)
	}
	if r.Lane != place.Lane || r.Arrival() != place.Arrival || page.Arrival != place.Arrival {
		v.breach("ticket", "its receipt says arrival number %d, the line says %d", r.Arrival(), place.Arrival)
	}
	if page.Place != place.Number {
		v.breach("ticket", "its receipt says place %d, the draw gave %d", page.Place, place.Number)
	}
}

// stands says in words where a ticket's place is.
func (v *verification) stands(p line.Place) string {
	lane, joined, called := "", v.summary.Joined[p.Lane], uint64(0)
	if p.Lane != "" {
		lane = " lane " + p.Lane
	}
	for _, l := range line.Lanes(v.last) {
		if l.Name == p.Lane {
			called = l.Serving
		}
	}
	if !p.Drawn {
		return fmt.Sprintf("%d joined%s so far; your arrival number is %d, counted from 0. The lobby is not drawn: it says nothing of your place.", joined, lane, p.Arrival)
	}
	turn := "Your turn is still to come."
	if p.Number < called {
		turn = "Your turn has come."
	}
	lobby := v.drawn.Drawn.Lobby[p.Lane]
	if p.Arrival >= lobby {
		return fmt.Sprintf("%d joined%s before the seal, and you after it: your place is your arrival number, %d, counted from 0; %d places have been called. %s",
			lobby, lane, p.Arrival, called, turn)
	}
	return fmt.Sprintf("%d joined%s before the seal; your arrival number was %d, the draw gave you place %d, both counted from 0; %d places have been called. %s",
		lobby, lane, p.Arrival, p.Number, called, turn)
}
