package line

import (
	"encoding/base64"
	"encoding/binary"

	"onsale/internal/sale"
)

// ReadTicket reads what a ticket says without verifying that it was given out: for who has the public records and not
// the deployment's secret. What the ticket says is worth no more than the records that it is held against. A text that
// is no ticket is ErrBadTicket.
func ReadTicket(ticket string) (Ticket, error) {
	// The length also keeps out line breaks, which the decoder would skip.
	if len(ticket) != base64.RawURLEncoding.EncodedLen(ticketBody+ticketMAC) {
		return Ticket{}, ErrBadTicket
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(ticket)
	if err != nil || len(b) != ticketBody+ticketMAC || b[0] != ticketVersion {
		return Ticket{}, ErrBadTicket
	}
	return Ticket{
		Epoch:    binary.BigEndian.Uint64(b[1:]),
		Sequence: binary.BigEndian.Uint64(b[9:]),
		Index:    binary.BigEndian.Uint32(b[17:]),
		Session:  sale.SessionHash(b[21:ticketBody]),
	}, nil
}
