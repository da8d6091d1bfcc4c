-- Network flows, one a row, flat.
-- table: netflow_metrics
-- time column: timestamp
CREATE TABLE netflow_metrics (
  timestamp timestamptz NOT NULL,
  gateway_id text,
  agent_id text,
  device_id text,
  flow_direction text,
  src_addr text,
  dst_addr text,
  src_port integer,
  dst_port integer,
  protocol integer,
  packets bigint,
  octets bigint,
  sampler_address text,
  input_snmp integer,
  output_snmp integer,
  metadata jsonb,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX netflow_metrics_time ON netflow_metrics (timestamp DESC);
