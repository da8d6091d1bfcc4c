-- First sequence that the consumer may have to deliver; everything below it is settled or was never wanted.
-- table: eventwriter_ledger
ALTER TABLE eventwriter_ledger ADD COLUMN first_seq bigint;
