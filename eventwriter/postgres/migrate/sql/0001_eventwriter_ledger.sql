-- Which stream sequences have their rows in this database: what makes a redelivery harmless.
-- table: eventwriter_ledger
CREATE TABLE eventwriter_ledger (
  stream text,
  incarnation timestamptz,   -- when the stream was created
  epoch int,                 -- counts how often the stream went backwards
  consumer text,             -- which durable
  filter_hash text,          -- over which subjects
  committed int8multirange NOT NULL DEFAULT '{}',
  last_seq bigint,           -- the highest of them
  last_timestamp timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream, incarnation, epoch, consumer, filter_hash)
);
