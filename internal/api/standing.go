package api

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"onsale/internal/line"
	"onsale/internal/sale"
)

// standing is the answer to a join and to a poll. It is written by hand, and not by a JSON writer, because it is
// by far the most frequent one.
type standing struct {
	line.Standing
	place         line.Place
	ticket        []byte // to a join
	pass          string // to a poll of one who is admitted
	passExpiresAt time.Time
}

func (a standing) send(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.SetContentTypeBytes(jsonType)
	body := ctx.Response.SwapBody(nil) // an empty one, with the room of the last
	ctx.Response.SwapBody(a.appendJSON(body[:0]))
}

// joined is the answer to a join, or why it has none.
type joined struct {
	json []byte
	err  error
}

// answerSize is about how long an answer to a join is.
const answerSize = 320

// answers are made for a whole chunk at once: one by one, between all else that a request takes, they would cost twice
// as much. A pass comes with a poll.
func (s *sales) answers(o *onSale, tickets []line.Ticket) []joined {
	all := make([]joined, len(tickets))
	text := make([]byte, 0, len(tickets)*answerSize)
	var ticket []byte
	for i, t := range tickets {
		place, err := o.place(t)
		if err == nil && place.Left {
			err = errLeft
		}
		if err != nil {
			all[i].err = err
			continue
		}
		ticket = s.Tickets.AppendSigned(ticket[:0], o.event.ID, t)
		begin := len(text)
		text = standing{Standing: o.stand(place), place: place, ticket: ticket}.appendJSON(text)
		all[i].json = text[begin:len(text):len(text)]
	}
	return all
}

var errLeft = sale.Errorf(sale.Conflict, "left_line", "this session has left the line; one that joins again needs a new session")

var jsonType = []byte(fiber.MIMEApplicationJSON)

// appendJSON appends
// {ticket?, state, position, eta, eta_low, eta_high, poll_after_ms, reason?, lane?, arrival, place?, pass?,
// pass_expires_at?}: position from 1, arrival and place from 0, times in seconds, null where unknown.
func (a standing) appendJSON(b []byte) []byte {
	b = append(b, '{')
	if len(a.ticket) > 0 {
		b = append(append(append(b, `"ticket":"`...), a.ticket...), `",`...)
	}
	b = append(append(append(b, `"state":"`...), a.State...), `","position":`...)
	if a.Position == nil {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendUint(b, *a.Position, 10)
	}
	if a.ETA == nil {
		b = append(b, `,"eta":null,"eta_low":null,"eta_high":null`...)
	} else {
		b = strconv.AppendInt(append(b, `,"eta":`...), a.ETA.Expected, 10)
		b = strconv.AppendInt(append(b, `,"eta_low":`...), a.ETA.Low, 10)
		b = strconv.AppendInt(append(b, `,"eta_high":`...), a.ETA.High, 10)
	}
	b = strconv.AppendInt(append(b, `,"poll_after_ms":`...), a.PollIn.Milliseconds(), 10)
	if a.Reason != "" {
		b = append(append(b, `,"reason":`...), quoted(a.Reason)...)
	}
	if a.place.Lane != "" {
		b = append(append(append(b, `,"lane":"`...), a.place.Lane...), '"')
	}
	b = strconv.AppendUint(append(b, `,"arrival":`...), a.place.Arrival, 10)
	if a.place.Drawn {
		b = strconv.AppendUint(append(b, `,"place":`...), a.place.Number, 10)
	}
	if a.pass != "" {
		b = append(append(append(b, `,"pass":"`...), a.pass...), `","pass_expires_at":"`...)
		b = append(a.passExpiresAt.AppendFormat(b, time.RFC3339Nano), '"')
	}
	return append(b, '}')
}

// quoted is a JSON string. States, tickets and passes need no escapes; a reason is an operator's words.
func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`) // a string always encodes
	}
	return b
}
