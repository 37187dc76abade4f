package events

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// A message of JSON may hold several records of its subject, one a line, and then says in a header how many: what
// one transaction decided is one message, and one fsync. Readers are given them one by one.

// HeaderRecords counts the records of a message that holds more than one.
const HeaderRecords = "Record-Count"

// The bounds of a message of records.
const (
	maxRecords     = 64 // as many as a worker handles at once
	maxRecordBytes = 256 << 10
)

// Pack joins neighbours of the same subject into messages of records, in their order. The id of such a message
// is made of all its records' ids, so that one with another record in it is another message.
func Pack(outs []Outgoing) []Outgoing {
	var packed []Outgoing
	for len(outs) > 0 {
		n, size := 1, len(outs[0].Data)
		for n < len(outs) && n < maxRecords && joins(outs[0], outs[n]) && size+1+len(outs[n].Data) <= maxRecordBytes {
			size += 1 + len(outs[n].Data)
			n++
		}
		packed = append(packed, pack(outs[:n]))
		outs = outs[n:]
	}
	return packed
}

// joins says whether two messages may be records of one.
func joins(a, b Outgoing) bool {
	return a.Subject == b.Subject && isRecord(a) && isRecord(b)
}

func isRecord(o Outgoing) bool {
	return o.ID != "" && len(o.Header) == 0 && o.ExpectLast == nil && !bytes.ContainsRune(o.Data, '\n')
}

func pack(outs []Outgoing) Outgoing {
	if len(outs) == 1 {
		return outs[0]
	}
	ids := sha256.New()
	lines := make([][]byte, len(outs))
	for i, o := range outs {
		ids.Write([]byte(o.ID))
		ids.Write([]byte{'\n'})
		lines[i] = o.Data
	}
	return Outgoing{
		Subject: outs[0].Subject, ID: "records:" + hex.EncodeToString(ids.Sum(nil)),
		Header: map[string]string{HeaderRecords: strconv.Itoa(len(outs))}, Data: bytes.Join(lines, []byte{'\n'}),
	}
}

// RecordCount is how many records the message holds.
func (o Outgoing) RecordCount() int {
	n, err := strconv.Atoi(o.Header[HeaderRecords])
	if err != nil {
		return 1
	}
	return n
}

// Records are the records of a message, each as a message of its own with its number in Record. A message that
// does not hold what its header says is one record, which no handler can read.
func (m Message) Records() []Message {
	count, counted := m.Header[HeaderRecords]
	if !counted {
		return []Message{m}
	}
	lines := bytes.Split(m.Data, []byte{'\n'})
	if count != strconv.Itoa(len(lines)) {
		return []Message{m}
	}
	records := make([]Message, len(lines))
	for i, line := range lines {
		records[i] = m
		records[i].Data, records[i].Record = line, i
	}
	return records
}
