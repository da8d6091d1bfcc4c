"""
Write payloads of programs that could not be installed, as their formats are specified: origin `handwritten`.

telegraf, falcosidekick, Fluent Bit, Serilog, Suricata, goflow2 v1 and Cloudflare's goflow.
"""

import json
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from recording import record

TIME_NS = "1767225600123456000"


def told_of(producer: str, kind: str, subject: str, form: str, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "origin": "handwritten",
        "producer": producer,
        "kind": kind,
        "subject": subject,
        "form": form,
        "records": list(records),
    }


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def write_telegraf() -> None:
    cpu = {
        "fields": {"usage_idle": 97.5, "usage_user": 1.25, "usage_system": 0, "active": True, "model": "virtual"},
        "name": "cpu",
        "tags": {"cpu": "cpu-total", "host": "shop-1.example"},
        "timestamp": 1767225600,
    }
    disk = {
        "fields": {"free": 8589934593, "inodes_used": 0, "used_percent": 12.5},
        "name": "disk",
        "tags": {"host": "shop-1.example", "mode": "rw", "mount": "/srv"},
        "timestamp": 1767225600,
    }
    points = {
        "cpu": [
            ("cpu_usage_idle", 97.5, cpu["tags"]),
            ("cpu_usage_user", 1.25, cpu["tags"]),
            ("cpu_usage_system", 0, cpu["tags"]),
            ("cpu_active", 1, cpu["tags"]),
        ],
        "disk": [
            ("disk_free", 8589934593, disk["tags"]),
            ("disk_inodes_used", 0, disk["tags"]),
            ("disk_used_percent", 12.5, disk["tags"]),
        ],
    }
    kept = {"cpu": {"model": "virtual"}, "disk": {}}
    for name, payload, sources in (
        ("metric", cpu, ["cpu"]),
        ("batch", {"metrics": [cpu, disk]}, ["cpu", "disk"]),
        ("metric_ns", {**cpu, "timestamp": 1767225600123456789}, ["cpu"]),
    ):
        time_ns = "1767225600123456789" if name == "metric_ns" else "1767225600000000000"
        records = [
            {"name": metric, "value": value, "tags": tags, "time_ns": time_ns, "also_in_fields": kept[source]}
            for source in sources
            for metric, value, tags in points[source]
        ]
        form = f"Telegraf JSON, {'batch' if name == 'batch' else 'one metric'}"
        for kind, subject, suffix in (
            ("telemetry", "telemetry.telegraf", "telemetry"),
            ("otel_metrics", "otel.metrics", "otel_metrics"),
        ):
            told = told_of("Telegraf, data_format json", kind, subject, form, records)
            record("telegraf", f"{name}_{suffix}.json", compact(payload), told)


def write_falcosidekick() -> None:
    fields = {
        "evt.time": 1767225600123456789,
        "container.id": "4f1d2c3b5a69",
        "proc.cmdline": "sh -c 'id'",
        "user.uid": 0,
        "fd.name": None,
    }
    for priority, number in (("Critical", 18), ("Warning", 13), ("Notice", 10)):
        output = f"00:00:00.123456789: {priority} A shell was spawned in a container (user=root)"
        payload = {
            "uuid": "5b6d2f2a-9a0c-4c1e-8d1f-0a1b2c3d4e5f",
            "output": output,
            "priority": priority,
            "rule": "Terminal shell in container",
            "time": "2026-01-01T00:00:00.123456789Z",
            "source": "syscall",
            "output_fields": fields,
            "hostname": "node-1.example",
            "tags": ["container", "shell"],
        }
        entry = {
            "time_ns": "1767225600123456789",
            "level": priority,
            "severity_number": number,
            "body": output,
            "host": "node-1.example",
            "attributes": {
                "uuid": payload["uuid"],
                "rule": payload["rule"],
                "source": "syscall",
                "output_fields": fields,
                "tags": payload["tags"],
            },
        }
        told = told_of("falcosidekick, NATS output", "logs", "logs.falco", "falcosidekick JSON", [entry])
        record("falcosidekick", f"{priority.lower()}.json", compact(payload), told)


def write_fluent_bit() -> None:
    first = {"log": "card declined for order 1001", "stream": "stderr", "level": "error", "orderId": 1001}
    second = {"message": "cart opened", "level": "info", "kubernetes": {"pod_name": "shop-0", "host": "node-1.example"}}
    entries = [
        {
            "time_ns": TIME_NS,
            "level": "error",
            "severity_number": 17,
            "body": first["log"],
            "attributes": {"stream": "stderr", "orderId": 1001, "tag": "shop"},
        },
        {
            "time_ns": "1767225601000000000",
            "level": "info",
            "severity_number": 9,
            "body": second["message"],
            "attributes": {"kubernetes": second["kubernetes"], "tag": "shop"},
        },
    ]
    nats = [[1767225600.123456, {"tag": "shop", **first}], [1767225601, {"tag": "shop", **second}]]
    told = told_of("Fluent Bit, NATS output", "logs", "logs.fluent", "array of [timestamp, record]", entries)
    record("fluent_bit", "nats.json", compact(nats), told)
    untagged = [{**e, "attributes": {k: v for k, v in e["attributes"].items() if k != "tag"}} for e in entries]
    http = [{"date": 1767225600.123456, **first}, {"date": 1767225601, **second}]
    told = told_of(
        "Fluent Bit, HTTP output, format json", "logs", "logs.fluent", "array of records with date", untagged
    )
    record("fluent_bit", "http.json", compact(http), told)


