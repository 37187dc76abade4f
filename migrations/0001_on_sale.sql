-- What is on sale.
CREATE TABLE events (
    event_id            text PRIMARY KEY CHECK (event_id ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
    name                text NOT NULL CHECK (name <> ''),
    currency            text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    state               text NOT NULL DEFAULT 'lobby' CHECK (state IN ('lobby', 'open', 'paused', 'closed')),
    rate                double precision NOT NULL CHECK (rate > 0 AND rate <= 1000000),
    opens_at            timestamptz,
    seats               integer NOT NULL CHECK (seats > 0),
    max_seats_per_hold  integer NOT NULL CHECK (max_seats_per_hold BETWEEN 1 AND 100),
    hold_ttl_ms         bigint NOT NULL CHECK (hold_ttl_ms BETWEEN 1000 AND 3600000),
    payment_window_ms   bigint NOT NULL CHECK (payment_window_ms BETWEEN 1000 AND 3600000),
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE seats (
    event_id  text NOT NULL REFERENCES events,
    seat_id   text NOT NULL CHECK (seat_id ~ '^[A-Za-z0-9._:/#-]{1,64}$'),
    ordinal   integer NOT NULL,
    zone      text NOT NULL,
    row_name  text NOT NULL,
    number    text NOT NULL,
    category  text NOT NULL,
    price     bigint NOT NULL CHECK (price > 0),
    x         double precision NOT NULL,
    y         double precision NOT NULL,
    PRIMARY KEY (event_id, seat_id),
    UNIQUE (event_id, ordinal)
);

-- What a checkout became.
CREATE TABLE orders (
    order_id      uuid PRIMARY KEY,
    event_id      text NOT NULL REFERENCES events,
    session       bytea NOT NULL CHECK (length(session) = 16),
    hold_id       uuid NOT NULL,
    seats         text[] NOT NULL CHECK (cardinality(seats) > 0),
    amount        bigint NOT NULL CHECK (amount > 0),
    currency      text NOT NULL,
    status        text NOT NULL CHECK (status IN ('processing', 'authentication_required', 'payment_failed',
                                                  'confirmed', 'rejected', 'voided', 'refunded')),
    reason        text NOT NULL DEFAULT '',
    request_hash  bytea NOT NULL CHECK (length(request_hash) = 32),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

-- Guarantee 1: a seat is sold once. This key decides; all else is there to make losing cheap.
CREATE TABLE sold_seats (
    event_id  text NOT NULL,
    seat_id   text NOT NULL,
    order_id  uuid NOT NULL REFERENCES orders,
    PRIMARY KEY (event_id, seat_id)
);

-- Every try to be paid. It is recorded before Stripe is called; its id is Stripe's idempotency key.
CREATE TABLE payment_attempts (
    attempt_id      uuid PRIMARY KEY,
    order_id        uuid NOT NULL REFERENCES orders,
    n               integer NOT NULL CHECK (n >= 1),
    state           text NOT NULL CHECK (state IN ('started', 'action_required', 'authorized', 'declined', 'captured', 'canceled')),
    intent_id       text UNIQUE,
    amount          bigint NOT NULL CHECK (amount > 0),
    currency        text NOT NULL,
    payment_method  text NOT NULL,
    client_secret   text NOT NULL DEFAULT '',
    reason          text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (order_id, n),
    CONSTRAINT money_has_an_intent CHECK (state IN ('started', 'declined', 'canceled') OR intent_id IS NOT NULL)
) WITH (fillfactor = 70);
-- A new attempt follows only a definite end of the one before.
CREATE UNIQUE INDEX one_live_attempt ON payment_attempts (order_id) WHERE state NOT IN ('declined', 'canceled');

-- What was changed and must be told. Written with the change, published by the relay, then removed.
CREATE TABLE outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream      text NOT NULL,
    subject     text NOT NULL,
    msg_id      text NOT NULL,
    payload     bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_stream ON outbox (stream, id);
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
