-- OpenTelemetry spans.
-- table: otel_traces
-- time column: timestamp
CREATE TABLE otel_traces (
  timestamp timestamptz NOT NULL,
  trace_id text NOT NULL,
  span_id text NOT NULL,
  parent_span_id text,
  name text,
  kind integer,
  start_time_unix_nano bigint,
  end_time_unix_nano bigint,
  service_name text,
  service_version text,
  service_instance text,
  scope_name text,
  scope_version text,
  status_code integer,
  status_message text,
  attributes text,
  resource_attributes text,
  events text,
  links text,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (timestamp, trace_id, span_id)
);
CREATE INDEX otel_traces_trace ON otel_traces (trace_id);
CREATE INDEX otel_traces_service ON otel_traces (service_name, timestamp DESC);
