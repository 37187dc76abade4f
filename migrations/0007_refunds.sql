CREATE INDEX orders_refunded_by ON orders (refunded_by) WHERE refunded_by IS NOT NULL;
