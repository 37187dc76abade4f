package double_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"onsale/events"
	"onsale/internal/stripe/double"
)

// BenchmarkPayment makes payments as a payworker does: authorize, capture, the webhooks delivered and the journal
// written. held-B/payment is what the double keeps of each. It is for -count 1: the server of a double that has ended
// holds it for some seconds more.
func BenchmarkPayment(b *testing.B) {
	var heard atomic.Int64
	hook := listen(b)
	receiver := &fasthttp.Server{Handler: func(*fasthttp.RequestCtx) { heard.Add(1) }, CloseOnShutdown: true}
	go receiver.Serve(hook)
	b.Cleanup(func() { receiver.Shutdown() })
	d, err := double.New(double.Config{
		SecretKey: testKey, WebhookURL: "http://" + hook.Addr().String(), WebhookSecret: testSecret, WebhookEvents: events.WebhookTypes(),
		JournalPath: b.TempDir() + "/stripe.jsonl",
	})
	if err != nil {
		b.Fatal(err)
	}
	ln := listen(b)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx, ln) }()
	client := &fasthttp.HostClient{Addr: ln.Addr().String()}
	b.Cleanup(func() {
		client.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-ran, d.Close()); err != nil {
			b.Errorf("stop double: %v", err)
		}
	})

	var number atomic.Int64
	before := held()
	b.ReportAllocs()
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := payment(client, number.Add(1)); err != nil {
				b.Fatal(err)
			}
		}
	})
	for heard.Load() < int64(b.N) {
		runtime.Gosched()
	}
	b.StopTimer()
	b.ReportMetric(float64(held()-before)/float64(b.N), "held-B/payment")
	runtime.KeepAlive(d)
}

func listen(b *testing.B) net.Listener {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return ln
}

// held is how many bytes of the heap are alive.
func held() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// payment authorizes and captures, with what Onsale sends.
func payment(client *fasthttp.HostClient, number int64) error {
	attempt := fmt.Sprintf("0f6ad1a8-7c2b-5e8f-9a3d-%012x", number)
	var body strings.Builder
	body.WriteString("amount=8400&capture_method=manual&confirm=true&currency=eur&metadata[attempt_id]=")
	body.WriteString(attempt)
	body.WriteString("&metadata[event_id]=evening-1&metadata[order_id]=5b0c1c9e-93a1-4b0e-8f65-1d2c3b4a5968")
	body.WriteString("&payment_method=pm_card_visa&payment_method_types[0]=card")
	id, err := post(client, "/v1/payment_intents", attempt, body.String())
	if err != nil {
		return err
	}
	_, err = post(client, "/v1/payment_intents/"+id+"/capture", attempt+":capture:0", "")
	return err
}

// post returns the id of what was answered, which stands first.
func post(client *fasthttp.HostClient, path, key, body string) (id string, err error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.Header.SetMethod("POST")
	req.SetRequestURI("http://" + client.Addr + path)
	req.Header.SetContentType("application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+testKey)
	req.Header.Set("Idempotency-Key", key)
	req.SetBodyString(body)
	if err := client.Do(req, resp); err != nil {
		return "", err
	}
	if resp.StatusCode() != 200 {
		return "", fmt.Errorf("POST %s: %d %s", path, resp.StatusCode(), resp.Body())
	}
	answer, ok := bytes.CutPrefix(resp.Body(), []byte(`{"id":"`))
	end := bytes.IndexByte(answer, '"')
	if !ok || end < 0 {
		return "", fmt.Errorf("POST %s: %s has no id", path, resp.Body())
	}
	return string(answer[:end]), nil
}
