package line_test

import (
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/line"
)

func TestBoardSumsItsWorkers(t *testing.T) {
	t.Parallel()
	var b line.Board
	now := time.Unix(1_700_000_000, 0)
	is := func(what string, known bool, want line.Payments) {
		t.Helper()
		if got, ok := b.Payments(now); ok != known || got != want {
			t.Errorf("%s: %+v, %v; want %+v, %v", what, got, ok, want, known)
		}
	}
	is("at first", false, line.Payments{})
	b.Hear(events.PaymentsNotice{Node: "a", Rate: 4, Backlog: 90}, now)
	now = now.Add(time.Second)
	b.Hear(events.PaymentsNotice{Node: "b", Rate: 6, Backlog: 100}, now)
	is("of two", true, line.Payments{Rate: 10, Wait: 10 * time.Second})
	now = now.Add(5 * time.Second)
	is("once one is silent", true, line.Payments{Rate: 6, Wait: 100 * time.Second / 6})
	b.Hear(events.PaymentsNotice{Node: "b", Backlog: 1}, now)
	is("while nobody knows", false, line.Payments{})
	b.Hear(events.PaymentsNotice{Node: "b", Rate: 0.001, Backlog: 9}, now)
	is("while hardly anything is dealt with", true, line.Payments{Rate: 0.001, Wait: 30 * time.Minute})
	for _, node := range []string{"b", "c", "d"} {
		b.Hear(events.PaymentsNotice{Node: node, Rate: 12.5, Allowed: 25, Backlog: 25}, now)
	}
	is("of more than the account allows", true, line.Payments{Rate: 12.5, Wait: 2 * time.Second})
	now = now.Add(5*time.Second + 1)
	b.Hear(events.PaymentsNotice{Node: "b"}, now)
	is("with nothing to do", true, line.Payments{})
	now = now.Add(5*time.Second + 1)
	is("once all are silent", false, line.Payments{})
}
