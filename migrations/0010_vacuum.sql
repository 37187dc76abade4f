-- A sale fills these tables from nothing in minutes, and Postgres would read them again and again to know them better. What
-- it learns is of no use: the plans of a sale don't depend on statistics. It looks after so many changes, or when told to.
ALTER TABLE orders SET (autovacuum_analyze_threshold = 100000, autovacuum_vacuum_threshold = 50000, autovacuum_vacuum_insert_threshold = 100000);
ALTER TABLE payment_attempts SET (autovacuum_analyze_threshold = 100000, autovacuum_vacuum_threshold = 50000, autovacuum_vacuum_insert_threshold = 100000);
ALTER TABLE sold_seats SET (autovacuum_analyze_threshold = 100000, autovacuum_vacuum_insert_threshold = 100000);
ALTER TABLE webhook_events SET (autovacuum_analyze_threshold = 100000, autovacuum_vacuum_insert_threshold = 100000);
ALTER TABLE outbox SET (autovacuum_analyze_threshold = 1000000000, autovacuum_vacuum_insert_threshold = 100000);
