"""
Made-up but realistic messages, numbered, so that the books can be proven.

Each well-formed message carries its number (`n`); one in `GARBAGE_EVERY` is
garbage, because real subjects carry some, and must become a dead letter.
"""

import json
import random
from collections.abc import Callable

from eventwriter import clock

GARBAGE_EVERY = 997

_METRICS = (("cpu_usage", "percent"), ("memory_used", "bytes"), ("if_in_octets", "bytes"), ("icmp_rtt", "ns"))
_PORTS = (443, 80, 53, 22, 5432, 4222)


def _json(record: dict[str, object]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def _telemetry(rng: random.Random, n: int) -> bytes:
    name, unit = rng.choice(_METRICS)
    record = {
        "timestamp": clock.now_ns() // 1000,
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


def _netflow(rng: random.Random, n: int) -> bytes:
    record = {
        "timestamp": clock.now_ns() // 1_000_000,
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


MAKERS: dict[str, Callable[[random.Random, int], bytes]] = {"telemetry": _telemetry, "netflow": _netflow}
"""For each kind, the function that makes its message number `n`, well-formed."""

BOOKS = {
    "telemetry": "SELECT count(*), count(DISTINCT metadata->>'n') FROM timeseries_metrics",
    "netflow": "SELECT count(*), count(DISTINCT unmapped->>'n') FROM ocsf_network_activity",
}
"""For each kind: how many rows there are, and how many different messages they come from."""


def payload(kind: str, rng: random.Random, n: int) -> bytes:
    """Return message number `n` of `kind`; garbage at times."""
    if n % GARBAGE_EVERY == GARBAGE_EVERY - 1:
        return b"\x00 this is no JSON"
    return MAKERS[kind](rng, n)
