-- CloudEvents and GELF, one event a row; a newer event of the same key replaces the older.
-- table: events
-- time column: event_timestamp
CREATE TABLE events (
  event_timestamp timestamptz NOT NULL,
  specversion text,
  id text NOT NULL,
  source text,
  type text,
  datacontenttype text,
  subject text,
  remote_addr text,
  host text,
  level integer,
  severity text,
  short_message text,
  version text,
  raw_data text,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (event_timestamp, id)
);
