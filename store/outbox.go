package store

import (
	"context"
	"fmt"
	"hash/fnv"
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
)

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
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// The lock belongs to this connection, which therefore never goes back to the pool.
	conn := pooled.Hijack()
	defer conn.Close(context.WithoutCancel(ctx))
	if err := lead(ctx, conn, stream); err != nil {
		return err
	}
	// A removal that is lost in a crash is published once more, which changes nothing; no fsync need wait for it.
	if _, err := conn.Exec(ctx, "SET synchronous_commit = off"); err != nil {
		return err
	}
	idle := time.NewTimer(0)
	defer idle.Stop()
	for {
		n, err := relayOnce(ctx, conn, stream, publish)
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

// lead waits until this connection is the stream's one relay.
func lead(ctx context.Context, conn *pgx.Conn, stream string) error {
	h := fnv.New64a()
	h.Write([]byte("onsale relay " + stream))
	for {
		var leads bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(h.Sum64())).Scan(&leads); err != nil || leads {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(standbyPoll):
		}
	}
}

func relayOnce(ctx context.Context, conn *pgx.Conn, stream string, publish func(context.Context, []events.Outgoing) error) (int, error) {
	rows, err := conn.Query(ctx, `SELECT id, subject, msg_id, payload FROM outbox WHERE stream = $1 ORDER BY id LIMIT $2`, stream, relayBatch)
	if err != nil {
		return 0, err
	}
	var ids []int64
	var outs []events.Outgoing
	var id int64
	var out events.Outgoing
	if _, err = pgx.ForEachRow(rows, []any{&id, &out.Subject, &out.ID, &out.Data}, func() error {
		ids, outs = append(ids, id), append(outs, events.Outgoing{Subject: out.Subject, ID: out.ID, Data: append([]byte(nil), out.Data...)})
		return nil
	}); err != nil || len(ids) == 0 {
		return 0, err
	}
	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := publish(bounded, outs); err != nil {
		return 0, err
	}
	_, err = conn.Exec(ctx, `DELETE FROM outbox WHERE stream = $1 AND id = ANY ($2::bigint[])`, stream, ids)
	return len(ids), err
}
