package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"onsale/internal/problem"
	"onsale/internal/redis"
	"onsale/internal/sale"
)

// The bars of the seat map.
const (
	maxMapKB    = 400 // of the stadium, on the wire
	maxChangeMS = 250 // until a change is seen on another node
)

// mapFans is how many fans ask for the map, and mapHolds how many of them hold a seat of it while another node is
// watched.
const (
	mapFans  = 2000
	mapHolds = 300
)

func benchSeatMap(ctx context.Context, r *runner) (_ []Result, err error) {
	s, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	sh, err := s.shop(ctx, "map", "stadium", mapFans)
	if err != nil {
		return nil, err
	}
	results, err := r.mapSizes(ctx, s)
	if err != nil {
		return nil, err
	}
	unchanged, err := r.mapUnchanged(ctx, s, sh)
	if err != nil {
		return nil, err
	}
	changes, err := r.mapChanges(ctx, s, sh)
	return append(append(unchanged, results...), changes...), err
}

// fetchMap asks for a map as a client that takes an encoding does.
func (sh *shop) fetchMap(ctx context.Context, address, path, encoding string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/events/"+sh.event+"/seats"+path, nil)
	if err != nil {
		return nil, err
	}
	_, value, _ := strings.Cut(strings.TrimSpace(sh.passes.header(0)), ": ")
	req.Header.Set(fiber.HeaderAuthorization, value)
	req.Header.Set("Onsale-Session", string(shopSession(nil, 0)))
	req.Header.Set(fiber.HeaderAcceptEncoding, encoding)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("the seats were answered %s", res.Status), res.Body.Close())
	}
	return res, nil
}

// scatter makes a third of a shop's seats held and a third sold, at random: so a map is longest.
func (s *system) scatter(ctx context.Context, sh *shop) error {
	c, err := redis.Open(s.RedisURL)
	if err != nil {
		return err
	}
	defer c.Close()
	seats := slices.Clone(sh.seats)
	random := rand.New(rand.NewPCG(1, 2)) // the same each time, since sizes are compared
	random.Shuffle(len(seats), func(i, j int) { seats[i], seats[j] = seats[j], seats[i] })
	third := len(seats) / 3
	for some := range slices.Chunk(seats[:third], 500) {
		if err := c.MarkSold(ctx, sh.event, sale.HashSession(sh.event, some[0]), uuid.New(), uuid.New(), some); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(seats[third:2*third], 500) {
		if _, err := c.Take(ctx, sh.event, sale.HashSession(sh.event, some[0]), some, time.Hour); err != nil {
			return err
		}
	}
	return nil
}

// mapSizes are the sizes of a whole map as it is sent when it is longest.
func (r *runner) mapSizes(ctx context.Context, s *system) ([]Result, error) {
	sh, err := s.shop(ctx, "half-sold", "stadium", 1)
	if err != nil {
		return nil, err
	}
	if err := s.scatter(ctx, sh); err != nil {
		return nil, err
	}
	var out []Result
	for _, encoding := range []string{"br", "gzip"} {
		res, err := sh.fetchMap(ctx, s.address, "", encoding)
		if err != nil {
			return nil, err
		}
		n, err := io.Copy(io.Discard, res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			return nil, err
		}
		kb := float64(n) / 1000
		r.tell("  %d seats are %.0f KB as %s", len(sh.seats), kb, encoding)
		out = append(out, Result{Bench: "seatmap-" + encoding, Value: kb, Unit: "KB", Baseline: maxMapKB, Ratio: kb / maxMapKB, Samples: []float64{kb}, Against: atMost})
	}
	return out, nil
}

// mapUnchanged is the rate at which clients that have the map are told so.
func (r *runner) mapUnchanged(ctx context.Context, s *system, sh *shop) ([]Result, error) {
	res, err := sh.fetchMap(ctx, s.address, "", "br")
	if err != nil {
		return nil, err
	}
	if err := res.Body.Close(); err != nil {
		return nil, err
	}
	headers := make([]string, sh.fans())
	for i := range headers {
		headers[i] = sh.passes.header(uint64(i)) + "Onsale-Session: " + string(shopSession(nil, uint64(i))) +
			"\r\nAccept-Encoding: br\r\nIf-None-Match: " + res.Header.Get(fiber.HeaderETag) + "\r\n"
	}
	asks := func(address string) load {
		return load{address: address, status: http.StatusNotModified, request: func(buf []byte, i uint64) []byte {
			return appendGet(buf, "/v1/events/"+sh.event+"/seats", headers[i%uint64(len(headers))])
		}}
	}
	// Each fan has asked before, as one who has the map has: the node knows the pass.
	if _, err := each(ctx, r.Connections, sh.fans(), asks(s.address)); err != nil {
		return nil, err
	}
	bareAddress, stop, err := bareUnchanged(res.Header)
	if err != nil {
		return nil, err
	}
	results, err := r.compare(ctx, []versus{{"seatmap-304", "req/s", "bare Fiber, same headers"}}, func(ctx context.Context) (float64, []float64, error) {
		rates, err := r.inTurn(ctx, asks(s.address), asks(bareAddress))
		if err != nil {
			return 0, nil, err
		}
		return rates[0], rates[1:], nil
	})
	return results, errors.Join(err, stop())
}

// bareUnchanged is a Fiber handler that answers 304 with the headers of a seat map.
func bareUnchanged(h http.Header) (address string, stop func() error, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	names := []string{fiber.HeaderETag, fiber.HeaderVary, fiber.HeaderCacheControl}
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.All("/*", func(c *fiber.Ctx) error {
		for _, name := range names {
			c.Set(name, h.Get(name))
		}
		c.Status(fiber.StatusNotModified)
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- problem.Serve(ctx, app, ln, problem.Limits{}, 5*time.Second) }()
	return ln.Addr().String(), func() error {
		cancel()
		return <-served
	}, nil
}

// mapChanges is how long it takes until a hold on one node is in a stream of another. Each hold follows upon the sight
// of the one before, when the node has just told of a change and waits longest until it tells of the next.
func (r *runner) mapChanges(ctx context.Context, s *system, sh *shop) ([]Result, error) {
	var took []float64
	err := s.beside(ctx, r, s.Local.API, sh.event, func(address string) error {
		res, err := sh.fetchMap(ctx, address, "/stream", "identity")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		if !lines.Scan() { // the version that it begins with
			return fmt.Errorf("the stream ended: %w", errors.Join(lines.Err(), io.ErrUnexpectedEOF))
		}
		c, err := dial(s.address, time.Now().Add(time.Minute))
		if err != nil {
			return err
		}
		defer c.Close()
		for i := range uint64(mapHolds) {
			seat := sh.seats[i]
			began := time.Now()
			if _, err := c.call(sh.request(nil, i, seat), http.StatusCreated); err != nil {
				return err
			}
			for said := `{"id":"` + seat + `","status":"held"}`; !strings.Contains(lines.Text(), said); {
				if !lines.Scan() {
					return fmt.Errorf("the stream ended: %w", errors.Join(lines.Err(), io.ErrUnexpectedEOF))
				}
			}
			took = append(took, float64(time.Since(began).Microseconds())/1000)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	r.tell("  a hold is seen on another node after %.0f ms, half of them within %.0f ms, all within %.0f ms", p99, median(took), took[len(took)-1])
	return []Result{{Bench: "seatmap-change-p99", Value: p99, Unit: "ms", Baseline: maxChangeMS, Ratio: p99 / maxChangeMS, Samples: took, Against: atMost}}, nil
}
