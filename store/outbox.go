package store

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"onsale/events"
)

// The relay's bounds.
const (
	relayBatch  = 500
	relayPoll   = 25 * time.Millisecond // how often an empty outbox is looked at: a NOTIFY would line up all commits behind one lock
	relayRetry  = 500 * time.Millisecond
	standbyPoll = time.Second
	relayLimit  = 10 * time.Second // of a statement, and of publishing
)

// relaySession is how a relay's connection is set. A removal that is lost in a crash is published once more, which changes
// nothing: no fsync need wait for it. And a relay is never idle for longer than it publishes. Where its host has died
// without a word, Postgres would keep its lock for as long as TCP hopes: hours, or many minutes where it was being answered.
const relaySession = `SET synchronous_commit = off; SET idle_session_timeout = '15s'; SET tcp_user_timeout = '15s'`

// messageID names what is told of a change: of what, what became of it, and when. Repeats of the relay are under the same
// id. A change that a failover or a backup took back, and that is made and told again, is not: the broker would drop it.
func messageID(of, outcome string, at time.Time) string {
	return of + ":" + outcome + ":" + strconv.FormatInt(at.UnixMicro(), 10)
}

// Relay publishes a stream's outbox, in order, until ctx ends. Of all the relays of a stream, in all processes,
// one is active: it holds an advisory lock for as long as its connection lives, and another takes over after
// that. Rows are removed after publish returned, so a crash publishes some again, perhaps with others
// in one message. It returns only when ctx ends; failures are given to report and tried again.
func (s *Store) Relay(ctx context.Context, stream string, publish func(context.Context, []events.Outgoing) error, report func(error)) {
	for ctx.Err() == nil {
		if err := s.relay(ctx, stream, publish); err != nil && ctx.Err() == nil {
			report(fmt.Errorf("relay %s: %w", stream, err))
			select {
			case <-ctx.Done():
			case <-time.After(relayRetry):
			}
		}
	}
}

func (s *Store) relay(ctx context.Context, stream string, publish func(context.Context, []events.Outgoing) error) error {
	bounded, cancel := context.WithTimeout(ctx, relayLimit)
	pooled, err := s.pool.Acquire(bounded)
	cancel()
	if err != nil {
		return err
	}
	// The lock belongs to this connection, which therefore never goes back to the pool.
	conn := relayConn{pooled.Hijack()}
	defer conn.end(ctx)
	if err := conn.exec(ctx, relaySession); err != nil {
		return err
	}
	if err := conn.lead(ctx, stream); err != nil {
		return err
	}
	idle := time.NewTimer(0)
	defer idle.Stop()
	for {
		n, err := conn.relayOnce(ctx, stream, publish)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		idle.Reset(relayPoll)
		select {
		case <-idle.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// relayConn is a relay's connection. It waits for no answer for longer than relayLimit: a host that died says nothing.
type relayConn struct{ *pgx.Conn }

func (c relayConn) exec(ctx context.Context, sql string, args ...any) error {
	bounded, cancel := context.WithTimeout(ctx, relayLimit)
	defer cancel()
	_, err := c.Exec(bounded, sql, args...)
	return err
}

func (c relayConn) end(ctx context.Context) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayLimit)
	defer cancel()
	_ = c.Close(bounded)
}

// lead waits until this connection is the stream's one relay.
func (c relayConn) lead(ctx context.Context, stream string) error {
	h := fnv.New64a()
	h.Write([]byte("onsale relay " + stream))
	for {
		leads, err := c.locks(ctx, int64(h.Sum64()))
		if err != nil || leads {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(standbyPoll):
		}
	}
}

func (c relayConn) locks(ctx context.Context, key int64) (locked bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, relayLimit)
	defer cancel()
	err = c.QueryRow(bounded, `SELECT pg_try_advisory_lock($1)`, key).Scan(&locked)
	return locked, err
}

func (c relayConn) relayOnce(ctx context.Context, stream string, publish func(context.Context, []events.Outgoing) error) (int, error) {
	ids, outs, err := c.read(ctx, stream)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	bounded, cancel := context.WithTimeout(ctx, relayLimit)
	defer cancel()
	if err := publish(bounded, outs); err != nil {
		return 0, err
	}
	return len(ids), c.exec(ctx, `DELETE FROM outbox WHERE stream = $1 AND id = ANY ($2::bigint[])`, stream, ids)
}

// read returns the first rows of a stream's outbox.
func (c relayConn) read(ctx context.Context, stream string) (ids []int64, outs []events.Outgoing, err error) {
	bounded, cancel := context.WithTimeout(ctx, relayLimit)
	defer cancel()
	rows, err := c.Query(bounded, `SELECT id, subject, msg_id, payload FROM outbox WHERE stream = $1 ORDER BY id LIMIT $2`, stream, relayBatch)
	if err != nil {
		return nil, nil, err
	}
	var id int64
	var out events.Outgoing
	_, err = pgx.ForEachRow(rows, []any{&id, &out.Subject, &out.ID, &out.Data}, func() error {
		ids, outs = append(ids, id), append(outs, events.Outgoing{Subject: out.Subject, ID: out.ID, Data: append([]byte(nil), out.Data...)})
		return nil
	})
	return ids, outs, err
}
