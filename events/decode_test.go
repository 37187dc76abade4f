package events_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"onsale/events"
	"onsale/internal/sale"
)

func TestDecode_RefusesForGood(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ data, code string }{
		"nothing":         {"", "bad_message"},
		"not JSON":        {"seats, please", "bad_message"},
		"cut off":         {`{"v":1,"n":`, "bad_message"},
		"two values":      {`{"v":1}{"v":1}`, "bad_message"},
		"an array":        {`[1]`, "bad_message"},
		"null":            {`null`, "bad_message_version"},
		"no version":      {`{"n":1}`, "bad_message_version"},
		"version 0":       {`{"v":0,"n":1}`, "bad_message_version"},
		"version -1":      {`{"v":-1,"n":1}`, "bad_message_version"},
		"future version":  {`{"v":2,"n":1}`, "bad_message_version"},
		"future shape":    {`{"v":2,"n":"one"}`, "bad_message_version"},
		"text version":    {`{"v":"1","n":1}`, "bad_message"},
		"text number":     {`{"v":1,"n":"1"}`, "bad_message"},
		"negative number": {`{"v":1,"n":-1}`, "bad_message"},
		"numeric text":    {`{"v":1,"event_id":1}`, "bad_message"},
		"no time":         {`{"v":1,"at":"yesterday"}`, "bad_message"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := events.Decode[events.Admission]([]byte(c.data))
			if sale.KindOf(err) != sale.Invalid || sale.CodeOf(err) != c.code {
				t.Errorf("Decode(%s) = %+v, %v; want Invalid %s", c.data, m, err, c.code)
			}
		})
	}
	for name, data := range map[string]string{
		"bad uuid":    `{"v":1,"order_id":"12"}`,
		"bad session": `{"v":1,"session":"AAAA"}`,
		"bad base64":  `{"v":1,"request_hash":"*"}`,
		"seats":       `{"v":1,"seats":"A-1"}`,
		"amount":      `{"v":1,"amount":12.5}`,
	} {
		if m, err := events.Decode[events.CheckoutRequested]([]byte(data)); sale.KindOf(err) != sale.Invalid {
			t.Errorf("%s: Decode(%s) = %+v, %v; want Invalid", name, data, m, err)
		}
	}
}

// A writer that is newer by a field, but not by a version, is still understood.
func TestDecode_IgnoresWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	m, err := events.Decode[events.Admission]([]byte(`{"v":1,"n":3,"weather":"fine"}`))
	if err != nil || m.N != 3 {
		t.Errorf("Decode = %+v, %v", m, err)
	}
}

func TestEncode_PanicsOnWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("Encode took a channel")
		}
	}()
	events.Encode(make(chan int))
}

func chunkOf(sessions []sale.SessionHash) []byte { return events.Chunk{Sessions: sessions}.Encode() }

// What is wrong with a priority lane's chunk.
func TestDecodeChunk_RefusesLanes(t *testing.T) {
	t.Parallel()
	whole := events.Chunk{Lane: "vip", Sessions: []sale.SessionHash{session, {2}}, Codes: make([]events.CodeID, 2)}.Encode()
	for n := range len(whole) {
		got, err := events.DecodeChunk(whole[:n])
		if complete := n == 2+3+24; complete != (err == nil) {
			t.Errorf("the first %d bytes = %d joins, %v", n, len(got.Sessions), err)
		}
	}
	for _, lane := range []string{"", "VIP", "general", "-vip"} {
		if got, err := events.DecodeChunk(append([]byte{2, byte(len(lane))}, append([]byte(lane), make([]byte, 24)...)...)); err == nil {
			t.Errorf("lane %q is taken: %+v", lane, got)
		}
	}
	for size := range 256 { // of the name, as the chunk says it; none that is longer than a lane's may be, or than the chunk
		b := append([]byte{2, byte(size)}, bytes.Repeat([]byte{'a'}, 300)...)
		got, err := events.DecodeChunk(b)
		if fits := size >= 1 && size <= 20 && (300-size)%24 == 0; fits != (err == nil) || err != nil && (sale.KindOf(err) != sale.Invalid || got.Lane != "") {
			t.Errorf("a name of %d bytes = lane %q, %v", size, got.Lane, err)
		}
	}
}

