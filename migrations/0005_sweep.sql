-- When a payworker last looked at what nobody ends. It claims by this: several look at different ones, and those that
-- can't be ended yet stand behind the others.
ALTER TABLE payment_attempts ADD COLUMN looked_at timestamptz;
DROP INDEX undecided_attempts;
CREATE INDEX undecided_attempts ON payment_attempts (looked_at NULLS FIRST, created_at) WHERE state IN ('started', 'action_required');

ALTER TABLE refunds ADD COLUMN looked_at timestamptz;
CREATE INDEX undecided_refunds ON refunds (looked_at NULLS FIRST, created_at) WHERE state IN ('requested', 'pending');
