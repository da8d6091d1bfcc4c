"""Record the CloudEvents SDK for Python: structured, binary with ce-* headers, and batches."""

import base64
import datetime as dt
from importlib.metadata import version
from typing import Any

from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from recording import record

TIME = dt.datetime(2026, 1, 1, 0, 0, 0, 123456, dt.UTC)
ORDER = {
    "orderId": 1001,
    "total": 149.95,
    "paid": True,
    "gift": False,
    "coupon": "",
    "customer": {"name": "Žofie 🛒", "tags": ["vip", "north"]},
    "message": "order placed",
    "severity": "info",
}
GELF = {
    "version": "1.1",
    "host": "fw1.example",
    "short_message": "link down on ge-0/0/1",
    "full_message": "link down on ge-0/0/1\nreason: loss of signal",
    "timestamp": 1767225600.25,
    "level": 3,
    "_remote_addr": "192.0.2.44",
    "_interface": "ge-0/0/1",
    "_vlan": 120,
}
HEALTH = {
    "gateway_id": "gw-7",
    "previous_state": "healthy",
    "current_state": "offline",
    "timestamp": "2026-01-01T00:00:00.2Z",
    "host": "gw-7.example",
    "remote_addr": "192.0.2.45",
}

EVENTS: dict[str, tuple[dict[str, Any], Any]] = {
    "order": (
        {
            "id": "A234-1234-1234",
            "source": "/shop/orders",
            "type": "example.shop.order.placed",
            "time": TIME,
            "subject": "orders/1001",
            "datacontenttype": "application/json",
            "dataschema": "https://shop.example/schemas/order",
            "partitionkey": "zoe",
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        },
        ORDER,
    ),
    "gelf": (
        {
            "id": "0a1b2c3d-0000-4000-8000-00000000cafe",
            "source": "urn:gelf:relay",
            "type": "example.network.syslog",
            "time": TIME,
            "datacontenttype": "application/json",
        },
        GELF,
    ),
    "health": (
        {
            "id": "health-9",
            "source": "urn:gateway:gw-7",
            "type": "com.carverauto.serviceradar.gateway.health",
            "time": TIME,
            "datacontenttype": "application/json",
        },
        HEALTH,
    ),
    "text": (
        {"id": "T-1", "source": "/café/über", "type": "example.note", "time": TIME, "datacontenttype": "text/plain"},
        "café closed: 50 % off, back at 8",
    ),
    "bytes": (
        {
            "id": "B-1",
            "source": "/camera/3",
            "type": "example.frame",
            "time": TIME,
            "datacontenttype": "application/octet-stream",
        },
        b"\x00\x01\xfe\xffhi\x00",
    ),
    "no_data": (
        {"id": "N-1", "source": "/cron", "type": "example.tick", "time": TIME},
        None,
    ),  # binary: an empty message with headers
}


def told_of(form: str, *names: str) -> dict[str, Any]:
    return {
        "producer": f"cloudevents (Python) {version('cloudevents')}",
        "kind": "events",
        "subject": "events.orders",
        "form": form,
        "records": [told_record(*EVENTS[name]) for name in names],
    }


def told_record(attributes: dict[str, Any], data: Any) -> dict[str, Any]:
    time = attributes["time"]
    told = {key: value for key, value in attributes.items() if key != "time"}
    told["time_ns"] = str(int(time.timestamp()) * 10**9 + time.microsecond * 1000)
    told["data"] = {"$bytes": base64.b64encode(data).decode()} if isinstance(data, bytes) else data
    return told


def main() -> None:
    events = {}
    for name, (attributes, data) in EVENTS.items():
        events[name] = CloudEvent({"specversion": "1.0", **attributes}, data)
        structured = to_structured(events[name], JSONFormat())
        record(
            "cloudevents_python",
            f"{name}_structured.json",
            structured.body,
            told_of("CloudEvents 1.0, structured JSON", name),
            lower(structured.headers),
        )
        binary = to_binary(events[name], JSONFormat())
        suffix = {"text": "txt", "bytes": "bin", "no_data": "bin"}.get(name, "json")
        told = told_of("CloudEvents 1.0, binary: attributes in ce-* headers", name)
        record("cloudevents_python", f"{name}_binary.{suffix}", binary.body, told, lower(binary.headers))
    names = ("order", "gelf", "health", "text", "bytes", "no_data")
    batch = b"[" + b",".join(to_structured(events[name], JSONFormat()).body for name in names) + b"]"
    told = told_of("CloudEvents 1.0, batch", *names)
    told["note"] = "The SDK reads and writes no batches: its structured events, joined into an array."
    headers = {"content-type": "application/cloudevents-batch+json"}
    record("cloudevents_python", "batch.json", batch, told, headers)


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


if __name__ == "__main__":
    main()
