package api

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"onsale/events"
	"onsale/internal/entry"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// queue is what is public of a line. With its arrival number and lane, which the join told it, a page computes its
// own place from draw and lobby (docs/draw.md), its position from serving and its wait from waits: behind a cache,
// any number of fans cost this node one answer a second.
type queue struct {
	State     sale.State `json:"state"`
	Reason    string     `json:"reason,omitempty"` // why the line stands, or why waits have become longer
	OpensAt   *time.Time `json:"opens_at"`
	SeatsLeft int        `json:"seats_left"`
	Rate      float64    `json:"rate"`
	Release   float64    `json:"release"` // places called a second, over all lanes
	queueLane
	Lanes []queueLane      `json:"lanes,omitempty"` // the priority lanes
	Draw  *events.Draw     `json:"draw,omitempty"`  // once the lobby is drawn
	Proof *entry.Challenge `json:"proof,omitempty"` // what a join must solve now
	At    time.Time        `json:"at"`              // of the last record
}

// queueLane is one lane: whose place is below serving may come in.
type queueLane struct {
	Name    string   `json:"name,omitempty"`
	Share   float64  `json:"share"`
	Serving uint64   `json:"serving"`
	Joined  uint64   `json:"joined"`
	Lobby   *uint64  `json:"lobby,omitempty"` // joins before the seal
	Waits   []waitAt `json:"waits,omitempty"`
}

// waitAt is the ETA of a position, in seconds; between two of them it is linear.
type waitAt struct {
	Position uint64 `json:"position"`
	ETA      int64  `json:"eta"`
	Low      int64  `json:"eta_low"`
	High     int64  `json:"eta_high"`
}

func (s *server) getQueue(c *fiber.Ctx) error {
	o, err := s.sales.find(c.UserContext(), c.Params("event"))
	if err != nil {
		return err
	}
	a := o.last()
	_, sold := s.sales.soldOf(o.event.ID, nil)
	q := queue{
		State: a.State, Reason: line.Reason(a), OpensAt: opensAt(o.event), SeatsLeft: max(o.event.Seats-sold, 0),
		Rate: a.Rate, Release: line.Pace(*a), Draw: a.Draw, Proof: s.door.challenge(o.event.ID, s.Now()), At: a.At,
	}
	lanes := o.queueLanes(a)
	q.queueLane, q.Lanes = lanes[0], lanes[1:]
	c.Set(fiber.HeaderCacheControl, "public, max-age=1")
	return c.JSON(q)
}

// queueLanes are the lanes of a record, the general one first.
func (o *onSale) queueLanes(a *events.Admission) []queueLane {
	joined := o.line.Counts()
	var lobby map[string]uint64
	if a.Draw != nil {
		lobby, _ = o.line.Before(a.Draw.Sealed)
	}
	var lanes []queueLane
	for _, l := range line.Lanes(*a) {
		q := queueLane{Name: l.Name, Share: l.Share, Serving: l.Serving, Joined: joined[l.Name]}
		if lobby != nil {
			n := lobby[l.Name]
			q.Lobby = &n
		}
		if a.State == sale.Open {
			q.Waits = o.waits(l, joined[l.Name])
		}
		lanes = append(lanes, q)
	}
	return lanes
}

// waits are the ETAs of positions from the next to the last, twice as far each time.
func (o *onSale) waits(l events.Lane, joined uint64) []waitAt {
	var all []waitAt
	for _, w := range o.record.Load().view.Waits(l.Name, joined-min(joined, l.Serving)) {
		all = append(all, waitAt{w.Position, w.Expected, w.Low, w.High})
	}
	return all
}