def write_serilog() -> None:
    exception = "System.InvalidOperationException: insufficient funds\n   at Shop.Pay()"
    entry = {
        "time_ns": "1767225600123456700",
        "severity_number": 17,
        "level": "Error",
        "body": "Order 1001 of Žofie was declined",
        "attributes": {"OrderId": 1001, "Customer": "Žofie", "SourceContext": "Shop.Orders", "Paid": False},
        "error": {"message": exception},
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
    }
    template = "Order {OrderId} of {Customer} was declined"
    ids = {"@tr": entry["trace_id"], "@sp": entry["span_id"]}
    head = {"@t": "2026-01-01T00:00:00.1234567Z"}
    rendered = {
        **head,
        "@m": entry["body"],
        "@i": "7f2c1e09",
        "@l": "Error",
        "@x": exception,
        **ids,
        **entry["attributes"],
    }
    told = told_of("Serilog RenderedCompactJsonFormatter", "logs", "logs.serilog", "compact JSON with @m", [entry])
    record("serilog", "rendered.json", compact(rendered), told)

    plain = {**head, "@mt": template, "@x": exception, "@l": "Error", **ids, **entry["attributes"]}
    unrendered = [{**entry, "body": template}]
    told = told_of("Serilog CompactJsonFormatter", "logs", "logs.serilog", "compact JSON with @mt only", unrendered)
    record("serilog", "template.json", compact(plain), told)

    information = {key: entry[key] for key in ("time_ns", "attributes")}
    information |= {"level": None, "severity_number": 9, "body": "cart opened"}
    told = told_of(
        "Serilog RenderedCompactJsonFormatter", "logs", "logs.serilog", "no @l is Information", [information]
    )
    record("serilog", "information.json", compact({**head, "@m": "cart opened", **entry["attributes"]}), told)

    full = {
        "Timestamp": "2026-01-01T00:00:00.1234567+00:00",
        "Level": "Warning",
        "MessageTemplate": template,
        "RenderedMessage": entry["body"],
        "Properties": entry["attributes"],
    }
    warning = {**information, "level": "Warning", "severity_number": 13, "body": entry["body"]}
    told = told_of(
        "Serilog JsonFormatter, renderMessage", "logs", "logs.serilog", "JSON with RenderedMessage", [warning]
    )
    record("serilog", "json_formatter.json", compact(full), told)


def write_suricata() -> None:
    common = {
        "timestamp": "2026-01-01T01:00:00.123456+0100",
        "flow_id": 1038930578016525,
        "in_iface": "eth0",
        "src_ip": "10.1.2.3",
        "src_port": 51812,
        "dest_ip": "203.0.113.80",
        "dest_port": 443,
        "proto": "TCP",
        "host": "sensor-1.example",
    }
    alert = {
        "action": "allowed",
        "gid": 1,
        "signature_id": 2018358,
        "rev": 10,
        "signature": "Suspicious POST to a numeric host",
        "category": "Potentially Bad Traffic",
        "severity": 2,
    }
    addresses = {key: value for key, value in common.items() if key not in ("timestamp", "host")}
    entry = {
        "time_ns": TIME_NS,
        "level": None,
        "severity_number": None,
        "body": alert["signature"],
        "host": "sensor-1.example",
        "attributes": {**addresses, "event_type": "alert", "alert": alert},
    }
    told = told_of("Suricata, EVE", "logs", "logs.suricata", "EVE alert", [entry])
    record("suricata", "alert.json", compact({**common, "event_type": "alert", "alert": alert}), told)

    dns = {"type": "query", "id": 4711, "rrname": "example.com", "rrtype": "AAAA", "tx_id": 0}
    entry = {**entry, "body": None, "attributes": {**addresses, "event_type": "dns", "dns": dns}}
    told = told_of("Suricata, EVE", "logs", "logs.suricata", "EVE dns: an event without a message", [entry])
    record("suricata", "dns.json", compact({**common, "event_type": "dns", "dns": dns}), told)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def message(fields: dict[int, int | bytes]) -> bytes:
    """Encode a protobuf message of varints and bytes."""
    out = b""
    for number, value in sorted(fields.items()):
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        elif value:
            out += varint(number << 3) + varint(value)
    return out


FLOW = {
    "flow_source": "NETFLOW_V9",
    "sequence": 1000,
    "sampling_rate": 512,
    "sampler_address": "192.0.2.9",
    "time_received_ns": "1767225605000000000",
    "start_ns": "1767225600123000000",
    "end_ns": "1767225604987000000",
    "src_addr": "10.1.2.3",
    "dst_addr": "203.0.113.80",
    "src_port": 51812,
    "dst_port": 443,
    "proto": 6,
    "tcp_flags": 27,
    "tos": 40,
    "bytes": 150000,
    "packets": 120,
    "etype": 2048,
    "in_if": 3,
    "out_if": 7,
    "src_as": 64512,
    "dst_as": 64496,
    "flow_direction": 1,
    "ingress_vrf": 5,
    "egress_vrf": 6,
}


