package e2e

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"onsale/internal/entry"
	"onsale/internal/testenv"
)

// A join without its proof of work is refused with what to solve, costs the line nothing, and is let in once it is
// solved; nobody else can use the solution.
func TestJoinAsksForProof(t *testing.T) {
	t.Parallel()
	l := together(t)
	create(t, l, "proof", nil)
	n := runNode(t, l, "api", "ENTRY_PROOF=on", "ENTRY_PROOF_BITS=10")
	const mine, other = "a-session-that-works-for-it", "a-session-that-does-not-work"
	refused := joinFails(t, n.base, "proof", joinBody(mine), http.StatusForbidden, "proof_required")
	var told struct {
		Proof entry.Challenge `json:"proof"`
	}
	if err := json.Unmarshal(refused.body, &told); err != nil || told.Proof.Difficulty != 10 || !told.Proof.ExpiresAt.After(time.Now()) {
		t.Fatalf("the challenge: %s, %v", refused.body, err)
	}
	if q := queueOf(t, n.base, "proof"); q.Proof == nil || *q.Proof != told.Proof {
		t.Errorf("the page of the line asks for %+v, the refusal for %+v", q.Proof, told.Proof)
	}
	solution, err := entry.Solve(t.Context(), "proof", mine, told.Proof)
	if err != nil {
		t.Fatal(err)
	}
	joinFails(t, n.base, "proof", joinBody(other, "proof", solution), http.StatusForbidden, "bad_proof")
	joinFails(t, n.base, "proof", joinBody(other, "proof", entry.Solution{Challenge: "nonsense", Nonce: "0"}), http.StatusForbidden, "bad_proof")
	if q := queueOf(t, n.base, "proof"); q.Joined != 0 {
		t.Errorf("%d joined, and all were refused", q.Joined)
	}
	first := join(t, n.base, "proof", mine, "proof", solution)
	if again := join(t, n.base, "proof", mine, "proof", solution); again.spot != first.spot {
		t.Errorf("the same proof again: %+v, then %+v", first.spot, again.spot)
	}
	if q := queueOf(t, n.base, "proof"); q.Joined != 1 || len(places(t, n.base, "proof")) != 1 {
		t.Errorf("%d joined, want 1", q.Joined)
	}
}

// retryAfter reads when a refusal says to come again, at least after a second.
func retryAfter(t *testing.T, a answer) {
	t.Helper()
	if s, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || s < 1 || s > 60 {
		t.Errorf("%s: Retry-After is %q", a.body, a.header.Get("Retry-After"))
	}
}

// Too many joins from one address are refused for a while, and cost the line nothing. Behind a proxy that is trusted,
// the address is the client's, and what a client itself claims counts for nothing.
func TestAddressLimit(t *testing.T) {
	t.Parallel()
	l := together(t)
	create(t, l, "addresses", nil)
	limit := []string{"ENTRY_ADDRESS=on", "ENTRY_ADDRESS_BURST=5", "ENTRY_ADDRESS_EVERY=2s"}
	n := runNode(t, l, "api", limit...)
	claim := func(base string, i int, client string) answer {
		return call(t, "POST", base+"/v1/queue/addresses/join", joinBody(sessionOf("addresses", i)), "X-Forwarded-For", client)
	}
	for i := range 5 {
		join(t, n.base, "addresses", sessionOf("addresses", i))
	}
	refused := claim(n.base, 5, "203.0.113.7")
	if refused.status != http.StatusTooManyRequests || refused.text("code") != "too_many_joins" {
		t.Errorf("the sixth: %d %s", refused.status, refused.body)
	}
	retryAfter(t, refused)
	if q := queueOf(t, n.base, "addresses"); q.Joined != 5 {
		t.Errorf("%d joined, want 5", q.Joined)
	}
	testenv.Eventually(t, "join after a while", func() bool { return claim(n.base, 5, "").status == http.StatusCreated })

	behind := runNode(t, l, "api", append(limit, "TRUSTED_PROXIES=127.0.0.0/8")...)
	for i := range 8 {
		if a := claim(behind.base, 10+i, "198.51.100.1, 203.0.113."+strconv.Itoa(i)); a.status != http.StatusCreated {
			t.Errorf("a client of its own address behind the proxy: %d %s", a.status, a.body)
		}
	}
}

// A poll that comes much too early is refused, and one that comes later is not.
func TestEarlyPoll(t *testing.T) {
	t.Parallel()
	l := together(t)
	create(t, l, "early", nil)
	f := join(t, l.BaseURL, "early", sessionOf("early", 0))
	poll := func() answer {
		return call(t, "GET", l.BaseURL+"/v1/queue/early/position", nil, "Authorization", "Bearer "+f.ticket)
	}
	if a := poll(); a.status != http.StatusOK || number(t, a, "poll_after_ms") < 500 {
		t.Fatalf("the first poll: %d %s", a.status, a.body)
	}
	early := poll()
	if early.status != http.StatusTooManyRequests || early.text("code") != "polled_too_early" {
		t.Errorf("a poll at once: %d %s", early.status, early.body)
	}
	retryAfter(t, early)
	testenv.Eventually(t, "answer to a later poll", func() bool { return poll().status == http.StatusOK })
}
