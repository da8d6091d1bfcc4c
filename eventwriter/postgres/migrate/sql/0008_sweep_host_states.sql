-- Network sweeps: what was found of a host, each time it was looked at.
-- table: sweep_host_states
-- time column: last_sweep_time
CREATE TABLE sweep_host_states (
  host_ip text NOT NULL,
  gateway_id text NOT NULL,
  agent_id text NOT NULL,
  partition text NOT NULL,
  network_cidr text,
  hostname text,
  mac text,
  icmp_available boolean,
  icmp_response_time_ns bigint,
  icmp_packet_loss double precision,
  tcp_ports_scanned jsonb,
  tcp_ports_open jsonb,
  port_scan_results jsonb,
  last_sweep_time timestamptz NOT NULL,
  first_seen timestamptz,
  metadata jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (host_ip, gateway_id, partition, last_sweep_time)
);
