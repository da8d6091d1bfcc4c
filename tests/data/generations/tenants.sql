-- ServiceRadar's tables of January 2026: a schema for each tenant, and a tenant_id in every table.
CREATE TABLE timeseries_metrics (timestamp timestamptz NOT NULL, gateway_id text NOT NULL, agent_id text,
  metric_name text NOT NULL, metric_type text NOT NULL, device_id text, value double precision NOT NULL, unit text,
  tags jsonb, partition text, scale double precision, is_delta boolean DEFAULT false, target_device_ip text,
  if_index integer, metadata jsonb, tenant_id uuid NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE events (event_timestamp timestamptz NOT NULL, specversion text, id text NOT NULL, source text, type text,
  datacontenttype text, subject text, remote_addr text, host text, level integer, severity text, short_message text,
  version text, raw_data text, tenant_id uuid NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (event_timestamp, id), UNIQUE (id, event_timestamp));
CREATE TABLE ocsf_events (id uuid NOT NULL, time timestamptz NOT NULL, class_uid integer NOT NULL,
  category_uid integer NOT NULL, type_uid integer NOT NULL, activity_id integer NOT NULL, activity_name text,
  severity_id integer NOT NULL DEFAULT 1, severity text, message text, status_id integer, status text,
  status_code text, status_detail text, metadata jsonb, observables jsonb, trace_id text, span_id text, actor jsonb,
  device jsonb, src_endpoint jsonb, dst_endpoint jsonb, log_name text, log_provider text, log_level text,
  log_version text, unmapped jsonb, raw_data text, tenant_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (id, time));
CREATE TABLE sweep_host_states (host_ip text NOT NULL, gateway_id text NOT NULL, agent_id text NOT NULL,
  partition text NOT NULL, network_cidr text, hostname text, mac text, icmp_available boolean,
  icmp_response_time_ns bigint, icmp_packet_loss double precision, tcp_ports_scanned jsonb, tcp_ports_open jsonb,
  port_scan_results jsonb, last_sweep_time timestamptz NOT NULL, first_seen timestamptz, metadata jsonb,
  tenant_id uuid NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (host_ip, gateway_id, partition, last_sweep_time));
CREATE TABLE netflow_metrics (timestamp timestamptz NOT NULL, gateway_id text, agent_id text, device_id text,
  flow_direction text, src_addr text, dst_addr text, src_port integer, dst_port integer, protocol integer,
  packets bigint, octets bigint, sampler_address text, input_snmp integer, output_snmp integer, metadata jsonb,
  tenant_id uuid NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE otel_metrics (timestamp timestamptz NOT NULL, trace_id text, span_id text, service_name text,
  span_name text, span_kind text, duration_ms double precision, duration_seconds double precision, metric_type text,
  http_method text, http_route text, http_status_code text, grpc_service text, grpc_method text,
  grpc_status_code text, is_slow boolean, component text, level text, unit text, tenant_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (timestamp, span_name, service_name, span_id));
CREATE TABLE otel_traces (timestamp timestamptz NOT NULL, trace_id text, span_id text, parent_span_id text, name text,
  kind integer, start_time_unix_nano bigint, end_time_unix_nano bigint, service_name text, service_version text,
  service_instance text, scope_name text, scope_version text, status_code integer, status_message text,
  attributes text, resource_attributes text, events text, links text, tenant_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (timestamp, trace_id, span_id));
CREATE TABLE logs (timestamp timestamptz NOT NULL, id uuid NOT NULL DEFAULT gen_random_uuid(), trace_id text,
  span_id text, severity_text text, severity_number integer, body text, service_name text, service_version text,
  service_instance text, scope_name text, scope_version text, attributes jsonb DEFAULT '{}',
  resource_attributes jsonb DEFAULT '{}', tenant_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (timestamp, id));
-- What its processors wrote to; no migration of theirs ever made it.
CREATE TABLE ocsf_network_activity (id uuid NOT NULL, time timestamptz NOT NULL, class_uid integer,
  category_uid integer, type_uid integer, activity_id integer, severity_id integer, message text, severity text,
  activity_name text, action_id integer, action text, status_id integer, status text, status_code text,
  status_detail text, metadata jsonb, observables jsonb, src_endpoint jsonb, dst_endpoint jsonb, connection_info jsonb,
  traffic jsonb, protocol_name text, protocol_num integer, direction text, direction_id integer, duration bigint,
  device jsonb, actor jsonb, scan_type text, ports_scanned integer[], ports_open integer[], icmp_available boolean,
  response_time_ns bigint, unmapped jsonb, raw_data text, tenant_id uuid NOT NULL, gateway_id text, agent_id text,
  created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (id, time));
