package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"onsale/internal/app"
	"onsale/internal/stack"
)

// node is a service in a process of its own, so that what it needs can be told from what the bench needs.
type node struct {
	*stack.Process
	name    string
	address string // where fans are served; "" for an admitter
	ops     string // URL of its operations listener
}

// startNode starts a service as `onsale node` does; listen and ops are addresses.
func (s *system) startNode(dir, service, name, listen, ops string) (*node, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	p, err := stack.StartProgram(dir, stack.Program{Name: name, Path: path, Args: []string{"node", service}, Env: []string{
		"NATS_URL=" + s.NATSURL, "DATABASE_URL=" + s.DatabaseURL, "REDIS_URL=" + s.RedisURL,
		"API_LISTEN=" + listen, "OPS_LISTEN=" + ops, "TICKET_SECRET=" + s.API.TicketSecret, "PASS_KEYS=" + s.API.PassKeys,
		"ADMIN_TOKEN=" + s.API.AdminToken, "STRIPE_WEBHOOK_SECRETS=" + strings.Join(s.API.WebhookSecrets, ","),
		// This program asks for more than its cores, for the broker that it runs; a node has none.
		"GOMAXPROCS=" + strconv.Itoa(runtime.NumCPU()),
	}})
	if err != nil {
		return nil, err
	}
	return &node{Process: p, name: name, address: listen, ops: "http://" + ops}, nil
}

// freeAddress finds a port that can be listened on.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// nodeLimit bounds the wait for a node.
const nodeLimit = 30 * time.Second

// await returns once holds returns nil; it fails when the node ends first, or takes too long.
func (n *node) await(ctx context.Context, what string, every time.Duration, holds func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, nodeLimit)
	defer cancel()
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-n.Ended():
			return n.Why()
		case <-ctx.Done():
			return fmt.Errorf("%s: wait for %s: %w (%w)", n.name, what, ctx.Err(), err)
		case <-again.C:
		}
	}
}

func (n *node) awaitReady(ctx context.Context) error {
	return n.await(ctx, "readiness", 20*time.Millisecond, func(ctx context.Context) error { return app.Ready(ctx, n.ops) })
}

// quiet is how much of a core a node that has nothing to do takes at most.
const quiet = 0.1

// awaitQuiet returns once the node has nothing left to do.
func (n *node) awaitQuiet(ctx context.Context) error {
	var at time.Time
	before := math.Inf(-1)
	return n.await(ctx, "quiet", 500*time.Millisecond, func(ctx context.Context) error {
		m, err := n.metrics(ctx)
		if err != nil {
			return err
		}
		f, err := family(m, "process_cpu_seconds_total")
		if err != nil {
			return err
		}
		now, used := time.Now(), f.GetCounter().GetValue()
		took := (used - before) / now.Sub(at).Seconds()
		if at.IsZero() {
			took = 1
		}
		if at, before = now, used; took > quiet {
			return fmt.Errorf("it takes %.2f of a core", took)
		}
		return nil
	})
}

// metrics reads what the node says of itself.
func (n *node) metrics(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.ops+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read metrics of %s: %w", n.name, err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(resp.Body)
}

// footprint is the memory of a node, in bytes.
type footprint struct {
	resident float64 // its resident set
	inUse    float64 // of Go's heap and stacks, garbage not yet collected included
}

// less is the growth since another footprint.
func (f footprint) less(o footprint) footprint {
	return footprint{f.resident - o.resident, f.inUse - o.inUse}
}

// The bounds of a look at a node's memory.
const (
	collections = 2    // of garbage, before memory is looked at
	maxScrapes  = 5000 // by which they have happened: the answers are garbage
	lookEvery   = 200 * time.Millisecond
)

// footprint is the least memory that a node has over a time, after it has collected its garbage. It does so because of
// the questions that it is asked here: nothing in it is told to.
func (n *node) footprint(ctx context.Context, over time.Duration) (footprint, error) {
	first := math.NaN()
	for range maxScrapes {
		m, err := n.metrics(ctx)
		if err != nil {
			return footprint{}, err
		}
		done, err := count(m, "go_gc_duration_seconds")
		if err != nil {
			return footprint{}, err
		}
		if math.IsNaN(first) {
			first = done
		}
		if done-first >= collections {
			break
		}
	}
	least := footprint{math.Inf(1), math.Inf(1)}
	end := time.Now().Add(over)
	for next := time.NewTicker(lookEvery); ; {
		m, err := n.metrics(ctx)
		if err != nil {
			return least, err
		}
		resident, rerr := gauge(m, "process_resident_memory_bytes")
		heap, herr := gauge(m, "go_memstats_heap_inuse_bytes")
		stacks, serr := gauge(m, "go_memstats_stack_inuse_bytes")
		if err := errors.Join(rerr, herr, serr); err != nil {
			return least, err
		}
		least = footprint{min(least.resident, resident), min(least.inUse, heap+stacks)}
		if time.Now().After(end) {
			next.Stop()
			return least, nil
		}
		select {
		case <-ctx.Done():
			next.Stop()
			return least, ctx.Err()
		case <-next.C:
		}
	}
}

func family(m map[string]*dto.MetricFamily, name string) (*dto.Metric, error) {
	if f := m[name]; f != nil && len(f.GetMetric()) == 1 {
		return f.GetMetric()[0], nil
	}
	return nil, fmt.Errorf("a node tells nothing of %s", name)
}

func gauge(m map[string]*dto.MetricFamily, name string) (float64, error) {
	f, err := family(m, name)
	return f.GetGauge().GetValue(), err
}

func count(m map[string]*dto.MetricFamily, name string) (float64, error) {
	f, err := family(m, name)
	return float64(f.GetSummary().GetSampleCount()), err
}
