-- Whether the line is slowed down while payments take long.
ALTER TABLE events ADD COLUMN pace_by_payments boolean NOT NULL DEFAULT false;
