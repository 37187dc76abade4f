package double

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
)

// journalMode keeps the file to its owner: it holds client secrets.
const journalMode = 0o600

// entry is one line of the journal: what one call did. Answers and events mostly repeat an object of the
// same line, and then hold its id instead of its bytes.
type entry struct {
	Intents  []json.RawMessage `json:"pi,omitempty"`
	Charges  []json.RawMessage `json:"ch,omitempty"`
	Refunds  []json.RawMessage `json:"re,omitempty"`
	Disputes []json.RawMessage `json:"du,omitempty"`
	Events   []eventLine       `json:"ev,omitempty"`
	Keys     []keyLine         `json:"key,omitempty"`
	Done     []string          `json:"done,omitempty"`
}

type eventLine struct {
	event
	Object   json.RawMessage `json:"object,omitempty"`
	ObjectOf string          `json:"object_of,omitempty"`
}

type keyLine struct {
	Key     string          `json:"key"`
	Print   []byte          `json:"print"`
	Status  int             `json:"status"`
	Request string          `json:"request"`
	At      int64           `json:"at"`
	Body    json.RawMessage `json:"body,omitempty"`
	BodyOf  string          `json:"body_of,omitempty"`
}

// encode appends c as a line, its newline included: an entry. Objects are JSON that was made here, so they are put into
// it as they are; a JSON writer would read each of them again.
func encode(b []byte, c *change) []byte {
	l := line{b: append(b, '{'), c: c}
	objects(&l, "pi", c.intents)
	objects(&l, "ch", c.charges)
	objects(&l, "re", c.refunds)
	objects(&l, "du", c.disputes)
	items(&l, "ev", c.events, l.event)
	items(&l, "key", c.keys, l.key)
	items(&l, "done", c.done, func(id string) { l.b = appendString(l.b, id) })
	return append(l.b, '}', '\n')
}

// line is an entry that is being written.
type line struct {
	b []byte
	c *change
}

// items writes a member of an entry, where it has something.
func items[T any](l *line, name string, all []T, each func(T)) {
	if len(all) == 0 {
		return
	}
	if l.b[len(l.b)-1] != '{' {
		l.b = append(l.b, ',')
	}
	l.b = append(append(append(l.b, '"'), name...), `":[`...)
	for i, item := range all {
		if i > 0 {
			l.b = append(l.b, ',')
		}
		each(item)
	}
	l.b = append(l.b, ']')
}

// objects writes objects, to which what follows may refer.
func objects[T object](l *line, name string, all []T) {
	items(l, name, all, func(o T) { l.b = append(l.b, l.c.encoded(o)...) })
}

func (l *line) event(ev *event) {
	l.b = appendString(append(l.b, `{"id":`...), ev.ID)
	l.b = appendString(append(l.b, `,"type":`...), ev.Type)
	l.b = strconv.AppendInt(append(l.b, `,"created":`...), ev.Created, 10)
	l.b = appendString(append(l.b, `,"request":`...), ev.Request)
	l.b = appendString(append(l.b, `,"idempotency_key":`...), ev.Key)
	l.either("object", ev.object)
}

func (l *line) key(k *keyRecord) {
	l.b = appendString(append(l.b, `{"key":`...), k.key)
	l.b = base64.StdEncoding.AppendEncode(append(l.b, `,"print":"`...), k.print[:])
	l.b = strconv.AppendInt(append(l.b, `","status":`...), int64(k.status), 10)
	l.b = appendString(append(l.b, `,"request":`...), k.request)
	l.b = strconv.AppendInt(append(l.b, `,"at":`...), k.at, 10)
	body := l.c.rendered(k.made)
	if body == nil {
		body = k.answer()
	}
	l.either("body", body)
}

// either ends an item with its JSON, or with the id of the object of the line that has just that.
func (l *line) either(name string, raw json.RawMessage) {
	l.b = append(append(l.b, `,"`...), name...)
	for _, r := range l.c.renders {
		if bytes.Equal(r.raw, raw) {
			l.b = append(appendString(append(l.b, `_of":`...), r.of.key()), '}')
			return
		}
	}
	l.b = append(append(append(l.b, `":`...), raw...), '}')
}

