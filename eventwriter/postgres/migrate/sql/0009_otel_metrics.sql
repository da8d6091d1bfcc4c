-- OpenTelemetry metrics, one data point a row, of all five kinds; and metrics derived from spans.
-- series_key tells points apart that differ only in their attributes.
-- table: otel_metrics
-- time column: timestamp
CREATE TABLE otel_metrics (
  timestamp timestamptz NOT NULL,
  trace_id text,
  span_id text NOT NULL,
  service_name text NOT NULL,
  span_name text NOT NULL,
  span_kind text,
  duration_ms double precision,
  duration_seconds double precision,
  metric_type text NOT NULL,
  http_method text,
  http_route text,
  http_status_code text,
  grpc_service text,
  grpc_method text,
  grpc_status_code text,
  is_slow boolean,
  component text,
  level text,
  unit text,
  value double precision,
  count bigint,
  sum double precision,
  min double precision,
  max double precision,
  buckets jsonb,
  quantiles jsonb,
  attributes jsonb,
  resource_attributes jsonb,
  scope_name text,
  scope_version text,
  temporality text,
  is_monotonic boolean,
  start_timestamp timestamptz,
  series_key text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (timestamp, span_name, service_name, span_id, metric_type, series_key)
);
CREATE INDEX otel_metrics_service ON otel_metrics (service_name, timestamp DESC);
