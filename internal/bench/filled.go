package bench

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// filled is a line whose joins were stored by the bench itself. It knows each of them without keeping any: sessions
// follow from the number of their chunk and their place in it.
type filled struct {
	event  string
	epoch  uint64
	fans   uint64
	chunks []uint32    // number of the chunk at stream sequence i+1, as it was made
	index  *line.Index // of what was stored
	met    atomic.Uint64
}

// fillChunk is how many joins the chunks have, but the last.
const fillChunk = 1024

// sessionOf is the session of a fan, as random as a hash.
func sessionOf(chunk, index uint32) (s sale.SessionHash) {
	r := rand.NewPCG(uint64(chunk), uint64(index))
	r.Uint64() // the first is too near to that of the next seed
	binary.BigEndian.PutUint64(s[:8], r.Uint64())
	binary.BigEndian.PutUint64(s[8:], r.Uint64())
	return s
}

// size is how many joins a chunk has, by its number.
func (f *filled) size(chunk uint32) int { return int(min(fillChunk, f.fans-uint64(chunk)*fillChunk)) }

// rememberer stores the places of sessions.
type rememberer interface {
	Recall(ctx context.Context, k line.Key, sessions []sale.SessionHash) ([]*line.Ticket, error)
	Remember(ctx context.Context, k line.Key, tickets []line.Ticket) error
}

// fill stores the joins of as many fans in an event's line, and their places, as api nodes do: some chunks at once,
// places after they are durable. told is called now and then.
func fill(ctx context.Context, streams lineStreams, places rememberer, event string, epoch uint64, fans int, told func(joined uint64)) (*filled, error) {
	f := &filled{event: event, epoch: epoch, fans: uint64(fans), index: line.NewIndex()}
	f.chunks = make([]uint32, (fans+fillChunk-1)/fillChunk)
	var mu sync.Mutex // of chunks
	var next atomic.Uint32
	var joined atomic.Uint64
	filling, ctx := errgroup.WithContext(ctx)
	for range DefaultLineLoad().InFlight {
		filling.Go(func() error {
			for n := next.Add(1) - 1; int(n) < len(f.chunks); n = next.Add(1) - 1 {
				sequence, err := f.store(ctx, streams, places, n)
				if err != nil {
					return err
				}
				mu.Lock()
				f.chunks[sequence-1] = n
				mu.Unlock()
				if sum := joined.Add(uint64(f.size(n))); sum/tellEvery != (sum-uint64(f.size(n)))/tellEvery {
					told(sum)
				}
			}
			return nil
		})
	}
	if err := filling.Wait(); err != nil {
		return nil, err
	}
	for i, n := range f.chunks {
		f.index.Apply(uint64(i+1), general, uint16(f.size(n)))
	}
	if f.index.Joined(general) != f.fans { // a chunk stands twice, and another nowhere
		return nil, fmt.Errorf("%d joins were stored, %d were sent", f.index.Joined(general), f.fans)
	}
	return f, nil
}

// tellEvery is after how many joins progress is told.
const tellEvery = 1_000_000

// store stores one chunk, and the places in it.
func (f *filled) store(ctx context.Context, streams lineStreams, places rememberer, n uint32) (sequence uint64, err error) {
	sessions := make([]sale.SessionHash, f.size(n))
	for i := range sessions {
		sessions[i] = sessionOf(n, uint32(i))
	}
	ack, err := streams.Publish(ctx, events.Outgoing{
		Subject: events.JoinedSubject(f.event), ID: uuid.NewString(),
		Header: map[string]string{events.HeaderJoinCount: strconv.Itoa(len(sessions))}, Data: events.Chunk{Sessions: sessions}.Encode(),
	})
	if err != nil {
		return 0, err
	}
	if ack.Sequence > uint64(len(f.chunks)) {
		return 0, fmt.Errorf("the line has a message at %d, %d were sent", ack.Sequence, len(f.chunks))
	}
	tickets := make([]line.Ticket, len(sessions))
	for i := range tickets {
		tickets[i] = line.Ticket{Epoch: f.epoch, Sequence: ack.Sequence, Index: uint32(i), Session: sessions[i]}
	}
	key := line.Key{EventID: f.event, Epoch: f.epoch}
	if err := places.Remember(ctx, key, tickets); err != nil {
		return 0, err
	}
	sample := tickets[rand.IntN(len(tickets))]
	known, err := places.Recall(ctx, key, []sale.SessionHash{sample.Session})
	if err == nil && (known[0] == nil || *known[0] != sample) {
		err = fmt.Errorf("the session %x has the place %+v, and %+v was stored", sample.Session, known[0], sample)
	}
	return ack.Sequence, err
}

// fan is the ticket of the fan with an arrival number.
func (f *filled) fan(arrival uint64) line.Ticket {
	after := sort.Search(len(f.chunks), func(i int) bool { // the first chunk that begins after it
		_, first, _ := f.index.Arrival(uint64(i+1), 0)
		return first > arrival
	})
	_, first, _ := f.index.Arrival(uint64(after), 0)
	t := line.Ticket{Epoch: f.epoch, Sequence: uint64(after), Index: uint32(arrival - first)}
	t.Session = sessionOf(f.chunks[after-1], t.Index)
	return t
}

// stride is a prime above MaxFans: steps of it meet every fan once before any twice.
const stride = 982_451_653

// someone is one of the fans, another each time, with the arrival number.
func (f *filled) someone() (line.Ticket, uint64) {
	arrival := f.met.Add(1) * stride % f.fans
	return f.fan(arrival), arrival
}

// signer signs tickets as the api does.
func (s *system) signer() (line.Tickets, error) {
	secret, err := base64.StdEncoding.DecodeString(s.API.TicketSecret)
	return line.NewTickets(secret), err
}
