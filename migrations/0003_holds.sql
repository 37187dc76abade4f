-- The most seats that a session gets in a sale, in all its orders together; 0 for no limit but that of a hold.
ALTER TABLE events ADD COLUMN max_seats_per_sale integer NOT NULL DEFAULT 0 CHECK (max_seats_per_sale BETWEEN 0 AND 10000);
