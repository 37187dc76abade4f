package events

import "onsale/internal/sale"

// A chunk of joins is one message, and all of one lane. In the general lane it is a version byte (1), then the
// 16-byte session hash of each join in order. In a priority lane it is a version byte (2), the length of the lane's
// name in a byte, the name, then for each join the session hash and the 8-byte id of the access code that let it in.
// The count and the lane stand in headers too, so that nodes can keep prefix sums from headers alone.
const (
	generalChunk = 1
	laneChunk    = 2
)

const sessionSize = len(sale.SessionHash{})

// CodeID names an access code within its event.
type CodeID [8]byte

const laneRecordSize = sessionSize + len(CodeID{})

// MaxChunk is how many joins a chunk can carry at most.
const MaxChunk = 4096

// Chunk is the joins of one message.
type Chunk struct {
	Lane     string // "" is the general one
	Sessions []sale.SessionHash
	Codes    []CodeID // one a session in a priority lane; nil in the general one
}

// Encode writes the joins of a chunk.
func (c Chunk) Encode() []byte {
	if c.Lane == "" {
		b := make([]byte, 1, 1+len(c.Sessions)*sessionSize)
		b[0] = generalChunk
		for i := range c.Sessions {
			b = append(b, c.Sessions[i][:]...)
		}
		return b
	}
	b := make([]byte, 0, 2+len(c.Lane)+len(c.Sessions)*laneRecordSize)
	b = append(b, laneChunk, byte(len(c.Lane)))
	b = append(b, c.Lane...)
	for i := range c.Sessions {
		b = append(b, c.Sessions[i][:]...)
		b = append(b, c.Codes[i][:]...)
	}
	return b
}

// DecodeChunk reads the joins of a chunk. What it can't read is Invalid.
func DecodeChunk(b []byte) (Chunk, error) {
	bad := sale.Errorf(sale.Invalid, "bad_chunk", "not a chunk of joins: %d bytes", len(b))
	var c Chunk
	if len(b) == 0 {
		return c, bad
	}
	size, records := sessionSize, b[1:]
	if b[0] == laneChunk {
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return c, bad
		}
		named := 2 + int(b[1])
		if c.Lane = string(b[2:named]); sale.CheckLane(c.Lane) != nil {
			return Chunk{}, bad
		}
		records, size = b[named:], laneRecordSize
	} else if b[0] != generalChunk {
		return c, bad
	}
	n := len(records) / size
	if n < 1 || n > MaxChunk || len(records)%size != 0 {
		return Chunk{}, bad
	}
	c.Sessions = make([]sale.SessionHash, n)
	if c.Lane != "" {
		c.Codes = make([]CodeID, n)
	}
	for i := range c.Sessions {
		record := records[i*size:]
		c.Sessions[i] = sale.SessionHash(record)
		if c.Lane != "" {
			c.Codes[i] = CodeID(record[sessionSize:])
		}
	}
	return c, nil
}
