package events_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"onsale/events"
)

func record(subject string, n int) events.Outgoing {
	return events.Outgoing{Subject: subject, ID: fmt.Sprintf("id-%d", n), Data: fmt.Appendf(nil, `{"n":%d}`, n)}
}

// unpack reads what was packed, as "subject data" of each record.
func unpack(packed []events.Outgoing) []string {
	var all []string
	for _, p := range packed {
		for i, r := range (events.Message{Subject: p.Subject, Header: p.Header, Data: p.Data}).Records() {
			if r.Record != i {
				all = append(all, fmt.Sprintf("record %d numbered %d", i, r.Record))
			}
			all = append(all, r.Subject+" "+string(r.Data))
		}
	}
	return all
}

func TestPackKeepsEveryRecordInOrder(t *testing.T) {
	t.Parallel()
	var outs []events.Outgoing
	var want []string
	for i := range 1000 {
		subject := []string{"a", "a", "a", "b", "c"}[(i/7)%5]
		outs = append(outs, record(subject, i))
		want = append(want, fmt.Sprintf(`%s {"n":%d}`, subject, i))
	}
	packed := events.Pack(outs)
	if diff := cmp.Diff(want, unpack(packed)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if len(packed) > 1000/7+1 {
		t.Errorf("%d messages", len(packed))
	}
	ids := map[string]bool{}
	for _, p := range packed {
		ids[p.ID] = true
	}
	if len(ids) != len(packed) {
		t.Errorf("%d ids of %d messages", len(ids), len(packed))
	}
	if events.Pack(nil) != nil {
		t.Error("nothing makes a message")
	}
}

func TestPackIsBounded(t *testing.T) {
	t.Parallel()
	var outs []events.Outgoing
	for i := range 500 {
		o := record("a", i)
		if i >= 300 {
			o.Data = bytes.Repeat([]byte{'x'}, 100<<10)
		}
		outs = append(outs, o)
	}
	total := 0
	for _, p := range events.Pack(outs) {
		n := len(events.Message{Header: p.Header, Data: p.Data}.Records())
		total += n
		if n > 64 || n > 1 && len(p.Data) > 256<<10 {
			t.Errorf("a message of %d records and %d bytes", n, len(p.Data))
		}
	}
	if total != len(outs) {
		t.Errorf("%d records of %d", total, len(outs))
	}
}

// A message with one record more, or another, must not be taken for a copy.
func TestPackedIDIsOfAllRecords(t *testing.T) {
	t.Parallel()
	a, b, c := record("s", 1), record("s", 2), record("s", 3)
	seen := map[string]bool{}
	for _, outs := range [][]events.Outgoing{{a}, {a, b}, {a, c}, {b, a}, {a, b, c}, {a, c, b}} {
		id := events.Pack(outs)[0].ID
		if seen[id] {
			t.Errorf("%q is the id of two messages", id)
		}
		seen[id] = true
		if again := events.Pack(slices.Clone(outs))[0].ID; again != id {
			t.Errorf("the id is %q and then %q", id, again)
		}
	}
}

func TestPackLeavesAloneWhatIsNotARecord(t *testing.T) {
	t.Parallel()
	last := uint64(1)
	for name, odd := range map[string]events.Outgoing{
		"no id": {Subject: "s", Data: []byte("x")}, "headers": {Subject: "s", ID: "1", Header: map[string]string{"k": "v"}, Data: []byte("x")},
		"a condition": {Subject: "s", ID: "1", Data: []byte("x"), ExpectLast: &last}, "lines": {Subject: "s", ID: "1", Data: []byte("x\ny")},
	} {
		outs := []events.Outgoing{record("s", 0), odd, record("s", 2)}
		if diff := cmp.Diff(outs, events.Pack(outs)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A message whose header lies is given whole, to fail as what it is.
func TestRecordsOfAMessageThatLies(t *testing.T) {
	t.Parallel()
	for _, count := range []string{"", "1", "3", "-2", "x", "02"} {
		m := events.Message{Header: map[string]string{events.HeaderRecords: count}, Data: []byte("a\nb")}
		if diff := cmp.Diff([]events.Message{m}, m.Records()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", count, diff)
		}
	}
	m := events.Message{Data: []byte("a\nb")}
	if diff := cmp.Diff([]events.Message{m}, m.Records()); diff != "" {
		t.Errorf("without the header (-want +got):\n%s", diff)
	}
}
