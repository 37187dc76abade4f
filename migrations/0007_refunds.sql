-- A refund that changes its state is looked for in the orders that name it, by the foreign key.
CREATE INDEX orders_refunded_by ON orders (refunded_by) WHERE refunded_by IS NOT NULL;
