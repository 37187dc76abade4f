package api

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"onsale/internal/entry"
	"onsale/internal/sale"
)

// Entry is what a join may be asked for before anything is stored, and what keeps polls from coming too often.
type Entry struct {
	Policy  entry.Policy
	Proofs  entry.Proofs
	Proxies []netip.Prefix // whose X-Forwarded-For is believed
}

// door keeps what a node needs of those who come, in tables of a fixed size.
type door struct {
	Entry
	load      entry.Load
	addresses *entry.Addresses
	polls     *entry.Recent
}

func newDoor(e Entry) *door {
	return &door{Entry: e, addresses: entry.NewAddresses(entry.DefaultSlots), polls: entry.NewRecent(entry.DefaultSlots)}
}

var errTooMany = sale.Errorf(sale.TooMany, "too_many_joins", "too many join from this address; wait a little")

// pass lets a join through, or says what it lacks. It stores nothing.
func (d *door) pass(ctx *fasthttp.RequestCtx, eventID string, req joinRequest, now time.Time) error {
	if d.Policy.Proof == entry.Off && d.Policy.Address == entry.Off {
		return nil
	}
	demand := d.Policy.At(d.load.Arrived(d.Policy.AutoAbove, now))
	if demand.Limited {
		if wait := d.addresses.Take(eventID, d.clientOf(ctx), d.Policy.AddressLimit, now); wait > 0 {
			return errTooMany.After(wait)
		}
	}
	if demand.ProofBits == 0 {
		return nil
	}
	err := d.Proofs.Verify(eventID, req.Session, req.Proof, now)
	var wrong *sale.Error
	if errors.As(err, &wrong) {
		return wrong.With("proof", d.Proofs.Challenge(eventID, demand.ProofBits, now))
	}
	return err
}

// challenge is the proof of work that a join needs now, nil for none.
func (d *door) challenge(eventID string, now time.Time) *entry.Challenge {
	demand := d.Policy.At(d.load.Level(d.Policy.AutoAbove, now))
	if demand.ProofBits == 0 {
		return nil
	}
	c := d.Proofs.Challenge(eventID, demand.ProofBits, now)
	return &c
}

// clientOf is the address a call came from: the last one on its way that is not a proxy of ours. A proxy adds what it saw
// to the end of X-Forwarded-For, or in a line of its own after those that the client sent: all lines are one list.
func (d *door) clientOf(ctx *fasthttp.RequestCtx) netip.Addr {
	addr, _ := netip.AddrFromSlice(ctx.RemoteIP())
	addr = addr.Unmap()
	if !d.isProxy(addr) {
		return addr
	}
	lines := ctx.Request.Header.PeekAll(fiber.HeaderXForwardedFor)
	hops := strings.Split(string(bytes.Join(lines, []byte{','})), ",")
	for i := len(hops) - 1; i >= 0 && d.isProxy(addr); i-- {
		hop, ok := hopOf(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		addr = hop
	}
	return addr
}

// hopOf reads an entry of X-Forwarded-For: an address, with a port or without, an IPv6 one in brackets or not.
func hopOf(s string) (netip.Addr, bool) {
	if hop, err := netip.ParseAddrPort(s); err == nil {
		return hop.Addr().Unmap(), true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		s = strings.TrimSuffix(inner, "]")
	}
	hop, err := netip.ParseAddr(s)
	return hop.Unmap(), err == nil
}

func (d *door) isProxy(addr netip.Addr) bool {
	for _, p := range d.Proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// maxEarly is the longest that a poll can come too early by: a page that was loaded again is not left waiting.
const maxEarly = 5 * time.Second

var errTooEarly = sale.Errorf(sale.TooMany, "polled_too_early", "ask again when poll_after_ms has passed")

// told takes note of when a ticket may be asked for again: after half of what it was told.
func (d *door) told(ticket string, pollIn time.Duration, now time.Time) {
	d.polls.Told(ticket, now.Add(min(pollIn/2, maxEarly)))
}
