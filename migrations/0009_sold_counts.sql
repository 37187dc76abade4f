-- How many seats of an event are sold, without counting them: the admitters look four times a second. Postgres keeps the
-- count with the seats, whoever writes them. It is in parts, so that transactions beside each other rarely wait for one
-- another's.
CREATE TABLE sold_counts (
    event_id text COLLATE "C" NOT NULL REFERENCES events,
    part     smallint NOT NULL,
    seats    bigint NOT NULL,
    PRIMARY KEY (event_id, part)
) WITH (fillfactor = 50);

CREATE FUNCTION count_sold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sold_counts AS c (event_id, part, seats)
    SELECT event_id, pg_backend_pid() % 64, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
    FROM changed GROUP BY event_id ORDER BY event_id
    ON CONFLICT (event_id, part) DO UPDATE SET seats = c.seats + excluded.seats;
    RETURN NULL;
END $$;
CREATE TRIGGER count_sold AFTER INSERT ON sold_seats REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_sold();
CREATE TRIGGER count_freed AFTER DELETE ON sold_seats REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_sold();

-- The triggers' lock keeps others from selling until the migration is done.
INSERT INTO sold_counts (event_id, part, seats) SELECT event_id, 0, count(*) FROM sold_seats GROUP BY event_id;
