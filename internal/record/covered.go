package record

import (
	"fmt"
	"slices"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// head is what of the line some records vouch for, and what they called on it.
type head struct {
	events.LineHead
	at      time.Time // of the first of these records
	called  uint64    // the last that called
	serving []uint64  // of the general lane, and of the others in the log's order
}

// vouches takes what a record says of the line.
func (c *Checker) vouches(a events.Admission) {
	if a.Line == nil {
		return
	}
	if len(c.heads) == 0 || *a.Line != c.heads[len(c.heads)-1].LineHead {
		c.heads = append(c.heads, head{LineHead: *a.Line, at: a.At})
	}
	if h := &c.heads[len(c.heads)-1]; a.Reason == "admitted" || h.serving == nil {
		h.called, h.serving = a.N, nil
		for _, l := range line.Lanes(a) {
			h.serving = append(h.serving, l.Serving)
		}
	}
}

// covered checks the line as far as the first of the heads vouches for it.
func (c *Checker) covered(name string) {
	h := c.heads[0]
	if root := c.tree.Root().String(); root != h.Root {
		c.find(name, "the line up to it has the root %s, the log says %q: it or one before it was altered", root, h.Root)
	}
	for i, l := range line.Lanes(*c.last) { // lanes stay where they are, so these are the names
		if joined := c.index.Joined(l.Name); i < len(h.serving) && h.serving[i] > joined {
			c.find(fmt.Sprintf("admission %d", h.called), "lane %q is called up to %d, and %d have joined it as far as the record vouches for the line", l.Name, h.serving[i], joined)
		}
	}
	if c.grantsKnown(h) && (len(c.heads) == 1 || !c.grantsKnown(c.heads[1])) {
		c.checkGranted()
	}
}

// grantKnown is how long it takes until codes that were given out stand in the log, and more than that: who is quick
// may join with one before.
const grantKnown = time.Minute

// grantsKnown says whether all codes that let in those whom a head vouches for stand in the log's last record.
func (c *Checker) grantsKnown(h head) bool {
	end := c.last.At
	if c.Now != nil {
		end = c.Now()
	}
	return c.last.State == sale.Closed || !h.at.After(end.Add(-grantKnown))
}

// checkGranted holds the joins of each priority lane so far against those that its codes allow. A session that joined
// twice by a race, or because it came again while the store was away, used its code once.
func (c *Checker) checkGranted() {
	for _, l := range c.last.Lanes {
		if joined := c.index.Joined(l.Name); joined <= l.Granted {
			continue
		}
		sessions := slices.Clone(c.coded[l.Name])
		slices.Sort(sessions)
		if joined := uint64(len(slices.Compact(sessions))); joined > l.Granted {
			c.find(fmt.Sprintf("admission %d", c.last.N), "%d sessions joined lane %q, and its codes allow %d", joined, l.Name, l.Granted)
		}
	}
}
