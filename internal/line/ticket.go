package line

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"

	"onsale/internal/sale"
)

// Ticket is a fan's place in the line: where the join stands in the stream. It travels signed, and it is all
// the state that a waiting fan has.
type Ticket struct {
	Epoch    uint64 // of the line's stream, its time of creation in Unix nanoseconds: a line made anew has other tickets
	Sequence uint64 // of the chunk
	Index    uint32 // within the chunk
	Session  sale.SessionHash
}

// Key names one lane of an event's line. A line that was made anew has another epoch.
type Key struct {
	EventID string
	Epoch   uint64
	Lane    string // "" is the general one
}

// Before says whether t is the better place of the two.
func (t Ticket) Before(o Ticket) bool {
	return t.Sequence < o.Sequence || t.Sequence == o.Sequence && t.Index < o.Index
}

const (
	ticketVersion = 1
	ticketBody    = 1 + 8 + 8 + 4 + len(sale.SessionHash{})
	ticketMAC     = 16
)

// ErrBadTicket is a ticket that was not given out by this sale, or not for this event.
var ErrBadTicket = sale.Errorf(sale.Unauthorized, "bad_ticket", "the ticket is missing, altered or of another line")

// Tickets signs and verifies. The event is part of what is signed but not of what is sent: the URL names it.
type Tickets struct{ signers *sync.Pool }

// signer has an HMAC with the key, which is dearer to make than to use, and room for what is signed.
type signer struct {
	mac hash.Hash
	b   []byte
}

// NewTickets derives the signing key from the deployment's secret, of at least 32 bytes.
func NewTickets(secret []byte) Tickets {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("onsale ticket v1"))
	key := m.Sum(nil)
	return Tickets{signers: &sync.Pool{New: func() any { return &signer{mac: hmac.New(sha256.New, key)} }}}
}

// Sign writes a ticket: base64url of version, epoch, sequence, index and session, then 16 bytes of
// HMAC-SHA-256 over the event and all that.
func (k Tickets) Sign(eventID string, t Ticket) string {
	return string(k.AppendSigned(nil, eventID, t))
}

// AppendSigned appends a ticket as Sign writes it.
func (k Tickets) AppendSigned(to []byte, eventID string, t Ticket) []byte {
	b := make([]byte, 1, ticketBody+ticketMAC)
	b[0] = ticketVersion
	b = binary.BigEndian.AppendUint64(b, t.Epoch)
	b = binary.BigEndian.AppendUint64(b, t.Sequence)
	b = binary.BigEndian.AppendUint32(b, t.Index)
	b = append(b, t.Session[:]...)
	mac := k.mac(eventID, b)
	return base64.RawURLEncoding.AppendEncode(to, append(b, mac[:]...))
}

// Verify reads a ticket for an event, or says ErrBadTicket.
func (k Tickets) Verify(eventID, ticket string) (Ticket, error) {
	t, b, err := decodeTicket(ticket)
	if err != nil {
		return Ticket{}, err
	}
	if mac := k.mac(eventID, b[:ticketBody]); !hmac.Equal(b[ticketBody:], mac[:]) {
		return Ticket{}, ErrBadTicket
	}
	return t, nil
}

// decodeTicket reads a ticket and its bytes, of which the last are a MAC that is not checked here.
func decodeTicket(ticket string) (Ticket, []byte, error) {
	if len(ticket) != base64.RawURLEncoding.EncodedLen(ticketBody+ticketMAC) {
		return Ticket{}, nil, ErrBadTicket // also one with line breaks, which the decoder would skip
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(ticket)
	if err != nil || len(b) != ticketBody+ticketMAC || b[0] != ticketVersion {
		return Ticket{}, nil, ErrBadTicket
	}
	return Ticket{
		Epoch:    binary.BigEndian.Uint64(b[1:]),
		Sequence: binary.BigEndian.Uint64(b[9:]),
		Index:    binary.BigEndian.Uint32(b[17:]),
		Session:  sale.SessionHash(b[21:ticketBody]),
	}, b, nil
}

func (k Tickets) mac(eventID string, body []byte) (mac [ticketMAC]byte) {
	s := k.signers.Get().(*signer)
	defer k.signers.Put(s)
	s.mac.Reset()
	s.b = append(append(append(s.b[:0], eventID...), 0), body...)
	s.mac.Write(s.b)
	s.b = s.mac.Sum(s.b[:0])
	copy(mac[:], s.b)
	return mac
}