// appendString appends s as JSON.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return append(b, mustJSON(s)...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// decode is the inverse of encode. Events keep the very bytes of the line.
func decode(line []byte) (*change, error) {
	var e entry
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, err
	}
	c := &change{done: e.Done}
	of := map[string]rendering{}
	for _, raw := range e.Intents {
		in := new(intent)
		if err := json.Unmarshal(raw, in); err != nil {
			return nil, err
		}
		c.intents, of[in.ID] = append(c.intents, in), rendering{in, raw}
	}
	for _, raw := range e.Charges {
		ch := new(charge)
		if err := json.Unmarshal(raw, ch); err != nil {
			return nil, err
		}
		c.charges, of[ch.ID] = append(c.charges, ch), rendering{ch, raw}
	}
	for _, raw := range e.Refunds {
		re := new(refund)
		if err := json.Unmarshal(raw, re); err != nil {
			return nil, err
		}
		c.refunds, of[re.ID] = append(c.refunds, re), rendering{re, raw}
	}
	for _, raw := range e.Disputes {
		d := new(dispute)
		if err := json.Unmarshal(raw, d); err != nil {
			return nil, err
		}
		c.disputes, of[d.ID] = append(c.disputes, d), rendering{d, raw}
	}
	for _, l := range e.Events {
		ev := l.event
		ev.object = l.Object
		if l.ObjectOf != "" {
			ev.object = of[l.ObjectOf].raw
		}
		c.events = append(c.events, &ev)
	}
	for _, l := range e.Keys {
		k := &keyRecord{key: l.Key, status: l.Status, request: l.Request, at: l.At, body: l.Body}
		copy(k.print[:], l.Print)
		if l.BodyOf != "" {
			k.made = of[l.BodyOf].of
		}
		c.keys = append(c.keys, k)
	}
	return c, nil
}

// journal is the open file. Double.mu guards it.
type journal struct {
	file *os.File
	size int64 // bytes of whole lines
	err  error // why nothing can be written any more
}

// write appends one line with one system call. A line that was written in part is cut off again, so that
// the next one doesn't continue it; when that fails too, the journal takes no more.
func (j *journal) write(line []byte) error {
	if j.err != nil {
		return j.err
	}
	n, err := j.file.Write(line)
	if err == nil {
		j.size += int64(n)
		return nil
	}
	if cut := j.file.Truncate(j.size); cut != nil {
		j.err = fmt.Errorf("repair journal after a failed write: %w", errors.Join(cut, err))
	}
	return fmt.Errorf("write journal: %w", err)
}

func (j *journal) close() error {
	if errors.Is(j.err, os.ErrClosed) {
		return nil
	}
	j.err = os.ErrClosed
	if err := j.file.Close(); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}

// readJournal gives each line's change to apply, in order. A last line without its newline was never
// answered for: it is logged and left out. A missing file is an empty one.
func readJournal(path string, log *slog.Logger, apply func(*change)) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewReaderSize(file, 1<<20)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(line) > 0 {
				log.Warn("dropped the torn last line of the journal", "path", path, "line", number, "bytes", len(line))
			}
			return nil
		}
		if err != nil {
			return err
		}
		c, err := decode(line)
		if err != nil {
			return fmt.Errorf("line %d is damaged: %w", number, err)
		}
		apply(c)
	}
}

// rewriteJournal replaces the file by the given changes and leaves it open for more. The old file stays
// whole until the new one is on disk under another name.
func rewriteJournal(path string, changes func(yield func(*change) bool)) (*journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	temp := path + ".compact"
	// O_APPEND also after the rename: a write always goes to the end, wherever a repair has put that.
	file, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, journalMode)
	if err != nil {
		return nil, err
	}
	j := &journal{file: file}
	buffered := bufio.NewWriterSize(file, 1<<20)
	var line []byte
	for c := range changes {
		line = encode(line[:0], c)
		n, err := buffered.Write(line)
		j.size += int64(n)
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	if err := errors.Join(buffered.Flush(), file.Sync()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}
