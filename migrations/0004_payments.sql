-- What happens to money after it was taken. docs/payments.md has the whole machine.
ALTER TABLE payment_attempts DROP CONSTRAINT payment_attempts_state_check;
ALTER TABLE payment_attempts ADD CONSTRAINT payment_attempts_state_check CHECK (state IN
    ('started', 'action_required', 'authorized', 'declined', 'captured', 'canceled', 'disputed', 'charged_back', 'refunded'));
-- The sweep looks for those that nobody decides.
CREATE INDEX undecided_attempts ON payment_attempts (created_at) WHERE state IN ('started', 'action_required');
CREATE INDEX orders_newest ON orders (created_at, order_id);

-- Every try to pay an order back. It is recorded before Stripe is called; its id is Stripe's idempotency key.
CREATE TABLE refunds (
    refund_id   uuid PRIMARY KEY,
    order_id    uuid NOT NULL REFERENCES orders,
    attempt_id  uuid NOT NULL REFERENCES payment_attempts,
    n           integer NOT NULL CHECK (n >= 1),
    state       text NOT NULL CHECK (state IN ('requested', 'pending', 'succeeded', 'failed')),
    stripe_id   text UNIQUE,
    amount      bigint NOT NULL CHECK (amount > 0),
    currency    text NOT NULL,
    reason      text NOT NULL CHECK (reason <> ''),
    keep_seats  boolean NOT NULL DEFAULT false,
    failure     text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (order_id, n),
    UNIQUE (refund_id, state),
    CONSTRAINT stripe_knows_the_refund CHECK (state IN ('requested', 'failed') OR stripe_id IS NOT NULL),
    CONSTRAINT a_failure_says_why CHECK ((state = 'failed') = (failure <> ''))
);
-- A new refund follows only a definite failure of the one before.
CREATE UNIQUE INDEX one_live_refund ON refunds (order_id) WHERE state <> 'failed';
CREATE INDEX refunds_attempt ON refunds (attempt_id);

-- A refunded order names the refund that succeeded. The state stands beside the id so that the key can say so.
ALTER TABLE orders ADD COLUMN refunded_by uuid, ADD COLUMN refund_state text;
WITH undocumented AS (
    INSERT INTO refunds (refund_id, order_id, attempt_id, n, state, stripe_id, amount, currency, reason)
    SELECT DISTINCT ON (o.order_id) gen_random_uuid(), o.order_id, a.attempt_id, 1, 'succeeded', 'unrecorded:' || o.order_id, o.amount, o.currency,
        'made before refunds were recorded'
    FROM orders o JOIN payment_attempts a USING (order_id) WHERE o.status = 'refunded' ORDER BY o.order_id, a.n DESC
    RETURNING refund_id, order_id
)
UPDATE orders o SET refunded_by = u.refund_id, refund_state = 'succeeded' FROM undocumented u WHERE o.order_id = u.order_id;
UPDATE payment_attempts a SET state = 'refunded' FROM refunds r WHERE a.attempt_id = r.attempt_id AND a.state = 'captured';
ALTER TABLE orders
    ADD CONSTRAINT refunded_has_its_refund CHECK ((status = 'refunded') = (refunded_by IS NOT NULL)),
    ADD CONSTRAINT the_refund_succeeded CHECK ((refunded_by IS NULL AND refund_state IS NULL) OR refund_state = 'succeeded'),
    ADD CONSTRAINT orders_refund_fkey FOREIGN KEY (refunded_by, refund_state) REFERENCES refunds (refund_id, state);

-- What buyers' banks demand back, in Stripe's words.
CREATE TABLE disputes (
    dispute_id  text PRIMARY KEY CHECK (dispute_id <> ''),
    attempt_id  uuid NOT NULL REFERENCES payment_attempts,
    state       text NOT NULL CHECK (state IN ('warning_needs_response', 'warning_under_review', 'warning_closed',
                                               'needs_response', 'under_review', 'won', 'lost')),
    amount      bigint NOT NULL CHECK (amount >= 0),
    currency    text NOT NULL,
    reason      text NOT NULL,
    opened_at   timestamptz NOT NULL,
    closed_at   timestamptz,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT closed_has_its_time CHECK ((state IN ('warning_closed', 'won', 'lost')) = (closed_at IS NOT NULL))
);
CREATE INDEX disputes_attempt ON disputes (attempt_id);

-- Webhook events that have been dealt with. One that comes again does nothing. Kept for 30 days.
CREATE TABLE webhook_events (
    event_id     text PRIMARY KEY,
    type         text NOT NULL,
    received_at  timestamptz NOT NULL
);
CREATE INDEX webhook_events_age ON webhook_events (received_at);
