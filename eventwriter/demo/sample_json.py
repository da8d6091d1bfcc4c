"""Sample JSON messages, one function for each kind; each message carries its number `n`."""

import json
import random
import uuid

_METRICS = (("cpu_usage", "percent"), ("memory_used", "bytes"), ("if_in_octets", "bytes"), ("icmp_rtt", "ns"))
_PORTS = (443, 80, 53, 22, 5432, 4222)


def _json(record: dict[str, object]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def telemetry(rng: random.Random, n: int, now_ns: int) -> bytes:
    """Return a gauge sample."""
    name, unit = rng.choice(_METRICS)
    record = {
        "timestamp": now_ns // 1000,
        "gateway_id": f"gateway-{rng.randrange(3)}",
        "agent_id": f"agent-{rng.randrange(20)}",
        "metric_name": name,
        "metric_type": "gauge",
        "device_id": f"device-{rng.randrange(500)}",
        "value": round(rng.random() * 100, 3),
        "unit": unit,
        "tags": {"site": f"site-{rng.randrange(8)}"},
        "partition": "default",
        "metadata": {"n": n},
    }
    return _json(record)


def netflow(rng: random.Random, n: int, now_ns: int) -> bytes:
    """Return a flow record."""
    record = {
        "timestamp": now_ns // 1_000_000,
        "gateway_id": "gateway-0",
        "agent_id": f"agent-{rng.randrange(20)}",
        "device_id": f"router-{rng.randrange(5)}",
        "flow_direction": rng.choice(("ingress", "egress")),
        "src_addr": f"192.168.{rng.randrange(256)}.{rng.randrange(1, 255)}",
        "dst_addr": f"10.{rng.randrange(256)}.0.{rng.randrange(1, 255)}",
        "src_port": rng.randrange(1024, 65536),
        "dst_port": rng.choice(_PORTS),
        "protocol": rng.choice((6, 17)),
        "packets": rng.randrange(1, 1000),
        "octets": rng.randrange(40, 1_500_000),
        "sampler_address": "10.1.0.1",
        "input_snmp": 1,
        "output_snmp": 2,
        "n": n,
    }
    return _json(record)


def events(rng: random.Random, n: int, now_ns: int) -> bytes:
    """Return an OCSF event that reports a state change of a gateway."""
    gateway, severity = f"gateway-{rng.randrange(40)}", rng.choice((1, 3, 5))
    before, after = rng.sample(("healthy", "degraded", "offline"), 2)
    record = {
        "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "time": now_ns // 1_000_000,
        "class_uid": 1008,
        "category_uid": 1,
        "type_uid": 100801,
        "activity_id": 1,
        "activity_name": "Create",
        "severity_id": severity,
        "severity": {1: "Informational", 3: "Medium", 5: "Critical"}[severity],
        "message": f"Gateway {gateway} state {before} -> {after}",
        "metadata": {"version": "1.7.0", "product": {"vendor_name": "ServiceRadar", "name": "core"}},
        "observables": [{"name": gateway, "type": "Hostname", "type_id": 1}],
        "actor": {"app_name": "serviceradar.core"},
        "device": {"uid": gateway, "hostname": gateway},
        "log_name": "events.demo",
        "log_provider": "serviceradar.core",
        "log_level": "info",
        "unmapped": {"previous_state": before, "current_state": after, "n": n},
    }
    return _json(record)


def sweep(rng: random.Random, n: int, now_ns: int) -> bytes:
    """Return the result of a sweep for one host."""
    open_ports = sorted(rng.sample(_PORTS, rng.randrange(4)))
    record = {
        "host_ip": f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
        "gateway_id": f"gateway-{rng.randrange(3)}",
        "agent_id": f"agent-{rng.randrange(20)}",
        "partition": "default",
        "network_cidr": "10.0.0.0/8",
        "hostname": f"host-{rng.randrange(5000)}.example",
        "mac": f"02:00:00:00:{rng.randrange(256):02x}:{rng.randrange(256):02x}",
        "icmp_available": bool(open_ports),
        "icmp_response_time_ns": rng.randrange(100_000, 50_000_000),
        "icmp_packet_loss": 0.0,
        "tcp_ports_scanned": list(_PORTS),
        "tcp_ports_open": open_ports,
        "last_sweep_time": now_ns // 1000,
        "first_seen": now_ns // 1000 - 86_400_000_000,
        "metadata": {"n": str(n)},
    }
    return _json(record)


def readings(rng: random.Random, n: int, now_ns: int) -> bytes:
    """Return a record for a user's own table (kind `json`)."""
    record = {
        "sensorId": f"sensor-{rng.randrange(200)}",
        "takenAt": now_ns // 1_000_000,
        "temperature": round(rng.gauss(21, 4), 2),
        "humidity": round(rng.random(), 3),
        "battery": rng.randrange(101),
        "online": rng.random() < 0.98,
        "site": {"name": f"site-{rng.randrange(8)}", "floor": rng.randrange(12)},
        "firmware": "2.4.1",
        "number": n,
    }
    return _json(record)
