"""Record version 1.9 of OpenTelemetry's SDK for Python: spans in `instrumentation_library_spans`, field 2 of 2021."""

from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from otel_spans import TOLD, send_spans
from recording import capture_server, kept_headers, record


def main() -> None:
    with capture_server() as (url, received):
        send_spans(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    [request] = received
    told = {
        "producer": f"opentelemetry-sdk (Python) {version('opentelemetry-sdk')}",
        "kind": "otel_traces",
        "subject": "otel.traces",
        "form": "OTLP protobuf, pre-2022 instrumentation library",
        "resource": TOLD["resource"],
        "scope": TOLD["scope"],
        "records": TOLD["spans"],
    }
    record("otel_python_old", "traces.bin", request.body, told, kept_headers(request.headers))


if __name__ == "__main__":
    main()
