-- Telemetry: one measured value a row. No key: publishers may repeat a point.
-- table: timeseries_metrics
-- time column: timestamp
CREATE TABLE timeseries_metrics (
  timestamp timestamptz NOT NULL,
  gateway_id text NOT NULL,
  agent_id text,
  metric_name text NOT NULL,
  metric_type text NOT NULL,
  device_id text,
  value double precision NOT NULL,
  unit text,
  tags jsonb,
  partition text,
  scale double precision,
  is_delta boolean DEFAULT false,
  target_device_ip text,
  if_index integer,
  metadata jsonb,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX timeseries_metrics_device ON timeseries_metrics (device_id, timestamp DESC);
CREATE INDEX timeseries_metrics_time ON timeseries_metrics (timestamp DESC);
