package events

import "onsale/internal/sale"

// A chunk of joins is one message: a version byte, then the 16-byte session hash of each join in order. The
// count stands in a header too, so that nodes can keep prefix sums from headers alone.
const chunkVersion = 1

const sessionSize = len(sale.SessionHash{})

// MaxChunk is how many joins a chunk can carry at most.
const MaxChunk = 4096

// EncodeChunk writes the joins of a chunk.
func EncodeChunk(sessions []sale.SessionHash) []byte {
	b := make([]byte, 1, 1+len(sessions)*sessionSize)
	b[0] = chunkVersion
	for i := range sessions {
		b = append(b, sessions[i][:]...)
	}
	return b
}

// DecodeChunk reads the joins of a chunk.
func DecodeChunk(b []byte) ([]sale.SessionHash, error) {
	if len(b) < 1+sessionSize || b[0] != chunkVersion || (len(b)-1)%sessionSize != 0 || (len(b)-1)/sessionSize > MaxChunk {
		return nil, sale.Errorf(sale.Invalid, "bad_chunk", "not a chunk of joins: %d bytes", len(b))
	}
	sessions := make([]sale.SessionHash, (len(b)-1)/sessionSize)
	for i := range sessions {
		sessions[i] = sale.SessionHash(b[1+i*sessionSize:])
	}
	return sessions, nil
}
