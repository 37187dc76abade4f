package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"onsale/events"
	"onsale/internal/sale"
)

// Client calls the routes of this package from the command line.
type Client struct {
	URL   string // of the operations listener
	Token string
}

// Created is what is said of an event that was put on sale.
type Created struct {
	EventID    string     `json:"event_id"`
	State      sale.State `json:"state"`
	Seats      int        `json:"seats"`
	Commitment string     `json:"commitment"` // hex; of the draw's secret, to be published before anyone joins
}

// Put puts an event on sale, in its lobby.
func (c Client) Put(ctx context.Context, e CreateEvent) (Created, error) {
	var created Created
	err := c.call(ctx, http.MethodPost, "/admin/events", e, &created)
	return created, err
}

// Create is Put for who needs no answer.
func (c Client) Create(ctx context.Context, e CreateEvent) error {
	_, err := c.Put(ctx, e)
	return err
}

// Move is open, pause, resume or close.
func (c Client) Move(ctx context.Context, eventID, verb string) error {
	return c.call(ctx, http.MethodPost, "/admin/events/"+eventID+"/"+verb, nil, nil)
}

// SetRate changes the pace, in fans a second.
func (c Client) SetRate(ctx context.Context, eventID string, rate float64) error {
	return c.call(ctx, http.MethodPut, "/admin/events/"+eventID+"/rate", map[string]float64{"rate": rate}, nil)
}

// SetPaceByPayments says whether the line is slowed down while payments take long.
func (c Client) SetPaceByPayments(ctx context.Context, eventID string, on bool) error {
	return c.call(ctx, http.MethodPut, "/admin/events/"+eventID+"/payments", map[string]any{"pace": on}, nil)
}

// SetCap changes how many shoppers may be inside at once; 0 lifts the limit.
func (c Client) SetCap(ctx context.Context, eventID string, shoppers int) error {
	return c.call(ctx, http.MethodPut, "/admin/events/"+eventID+"/cap", map[string]int{"cap": shoppers}, nil)
}

// SetLane makes a priority lane, or changes its share of the release.
func (c Client) SetLane(ctx context.Context, eventID, lane string, share float64) error {
	return c.call(ctx, http.MethodPut, "/admin/events/"+eventID+"/lanes/"+lane, map[string]float64{"share": share}, nil)
}

// Codes gives out access codes for a lane.
func (c Client) Codes(ctx context.Context, eventID, lane string, count, uses int, note string) ([]string, error) {
	var answer struct {
		Codes []string `json:"codes"`
	}
	err := c.call(ctx, http.MethodPost, "/admin/events/"+eventID+"/lanes/"+lane+"/codes", map[string]any{"count": count, "uses": uses, "note": note}, &answer)
	return answer.Codes, err
}

// Line returns the last record of an event's admission log.
func (c Client) Line(ctx context.Context, eventID string) (events.Admission, error) {
	var a events.Admission
	err := c.call(ctx, http.MethodGet, "/admin/events/"+eventID+"/line", nil, &a)
	return a, err
}

// Listed is an event as an operator sees it.
type Listed struct {
	EventID  string     `json:"event_id"`
	Name     string     `json:"name"`
	State    sale.State `json:"state"`
	Rate     float64    `json:"rate"`
	Seats    int        `json:"seats"`
	Currency string     `json:"currency"`
}

// List returns all events, newest first.
func (c Client) List(ctx context.Context) ([]Listed, error) {
	var answer struct {
		Events []Listed `json:"events"`
	}
	err := c.call(ctx, http.MethodGet, "/admin/events", nil, &answer)
	return answer.Events, err
}

func (c Client) call(ctx context.Context, method, path string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("reach the operations listener: %w", err)
	}
	defer resp.Body.Close()
	b, err = io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode >= 300 {
		var p struct {
			Code, Detail string
		}
		if json.Unmarshal(b, &p) != nil || p.Code == "" {
			return fmt.Errorf("the operations listener answered %s", resp.Status)
		}
		return sale.Errorf(sale.Invalid, p.Code, "%s", p.Detail)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(b, answer)
}
