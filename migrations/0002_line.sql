-- The draw. Its secret is known to the admitter alone until the lobby is sealed; its hash is public from the start.
ALTER TABLE events ADD COLUMN draw_secret bytea CHECK (length(draw_secret) = 32);
UPDATE events SET draw_secret = decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');
ALTER TABLE events ALTER COLUMN draw_secret SET NOT NULL;
-- A public random value, fixed when the event is created, as <chain>/<round>; empty for none.
ALTER TABLE events ADD COLUMN beacon text NOT NULL DEFAULT '';
-- The most shoppers inside; 0 for no such limit.
ALTER TABLE events ADD COLUMN shoppers integer NOT NULL DEFAULT 0 CHECK (shoppers >= 0);

-- Lines of their own for some arrivals, each with a share of the release.
CREATE TABLE lanes (
    event_id  text NOT NULL REFERENCES events,
    lane      text NOT NULL CHECK (lane ~ '^[a-z0-9][a-z0-9-]{0,19}$' AND lane <> 'general'),
    share     double precision NOT NULL CHECK (share >= 0 AND share < 1),
    made_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, lane)
);

-- Access codes are derived from their batch, so this is all that is kept of them.
CREATE TABLE code_batches (
    batch_id  uuid PRIMARY KEY,
    event_id  text NOT NULL,
    lane      text NOT NULL,
    codes     integer NOT NULL CHECK (codes BETWEEN 1 AND 1000000),
    uses      integer NOT NULL CHECK (uses BETWEEN 1 AND 65535),
    note      text NOT NULL DEFAULT '',
    made_at   timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (event_id, lane) REFERENCES lanes
);
CREATE INDEX code_batches_lane ON code_batches (event_id, lane);