def v1_fields() -> dict[int, int | bytes]:
    """Return FLOW by the field numbers of goflow2 v1: 2, 5 and 38 are seconds, 63 and 64 milliseconds."""
    f: dict[str, Any] = FLOW
    return {
        1: 3,
        2: int(f["time_received_ns"]) // 10**9,
        3: f["sampling_rate"],
        4: f["sequence"],
        5: int(f["end_ns"]) // 10**9,
        6: ip_address(f["src_addr"]).packed,
        7: ip_address(f["dst_addr"]).packed,
        9: f["bytes"],
        10: f["packets"],
        11: ip_address(f["sampler_address"]).packed,
        14: f["src_as"],
        15: f["dst_as"],
        18: f["in_if"],
        19: f["out_if"],
        20: f["proto"],
        21: f["src_port"],
        22: f["dst_port"],
        23: f["tos"],
        26: f["tcp_flags"],
        30: f["etype"],
        38: int(f["start_ns"]) // 10**9,
        39: f["ingress_vrf"],
        40: f["egress_vrf"],
        42: f["flow_direction"],
        63: int(f["start_ns"]) // 10**6,
        64: int(f["end_ns"]) // 10**6,
    }


def write_goflow2_v1() -> None:
    fields = v1_fields()
    whole_seconds = {**FLOW, "start_ns": "1767225600000000000", "end_ns": "1767225604000000000"}
    without_ms = {number: value for number, value in fields.items() if number not in (63, 64)}

    def told(form: str, flow: dict[str, Any]) -> dict[str, Any]:
        return told_of("goflow2 v1", "netflow", "netflow.flows", form, [flow])

    framed = message(fields)
    record("goflow2_v1", "protobuf.bin", framed, told("protobuf without a prefix", FLOW))
    framed_told = {"framing": "length prefix", **told("protobuf, its length before it", FLOW)}
    record("goflow2_v1", "protobuf_framed.bin", varint(len(framed)) + framed, framed_told)
    record(
        "goflow2_v1",
        "protobuf_seconds.bin",
        message(without_ms),
        told("protobuf, times in seconds only", whole_seconds),
    )

    f: dict[str, Any] = FLOW
    common = {
        "TimeReceived": fields[2],
        "SequenceNum": f["sequence"],
        "SamplingRate": f["sampling_rate"],
        "FlowDirection": f["flow_direction"],
        "SamplerAddress": f["sampler_address"],
        "TimeFlowStart": fields[38],
        "TimeFlowEnd": fields[5],
        "TimeFlowStartMs": fields[63],
        "TimeFlowEndMs": fields[64],
        "Bytes": f["bytes"],
        "Packets": f["packets"],
        "SrcAddr": f["src_addr"],
        "DstAddr": f["dst_addr"],
        "Etype": f["etype"],
        "Proto": f["proto"],
        "SrcPort": f["src_port"],
        "DstPort": f["dst_port"],
        "InIf": f["in_if"],
        "OutIf": f["out_if"],
        "SrcMac": "00:00:00:00:00:00",
        "DstMac": "00:00:00:00:00:00",
        "SrcVlan": 0,
        "DstVlan": 0,
        "VlanId": 0,
        "NextHop": "",
        "SrcNet": 0,
        "DstNet": 0,
    }
    late = {"Type": "NETFLOW_V9", **common, "IpTos": 40, "TcpFlags": 27, "SrcAs": f["src_as"], "DstAs": f["dst_as"]}
    record(
        "goflow2_v1", "json.json", compact({**late, "IngressVrfId": 5, "EgressVrfId": 6}), told("JSON, late v1", FLOW)
    )
    early = {"Type": 3, **common, "IPTos": 40, "TCPFlags": 27, "SrcAS": f["src_as"], "DstAS": f["dst_as"]}
    for key in ("TimeFlowStartMs", "TimeFlowEndMs"):
        del early[key]
    payload = compact({**early, "IngressVrfID": 5, "EgressVrfID": 6})
    record(
        "goflow2_v1", "json_early.json", payload, told("JSON, early v1: AS, IP, TCP and ID in capitals", whole_seconds)
    )

    kept = ("vrf", "direction")
    old = {key: value for key, value in whole_seconds.items() if not any(word in key for word in kept)}
    old |= {"start_ns": None}
    fields = {number: value for number, value in without_ms.items() if number not in (38, 39, 40, 42)}
    told_old = told_of(
        "Cloudflare's goflow", "netflow", "netflow.flows", "protobuf; type 9 is NetFlow v9, field 5 the time", [old]
    )
    record("goflow2_v1", "cloudflare_goflow.bin", message({**fields, 1: 9}), told_old)


if __name__ == "__main__":
    write_telegraf()
    write_falcosidekick()
    write_fluent_bit()
    write_serilog()
    write_suricata()
    write_goflow2_v1()
