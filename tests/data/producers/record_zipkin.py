"""Record py_zipkin: Zipkin v2 JSON as an encoder of its own writes it, not OpenTelemetry's exporter."""

from importlib.metadata import version
from typing import Any

import time_machine
from py_zipkin import Encoding, Kind
from py_zipkin.transport import BaseTransportHandler
from py_zipkin.zipkin import ZipkinAttrs, zipkin_span
from recording import record

START_S = 1767225600.125
TRACE, SPAN, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "a1b2c3d4e5f60718"


class Kept(BaseTransportHandler):
    def __init__(self) -> None:
        self.payloads: list[Any] = []

    def get_max_payload_bytes(self) -> None:
        return None

    def send(self, payload: Any) -> None:
        self.payloads.append(payload)


def main() -> None:
    kept = Kept()
    with time_machine.travel(START_S, tick=False) as clock:
        attributes = ZipkinAttrs(TRACE, SPAN, PARENT, "0", True)
        with zipkin_span(
            service_name="checkout",
            span_name="post /cart",
            transport_handler=kept,
            zipkin_attrs=attributes,
            kind=Kind.SERVER,
            host="192.0.2.7",
            port=8443,
            encoding=Encoding.V2_JSON,
            binary_annotations={
                "http.method": "POST",
                "http.path": "/cart",
                "http.status_code": "402",
                "error": "declined",
            },
        ) as span:
            span.add_annotation("card declined", timestamp=START_S + 0.1)
            clock.shift(0.25)
    told = {
        "producer": f"py_zipkin {version('py_zipkin')}",
        "kind": "otel_traces",
        "subject": "otel.traces",
        "form": "Zipkin v2 JSON array",
        "resource": {"service.name": "checkout"},
        "records": [
            {
                "name": "post /cart",
                "kind": "SERVER",
                "trace_id": TRACE,
                "span_id": SPAN,
                "parent_span_id": PARENT,
                "start_ns": "1767225600125000000",
                "end_ns": "1767225600375000000",
                "attributes": {
                    "http.method": "POST",
                    "http.path": "/cart",
                    "http.status_code": "402",
                    "error": "declined",
                },
                "local_endpoint": {"service_name": "checkout", "ipv4": "192.0.2.7", "port": 8443},
                "events": [{"name": "card declined", "time_ns": "1767225600225000000"}],
            }
        ],
    }
    [payload] = kept.payloads
    record("zipkin", "py_zipkin.json", payload.encode() if isinstance(payload, str) else payload, told)


if __name__ == "__main__":
    main()
