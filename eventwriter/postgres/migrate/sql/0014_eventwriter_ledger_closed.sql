-- When a newer epoch replaced this one; no row of a closed epoch is written any more.
-- table: eventwriter_ledger
ALTER TABLE eventwriter_ledger ADD COLUMN closed_at timestamptz;
