-- Log records.
-- table: logs
-- time column: timestamp
CREATE TABLE logs (
  timestamp timestamptz NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  observed_timestamp timestamptz,
  trace_id text,
  span_id text,
  trace_flags integer,
  severity_text text,
  severity_number integer,
  body text,
  event_name text,
  source text,
  service_name text,
  service_version text,
  service_instance text,
  scope_name text,
  scope_version text,
  scope_attributes text,
  attributes text,
  resource_attributes text,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (timestamp, id)
);
CREATE INDEX logs_service ON logs (service_name, timestamp DESC);
CREATE INDEX logs_trace ON logs (trace_id) WHERE trace_id <> '';
