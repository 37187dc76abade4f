package seatmap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
)

// Encoding is how an answer is compressed.
type Encoding uint8

// The encodings there are, the preferred one last.
const (
	Identity Encoding = iota
	Gzip
	Brotli
	encodings
)

// String is the encoding's name in HTTP.
func (e Encoding) String() string { return [...]string{"identity", "gzip", "br"}[e] }

// Encoded is bytes that are compressed when they are first asked for so, once for all who ask.
type Encoded struct {
	plain []byte
	once  [encodings]sync.Once
	bytes [encodings][]byte
	took  atomic.Int64 // nanoseconds that the making took
}

// worthwhile is the size in bytes below which compression saves no packet.
const worthwhile = 1200

// Bytes are the content as it is encoded, and the encoding: Identity where the content is too short to be compressed.
// The bytes must not be changed.
func (e *Encoded) Bytes(as Encoding) ([]byte, Encoding) {
	if as == Identity || len(e.plain) < worthwhile {
		return e.plain, Identity
	}
	e.once[as].Do(func() {
		began := time.Now()
		e.bytes[as] = compress(e.plain, as)
		e.took.Add(int64(time.Since(began)))
	})
	return e.bytes[as], as
}

// The levels of compression. A stadium of 60,000 seats takes 13 to 18 ms at these and has under 230 KB; higher ones take
// some times as long for a tenth less.
const (
	gzipLevel   = 3
	brotliLevel = 2
)

func compress(plain []byte, as Encoding) []byte {
	var out bytes.Buffer
	out.Grow(len(plain) / 10)
	var w io.WriteCloser = brotli.NewWriterV2(&out, brotliLevel)
	if as == Gzip {
		var err error
		if w, err = gzip.NewWriterLevel(&out, gzipLevel); err != nil {
			panic(fmt.Sprintf("seatmap: gzip: %v", err)) // a level that there is not
		}
	}
	_, err := w.Write(plain)
	if e := w.Close(); err != nil || e != nil {
		panic(fmt.Sprintf("seatmap: compress: %v, %v", err, e)) // a buffer takes everything
	}
	return out.Bytes()
}

// appendString appends a JSON string. Most ids need no escapes.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(fmt.Sprintf("seatmap: %v", err)) // a string always encodes
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
