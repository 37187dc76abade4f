// Package gate is the service that other people's gateways ask whether a request may go in: forward
// authentication, as nginx's auth_request and its like do it. It answers from memory, with the api's public keys
// and the last known state of each sale, so the api is asked about once a second and not once a request. While
// the api is away it goes on with what it knows; what it never knew it refuses. cmd imports it.
package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"onsale/internal/problem"
	"onsale/internal/sale"
)

// Config says what to guard.
type Config struct {
	API        string        // the address of the sale's api
	JWKS       string        // where its public keys are; empty for /.well-known/jwks.json of the api
	Events     []string      // whose passes are accepted
	KeysEvery  time.Duration // how often the keys are fetched; a key that was taken out is accepted for so long
	StateEvery time.Duration // how often each sale's state is asked for
}

const maxEvents = 64 // each is asked for once per StateEvery

// Validate says all that is wrong with a configuration.
func (c Config) Validate() error {
	errs := []error{checkURL("api", c.API)}
	if c.JWKS != "" {
		errs = append(errs, checkURL("jwks", c.JWKS))
	}
	if len(c.Events) < 1 || len(c.Events) > maxEvents {
		errs = append(errs, fmt.Errorf("1 to %d events must be named", maxEvents))
	}
	for i, id := range c.Events {
		if err := sale.CheckEventID(id); err != nil {
			errs = append(errs, fmt.Errorf("event %q: %w", id, err))
		}
		if slices.Contains(c.Events[:i], id) {
			errs = append(errs, fmt.Errorf("event %q is named twice", id))
		}
	}
	if c.KeysEvery <= 0 || c.StateEvery <= 0 {
		errs = append(errs, errors.New("keys and states must be asked for at intervals longer than nothing"))
	}
	return errors.Join(errs...)
}

func checkURL(name, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%s must be an address like https://tickets.example.com", name)
	}
	return nil
}

// Deps are what the service needs of the world.
type Deps struct {
	Config
	Listener net.Listener
	Now      func() time.Time
	Log      *slog.Logger
}

const (
	askLimit      = 2 * time.Second // for one answer of the api
	maxAnswer     = 256 << 10
	shutdownLimit = 15 * time.Second
)

type gate struct {
	Deps
	keys  *keys
	sales map[string]*watched
}

// Run serves until ctx ends, then finishes the requests under way.
func Run(ctx context.Context, d Deps) error {
	if err := d.Validate(); err != nil {
		d.Listener.Close()
		return err
	}
	g, life := errgroup.WithContext(ctx)
	ask := asker(life)
	d.API = strings.TrimSuffix(d.API, "/")
	if d.JWKS == "" {
		d.JWKS = d.API + "/.well-known/jwks.json"
	}
	s := &gate{Deps: d, keys: &keys{fetch: func() ([]byte, error) { return ask(d.JWKS) }, now: d.Now, log: d.Log}, sales: map[string]*watched{}}
	g.Go(func() error { s.keys.follow(life, d.KeysEvery, d.StateEvery); return nil })
	for _, id := range d.Events {
		w := &watched{ask: func() ([]byte, error) { return ask(d.API + "/v1/queue/" + id) }, log: d.Log.With("event_id", id)}
		s.sales[id] = w
		g.Go(func() error { w.follow(life, d.StateEvery); return nil })
	}
	g.Go(func() error { return problem.Serve(life, s.routes(), d.Listener, limits, shutdownLimit) })
	return g.Wait()
}

// asker asks the api, within bounds.
func asker(life context.Context) func(url string) ([]byte, error) {
	client := &http.Client{
		Timeout: askLimit, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // keys come from where the operator said
	}
	context.AfterFunc(life, client.CloseIdleConnections)
	return func(url string) ([]byte, error) {
		req, err := http.NewRequestWithContext(life, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s answered %s", url, resp.Status)
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
		if err == nil && len(body) > maxAnswer {
			err = fmt.Errorf("%s answered more than %d bytes", url, maxAnswer)
		}
		return body, err
	}
}

// every calls do at once and then each time after the wait that do returned, until ctx ends or do says that it is
// done.
func every(ctx context.Context, do func() (wait time.Duration, done bool)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		wait, done := do()
		if done {
			return
		}
		timer.Reset(wait)
	}
}
