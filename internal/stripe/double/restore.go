package double

// restore reads the journal into the state, queues the events that were not delivered, and rewrites the
// journal without what nobody needs any more: old versions of objects, expired keys, delivered events.
func (d *Double) restore() error {
	var events []*event
	done := map[string]bool{}
	err := readJournal(d.cfg.JournalPath, d.log, func(c *change) {
		d.state.apply(c)
		for _, k := range c.keys {
			d.keys.store(k)
		}
		events = append(events, c.events...)
		for _, id := range c.done {
			done[id] = true
		}
	})
	if err != nil {
		return err
	}
	d.keys.expire(d.cfg.Now().Unix())
	undelivered := events[:0]
	for _, ev := range events {
		if !done[ev.ID] {
			undelivered = append(undelivered, ev)
		}
	}
	clear(events[len(undelivered):]) // lets go of the delivered ones
	d.journal, err = rewriteJournal(d.cfg.JournalPath, func(yield func(*change) bool) {
		d.everything(undelivered, yield)
	})
	if err != nil {
		return err
	}
	if d.cfg.WebhookURL != "" {
		d.courier.restore(undelivered)
	}
	return nil
}

// everything yields the state as changes, one object each, in an order that apply can take.
func (d *Double) everything(events []*event, yield func(*change) bool) {
	for _, in := range d.state.intents.items {
		if !yield(&change{intents: []*intent{in}}) {
			return
		}
	}
	for _, ch := range d.state.charges.items {
		if !yield(&change{charges: []*charge{ch}}) {
			return
		}
	}
	for _, re := range d.state.refunds.items {
		if !yield(&change{refunds: []*refund{re}}) {
			return
		}
	}
	for _, du := range d.state.disputes.items {
		if !yield(&change{disputes: []*dispute{du}}) {
			return
		}
	}
	for _, k := range d.keys.oldest {
		if !yield(&change{keys: []*keyRecord{k}}) {
			return
		}
	}
	for _, ev := range events {
		if !yield(&change{events: []*event{ev}}) {
			return
		}
	}
}

// commit runs a command and makes its change durable, then part of the state, then known to the webhooks:
// all of it or, when the journal can't be written, none. rec is the key's record to complete, nil for a
// call without one. It returns the answer.
func (d *Double) commit(t *tx, rec *keyRecord, run command) (status int, body []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.state = d.state
	t.mute = d.mute
	// Never earlier than what exists, whatever the clock does: pages are searched by time.
	t.now = max(d.cfg.Now().Unix(), d.state.intents.newest(), d.state.refunds.newest(), d.state.disputes.newest())

	made, failed := run(t)
	if failed != nil {
		status, body = failed.status, failed.body()
	} else {
		status, body = 200, t.encoded(made)
	}
	if rec != nil {
		rec.status, rec.request, rec.at = status, t.request, d.cfg.Now().Unix()
		if rec.made = made; failed != nil {
			rec.made, rec.body = nil, body
		}
		t.keys = append(t.keys, rec)
	}
	if t.empty() {
		return status, body
	}
	t.done = d.done
	if err := d.write(&t.change); err != nil {
		d.log.Error("refuse a call", "error", err)
		failed = serverError()
		return failed.status, failed.body()
	}
	d.done = d.done[:0]
	d.state.apply(&t.change)
	if rec != nil {
		d.keys.store(rec)
	}
	d.tell(t.events)
	return status, body
}

// write puts a change into the journal, if there is one. The caller holds mu.
func (d *Double) write(c *change) error {
	if d.journal == nil {
		return nil
	}
	d.line = encode(d.line[:0], c)
	return d.journal.write(d.line)
}

// markDone notes that an event needs no more delivery. The mark rides along with the next call's line; if
// it is lost with the process, the event is delivered once more, which receivers must expect anyway.
func (d *Double) markDone(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.journal == nil {
		return
	}
	d.done = append(d.done, id)
	if len(d.done) < flushBatch {
		return
	}
	if err := d.flushLocked(); err != nil {
		d.log.Error("write delivery marks", "error", err)
	}
}

// flushDone writes the marks that are waiting.
func (d *Double) flushDone() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.flushLocked()
}

func (d *Double) flushLocked() error {
	if len(d.done) == 0 {
		return nil
	}
	if err := d.write(&change{done: d.done}); err != nil {
		return err
	}
	d.done = d.done[:0]
	return nil
}
