-- A sale fills these tables from nothing in minutes, and autovacuum would read them every time it looks, ten seconds
-- apart under `onsale up`. The statistics are of no use, since the plans of a sale don't depend on them, and what there
-- is to clean can wait until there are tens of thousands.
ALTER TABLE orders SET (autovacuum_analyze_threshold = 100000, autovacuum_vacuum_threshold = 50000, autovacuum_vacuum_insert_threshold = 100000);
ALTER TABLE payment_attempts SET (autovacuum_analyze_threshold = 100000, autovacuum_vacuum_threshold = 50000, autovacuum_vacuum_insert_threshold = 100000);
ALTER TABLE sold_seats SET (autovacuum_analyze_threshold = 100000, autovacuum_vacuum_insert_threshold = 100000);
ALTER TABLE webhook_events SET (autovacuum_analyze_threshold = 100000, autovacuum_vacuum_insert_threshold = 100000);
-- Relays empty it all the time: it is cleaned as often as before, and never analyzed.
ALTER TABLE outbox SET (autovacuum_analyze_threshold = 1000000000, autovacuum_vacuum_insert_threshold = 100000);
