package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"onsale/internal/sale"
)

// Client calls the routes of this package from the command line.
type Client struct {
	URL   string // of the operations listener
	Token string
}

// Create puts an event on sale, in its lobby.
func (c Client) Create(ctx context.Context, e CreateEvent) error {
	return c.call(ctx, http.MethodPost, "/admin/events", e, nil)
}

// Move is open, pause, resume or close.
func (c Client) Move(ctx context.Context, eventID, verb string) error {
	return c.call(ctx, http.MethodPost, "/admin/events/"+eventID+"/"+verb, nil, nil)
}

// SetRate changes the pace, in fans a second.
func (c Client) SetRate(ctx context.Context, eventID string, rate float64) error {
	return c.call(ctx, http.MethodPut, "/admin/events/"+eventID+"/rate", map[string]float64{"rate": rate}, nil)
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
