package draw

import "onsale/internal/sale"

// Receipt is a fan's own evidence: the chunk that holds the join, and the path from it to the draw's root. It proves
// that the join was among those that were drawn and where in its chunk it stands. Before it can't prove: how many
// joins the earlier chunks have is known only to who reads them all, up to the same root.
type Receipt struct {
	EventID  string `json:"event_id"`
	Lane     string `json:"lane"`     // "" is the general one
	Sequence uint64 `json:"sequence"` // of the chunk in the line's stream, from 1
	Index    uint32 `json:"index"`    // of the join in the chunk, from 0
	Chunk    []byte `json:"chunk"`    // the message's body, base64
	Leaf     uint64 `json:"leaf"`     // Sequence - 1
	TreeSize uint64 `json:"tree_size"`
	Path     []Hash `json:"path"`
	Before   uint64 `json:"before"` // joins of the same lane in earlier chunks
}

// Arrival is the arrival number that the receipt states.
func (r Receipt) Arrival() uint64 { return r.Before + uint64(r.Index) }

// Verify checks that the receipt proves a session's join under a root. An Invalid error tells what is wrong.
func (r Receipt) Verify(root Hash, session sale.SessionHash) error {
	if r.Sequence == 0 || r.Leaf != r.Sequence-1 {
		return sale.Errorf(sale.Invalid, "bad_receipt", "the chunk with sequence %d is not leaf %d", r.Sequence, r.Leaf)
	}
	lane, joined, ok := joinAt(r.Chunk, r.Index)
	switch {
	case !ok:
		return sale.Errorf(sale.Invalid, "bad_receipt", "the chunk has no join with index %d", r.Index)
	case lane != r.Lane:
		return sale.Errorf(sale.Invalid, "bad_receipt", "the chunk is of lane %q, not %q", lane, r.Lane)
	case joined != session:
		return sale.Errorf(sale.Invalid, "bad_receipt", "the join with index %d is another session's", r.Index)
	}
	return VerifyInclusion(root, r.TreeSize, r.Leaf, r.Chunk, r.Path)
}

const (
	generalChunk = 1
	laneChunk    = 2
	codeSize     = 8 // of the access code's id that follows a session in a priority lane
)

// joinAt reads one join of a chunk. It stands here, beside the format's owner in package events, because the
// verification of a draw rests on nothing but this package.
func joinAt(body []byte, index uint32) (lane string, session sale.SessionHash, ok bool) {
	size := len(session)
	switch {
	case len(body) >= 1 && body[0] == generalChunk:
		body = body[1:]
	case len(body) >= 2 && body[0] == laneChunk && len(body) >= 2+int(body[1]):
		name := 2 + int(body[1])
		lane, body, size = string(body[2:name]), body[name:], size+codeSize
	default:
		return "", session, false
	}
	if len(body)%size != 0 || uint64(index) >= uint64(len(body)/size) {
		return "", session, false
	}
	return lane, sale.SessionHash(body[int(index)*size:]), true
}
