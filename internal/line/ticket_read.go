package line

// ReadTicket reads what a ticket says without verifying that it was given out: for who has the public records and not
// the deployment's secret. What the ticket says is worth no more than the records that it is held against. A text that
// is no ticket is ErrBadTicket.
func ReadTicket(ticket string) (Ticket, error) {
	t, _, err := decodeTicket(ticket)
	return t, err
}