func TestDecodeChunk_Refuses(t *testing.T) {
	t.Parallel()
	whole := chunkOf([]sale.SessionHash{{1}, {2}})
	wrongVersion := bytes.Clone(whole)
	wrongVersion[0] = 2
	refused := map[string][]byte{
		"nil": nil, "empty": {}, "version alone": {1}, "no joins": chunkOf(nil), "version 2": wrongVersion,
		"one byte more": append(bytes.Clone(whole), 0), "one join too many": chunkOf(make([]sale.SessionHash, events.MaxChunk+1)),
	}
	for name, b := range refused {
		if got, err := events.DecodeChunk(b); sale.KindOf(err) != sale.Invalid || got.Sessions != nil {
			t.Errorf("%s: DecodeChunk = %d joins, %v; want Invalid", name, len(got.Sessions), err)
		}
	}
	for n := range len(whole) {
		got, err := events.DecodeChunk(whole[:n])
		if complete := n == 1+16; complete != (err == nil) {
			t.Errorf("DecodeChunk of the first %d bytes = %d joins, %v", n, len(got.Sessions), err)
		}
	}
	most := make([]sale.SessionHash, events.MaxChunk)
	most[events.MaxChunk-1] = session
	if got, err := events.DecodeChunk(chunkOf(most)); err != nil || !reflect.DeepEqual(got.Sessions, most) {
		t.Errorf("DecodeChunk of MaxChunk joins = %d joins, %v", len(got.Sessions), err)
	}
}

// What was decoded does not change with the buffer that it came in.
func TestDecodeChunk_Copies(t *testing.T) {
	t.Parallel()
	b := chunkOf([]sale.SessionHash{session})
	got, err := events.DecodeChunk(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if got.Sessions[0] != session {
		t.Errorf("the join became %v", got.Sessions[0])
	}
}

func FuzzDecodeChunk(f *testing.F) {
	f.Add([]byte{})
	f.Add(chunkOf([]sale.SessionHash{session}))
	f.Add(chunkOf(make([]sale.SessionHash, 3)))
	f.Add(append([]byte{2, 254}, make([]byte, 300)...))
	f.Add(events.Chunk{Lane: "vip", Sessions: []sale.SessionHash{session}, Codes: []events.CodeID{{9}}}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := events.DecodeChunk(b)
		switch {
		case err != nil && sale.KindOf(err) != sale.Invalid:
			t.Errorf("kind %d: %v", sale.KindOf(err), err)
		case err == nil && !bytes.Equal(got.Encode(), b):
			t.Errorf("%x reads as %v, which is written otherwise", b, got)
		case err == nil && (len(got.Sessions) == 0 || len(got.Sessions) > events.MaxChunk):
			t.Errorf("%d joins", len(got.Sessions))
		}
	})
}

// Whatever stands in a stream, reading it gives a message that can be written again, or Invalid.
func FuzzDecode(f *testing.F) {
	for _, g := range goldens() {
		f.Add(g.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		again[events.CheckoutRequested](t, b)
		again[events.Payment](t, b)
		again[events.Order](t, b)
		again[events.StripeEvent](t, b)
		again[events.Admission](t, b)
		again[events.DeadLetter](t, b)
		again[events.Sealed](t, b)
		again[events.TurnReport](t, b)
	})
}

func again[M any](t *testing.T, b []byte) {
	m, err := events.Decode[M](b)
	if err != nil {
		if sale.KindOf(err) != sale.Invalid {
			t.Errorf("kind %d: %v", sale.KindOf(err), err)
		}
		return
	}
	first, err := json.Marshal(m)
	if err != nil {
		t.Fatalf("%+v can't be written: %v", m, err)
	}
	second, err := events.Decode[M](first)
	if got := events.Encode(second); err != nil || !bytes.Equal(got, first) {
		t.Errorf("%s reads and writes as %s, %v", first, got, err)
	}
}
