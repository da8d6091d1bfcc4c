-- ServiceRadar's tables of February to May 2026, in one schema named platform.
CREATE TABLE timeseries_metrics (timestamp timestamptz NOT NULL, gateway_id text NOT NULL, agent_id text,
  metric_name text NOT NULL, metric_type text NOT NULL, device_id text, value double precision NOT NULL, unit text,
  tags jsonb, partition text, scale double precision, is_delta boolean, target_device_ip text, if_index integer,
  metadata jsonb, series_key text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (timestamp, gateway_id, series_key));
CREATE TABLE events (event_timestamp timestamptz NOT NULL, specversion text, id text NOT NULL, source text, type text,
  datacontenttype text, subject text, remote_addr text, host text, level integer, severity text, short_message text,
  version text, raw_data text, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (event_timestamp, id));
CREATE TABLE ocsf_events (id uuid NOT NULL, time timestamptz NOT NULL, class_uid integer NOT NULL,
  category_uid integer NOT NULL, type_uid integer NOT NULL, activity_id integer NOT NULL, activity_name text,
  severity_id integer, severity text, message text, status_id integer, status text, status_code text,
  status_detail text, metadata jsonb NOT NULL DEFAULT '{}', observables jsonb NOT NULL DEFAULT '[]', trace_id text,
  span_id text, actor jsonb NOT NULL DEFAULT '{}', device jsonb NOT NULL DEFAULT '{}',
  src_endpoint jsonb NOT NULL DEFAULT '{}', dst_endpoint jsonb NOT NULL DEFAULT '{}', log_name text,
  log_provider text, log_level text, log_version text, unmapped jsonb NOT NULL DEFAULT '{}', raw_data text,
  created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (time, id));
CREATE TABLE netflow_metrics (timestamp timestamptz NOT NULL, src_ip inet, dst_ip inet, sampler_address inet,
  src_port integer, dst_port integer, protocol integer, bytes_total bigint, packets_total bigint, as_path integer[],
  bgp_communities integer[], partition text NOT NULL DEFAULT 'default', metadata jsonb, bgp_observation_id uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (timestamp, src_ip, dst_ip, protocol, src_port, dst_port));
CREATE TABLE otel_metrics (timestamp timestamptz NOT NULL, trace_id text, span_id text, service_name text,
  span_name text, span_kind text, duration_ms double precision, duration_seconds double precision, metric_type text,
  http_method text, http_route text, http_status_code text, grpc_service text, grpc_method text,
  grpc_status_code text, is_slow boolean, component text, level text, unit text,
  created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (timestamp, span_name, service_name, span_id));
CREATE TABLE otel_traces (timestamp timestamptz NOT NULL, trace_id text, span_id text, parent_span_id text, name text,
  kind integer, start_time_unix_nano bigint, end_time_unix_nano bigint, service_name text, service_version text,
  service_instance text, scope_name text, scope_version text, status_code integer, status_message text,
  attributes text, resource_attributes text, events text, links text,
  created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (timestamp, trace_id, span_id));
CREATE TABLE logs (timestamp timestamptz NOT NULL, id uuid NOT NULL DEFAULT gen_random_uuid(),
  observed_timestamp timestamptz, trace_id text, span_id text, trace_flags integer, severity_text text,
  severity_number integer, body text, event_name text, source text, service_name text, service_version text,
  service_instance text, scope_name text, scope_version text, scope_attributes text, attributes text,
  resource_attributes text, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (timestamp, id));
CREATE TABLE ocsf_network_activity (time timestamptz NOT NULL, class_uid integer NOT NULL DEFAULT 4001,
  category_uid integer NOT NULL DEFAULT 4, activity_id integer NOT NULL DEFAULT 6,
  type_uid integer NOT NULL DEFAULT 400106, severity_id integer NOT NULL DEFAULT 1, start_time timestamptz,
  end_time timestamptz, src_endpoint_ip text, src_endpoint_port integer, src_as_number integer, dst_endpoint_ip text,
  dst_endpoint_port integer, dst_as_number integer, protocol_num integer, protocol_name text, tcp_flags integer,
  bytes_total bigint, packets_total bigint, bytes_in bigint, bytes_out bigint, sampler_address text,
  ocsf_payload jsonb NOT NULL, partition text DEFAULT 'default', created_at timestamptz NOT NULL DEFAULT now());
-- Added on 28 February and 1 March.
ALTER TABLE ocsf_network_activity ADD protocol_source text, ADD tcp_flags_labels text[], ADD tcp_flags_source text,
  ADD dst_service_label text, ADD dst_service_source text, ADD direction_label text, ADD direction_source text,
  ADD src_hosting_provider text, ADD src_hosting_provider_source text, ADD dst_hosting_provider text,
  ADD dst_hosting_provider_source text, ADD src_mac text, ADD dst_mac text, ADD src_mac_vendor text,
  ADD src_mac_vendor_source text, ADD dst_mac_vendor text, ADD dst_mac_vendor_source text,
  ADD packets_in bigint NOT NULL DEFAULT 0, ADD packets_out bigint NOT NULL DEFAULT 0;
