package beacon

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"onsale/internal/draw"
	"onsale/internal/sale"
)

const (
	maxRelays = 8
	maxBody   = 16 << 10 // bytes; an answer of drand has a few hundred
)

// Config of a Client.
type Config struct {
	Relays  []string      // base URLs such as https://api.drand.sh, asked in this order; 1 to 8
	Chain   [32]byte      // the chain's hash
	Timeout time.Duration // of one request, over 0 and up to a minute
}

// Validate names everything that is wrong.
func (c Config) Validate() error {
	var problems []error
	if len(c.Relays) == 0 || len(c.Relays) > maxRelays {
		problems = append(problems, fmt.Errorf("%d relays of the beacon, want 1 to %d", len(c.Relays), maxRelays))
	}
	for _, relay := range c.Relays {
		u, err := url.Parse(relay)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			problems = append(problems, fmt.Errorf("relay of the beacon is %q, want an http or https URL", relay))
		}
	}
	if c.Timeout <= 0 || c.Timeout > time.Minute {
		problems = append(problems, fmt.Errorf("timeout of the beacon is %v, want up to a minute", c.Timeout))
	}
	return errors.Join(problems...)
}

// Client reads the rounds of one chain from relays over HTTP. It believes the chain's key alone, so a relay can hold
// a value back but not change it, and http is as good as https. Goroutines may share it.
type Client struct {
	cfg   Config
	http  *http.Client
	chain atomic.Pointer[Chain] // once a relay told it
}

// NewClient makes a client; it asks nothing yet. A transport that is nil is net/http's default.
func NewClient(cfg Config, transport http.RoundTripper) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, http: &http.Client{
		Transport: transport,
		// A relay answers itself. Following it elsewhere would let it choose what this host talks to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Chain is the chain's key and clock, read once.
func (c *Client) Chain(ctx context.Context) (Chain, error) {
	if known := c.chain.Load(); known != nil {
		return *known, nil
	}
	return first(c, ctx, c.chainFrom)
}

func (c *Client) chainFrom(ctx context.Context, relay string) (Chain, error) {
	if known := c.chain.Load(); known != nil {
		return *known, nil
	}
	body, err := c.get(ctx, relay, "info")
	if err != nil {
		return Chain{}, err
	}
	chain, err := ParseChain(c.cfg.Chain, body)
	if err != nil {
		return Chain{}, err
	}
	c.chain.Store(&chain)
	return chain, nil
}

// Round is the value of a round, from 1, verified. Before it is published the error is ErrNotPublished, and it is right to
// ask again; other errors say that it could not be had or could not be trusted.
func (c *Client) Round(ctx context.Context, round uint64) (Value, error) {
	if round == 0 || round > draw.MaxBeaconRound {
		return Value{}, sale.Errorf(sale.Invalid, "bad_beacon", "there is no round %d", round)
	}
	return first(c, ctx, func(ctx context.Context, relay string) (Value, error) { return c.roundFrom(ctx, relay, round) })
}

func (c *Client) roundFrom(ctx context.Context, relay string, round uint64) (Value, error) {
	chain, err := c.chainFrom(ctx, relay)
	if err != nil {
		return Value{}, err
	}
	body, err := c.get(ctx, relay, fmt.Sprintf("public/%d", round))
	if err != nil {
		return Value{}, err
	}
	var answer struct {
		Round      uint64 `json:"round"`
		Randomness string `json:"randomness"`
		Signature  string `json:"signature"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return Value{}, ErrUntrusted.Because(err)
	}
	if answer.Round != round {
		return Value{}, ErrUntrusted.With("value", fmt.Sprintf("round %d was asked for, not %d", round, answer.Round))
	}
	v := Value{Round: round}
	randomness, badRandomness := hex.DecodeString(answer.Randomness)
	signature, badSignature := hex.DecodeString(answer.Signature)
	if badRandomness != nil || badSignature != nil || len(randomness) != len(v.Randomness) {
		return Value{}, ErrUntrusted.With("value", "malformed")
	}
	v.Randomness, v.Signature = [32]byte(randomness), signature
	return v, chain.Verify(v)
}

// first asks the relays in turn. When none has the answer, that one of them says it is not published counts most:
// it is the one reason that passes by itself. Then a value that can't be trusted, since an operator must know of it.
func first[T any](c *Client, ctx context.Context, ask func(context.Context, string) (T, error)) (T, error) {
	var none T
	var failed []error
	for _, relay := range c.cfg.Relays {
		limited, cancel := context.WithTimeout(ctx, 2*c.cfg.Timeout) // for the two requests that an answer takes at most
		answer, err := ask(limited, relay)
		cancel()
		if err == nil {
			return answer, nil
		}
		if ctx.Err() != nil {
			return none, ErrUnavailable.Because(ctx.Err())
		}
		failed = append(failed, fmt.Errorf("relay %s: %w", relay, err))
	}
	why := errors.Join(failed...)
	for _, kind := range []*sale.Error{ErrNotPublished, ErrUntrusted, ErrScheme} {
		if errors.Is(why, kind) {
			return none, kind.Because(why)
		}
	}
	return none, ErrUnavailable.Because(why)
}

// get reads one resource of the chain.
func (c *Client) get(ctx context.Context, relay, resource string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	address := strings.TrimSuffix(relay, "/") + "/" + hex.EncodeToString(c.cfg.Chain[:]) + "/" + resource
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, ErrUnavailable.Because(err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, ErrUnavailable.Because(err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusTooEarly: // what drand's servers say of a round that lies ahead
		if strings.HasPrefix(resource, "public/") {
			return nil, ErrNotPublished
		}
		fallthrough
	default:
		return nil, ErrUnavailable.Because(fmt.Errorf("answer %d", res.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return nil, ErrUnavailable.Because(err)
	}
	if len(body) > maxBody {
		return nil, ErrUnavailable.Because(fmt.Errorf("an answer of over %d bytes", maxBody))
	}
	return body, nil
}
