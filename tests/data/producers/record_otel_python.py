"""
Record OpenTelemetry's SDK for Python: OTLP protobuf, OTLP/JSON, Zipkin JSON and the console exporters.

Needs opentelemetry-sdk and time-machine, and of opentelemetry-exporter-otlp-proto-http,
-otlp-json-http and -zipkin-json those that are installed: their versions exclude each other.
"""

import importlib
import io
import json
from importlib.metadata import version
from typing import Any

import time_machine
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, ConsoleLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.trace import NonRecordingSpan
from otel_spans import RESOURCE, TOLD, context_of, send_spans
from recording import capture_server, kept_headers, native, record, without_gzip_time

PRODUCER = f"opentelemetry-sdk (Python) {version('opentelemetry-sdk')}"


def send_metrics(exporter: Any) -> None:
    views = [View(instrument_name=m["name"], aggregation=a) for m in TOLD["metrics"] if (a := aggregation(m))]
    with time_machine.travel(int(TOLD["metrics_start_ns"]) / 1e9, tick=False) as clock:
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1e9)
        provider = MeterProvider([reader], RESOURCE, views=views, shutdown_on_exit=False)
        meter = provider.get_meter(TOLD["scope"]["name"], TOLD["scope"]["version"])
        for metric in TOLD["metrics"]:
            measure(meter, metric)
        clock.move_to(int(TOLD["metrics_time_ns"]) / 1e9, tick=False)
        provider.force_flush()
        exporter.export = lambda *args, **kwargs: None  # shutdown would send everything again
        provider.shutdown()


def aggregation(metric: dict[str, Any]) -> Any:
    if metric["instrument"] == "exponential_histogram":
        return ExponentialBucketHistogramAggregation(max_size=20)
    return ExplicitBucketHistogramAggregation(metric["bounds"]) if "bounds" in metric else None


def measure(meter: Any, metric: dict[str, Any]) -> None:
    kind = metric["instrument"].replace("exponential_", "")
    instrument = getattr(meter, f"create_{kind}")(metric["name"], metric["unit"], metric["description"])
    act = instrument.set if kind == "gauge" else instrument.record if kind == "histogram" else instrument.add
    for measured in metric["measured"]:
        act(native(measured["value"]), measured["attributes"])


def send_logs(processor: Any) -> None:
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(processor)
    logger = provider.get_logger(TOLD["scope"]["name"], TOLD["scope"]["version"])
    for told in TOLD["logs"]:
        context = Context()
        if told.get("trace_id"):
            context = trace.set_span_in_context(NonRecordingSpan(context_of(told)), context)
        logger.emit(
            LogRecord(
                timestamp=int(told["time_ns"]) if told["time_ns"] else None,
                observed_timestamp=int(told["observed_ns"]),
                context=context,
                severity_text=told["severity_text"] or None,
                severity_number=SeverityNumber(told["severity_number"]) if told["severity_number"] else None,
                body=native(told["body"]),
                attributes=native(told["attributes"]),
                event_name=told.get("event_name"),
            )
        )
    provider.shutdown()


def told_of(signal: str, form: str) -> dict[str, Any]:
    """Return told.json of one signal; the scenario is all that the SDK was told."""
    kinds = {"traces": "spans", "metrics": "metrics", "logs": "logs"}
    told = {
        "producer": PRODUCER,
        "kind": "logs" if signal == "logs" else f"otel_{signal}",
        "subject": {"traces": "otel.traces", "metrics": "otel.metrics", "logs": "logs.otlp"}[signal],
        "form": form,
        "resource": TOLD["resource"],
        "scope": TOLD["scope"],
        "records": TOLD[kinds[signal]],
    }
    if signal == "metrics":
        told |= {"start_ns": TOLD["metrics_start_ns"], "time_ns": TOLD["metrics_time_ns"]}
    return told


def record_otlp(package: str, folder: str, form: str, suffix: str) -> None:
    """Record all three signals with one OTLP exporter, plain and compressed."""
    spans = importlib.import_module(f"{package}.trace_exporter")
    metrics = importlib.import_module(f"{package}.metric_exporter")
    logs = importlib.import_module(f"{package}._log_exporter")
    for compression in ("none", "gzip"):
        chosen = {"compression": spans.Compression(compression)}
        with capture_server() as (url, received):
            send_spans(BatchSpanProcessor(spans.OTLPSpanExporter(f"{url}/v1/traces", **chosen)))
            send_metrics(metrics.OTLPMetricExporter(f"{url}/v1/metrics", **chosen))
            send_logs(BatchLogRecordProcessor(logs.OTLPLogExporter(f"{url}/v1/logs", **chosen)))
        assert [r.path for r in received] == ["/v1/traces", "/v1/metrics", "/v1/logs"], received
        for request in received:
            signal = request.path.rpartition("/")[2]
            compressed = compression == "gzip"
            body = without_gzip_time(request.body) if compressed else request.body
            name = f"{signal}_gzip.bin" if compressed else f"{signal}{suffix}"
            told = told_of(signal, f"{form}, gzip" if compressed else form)
            record(folder, name, body, told, kept_headers(request.headers))


def record_console() -> None:
    """Record what the console exporters print: one indented JSON object a span or log, one for all metrics."""
    out = io.StringIO()
    send_spans(SimpleSpanProcessor(ConsoleSpanExporter(out=out)))
    spans = objects_in(out.getvalue())
    told = told_of("traces", "console exporter, one span")
    by_id = {span["span_id"]: span for span in told["records"]}
    for text in spans:
        span = by_id[json.loads(text)["context"]["span_id"].removeprefix("0x")]
        name = f"span_{span['kind'].lower()}_{span['status'].lower()}.json"
        record("otel_python_console", name, text.encode(), {**told, "records": [span]})

    out = io.StringIO()
    send_metrics(ConsoleMetricExporter(out=out))
    told = told_of("metrics", "console exporter, one MetricsData")
    record("otel_python_console", "metrics.json", out.getvalue().encode(), told)

    out = io.StringIO()
    send_logs(SimpleLogRecordProcessor(ConsoleLogRecordExporter(out=out)))
    told = told_of("logs", "console exporter, one log record")
    for number, (text, log) in enumerate(zip(objects_in(out.getvalue()), TOLD["logs"], strict=True), 1):
        record("otel_python_console", f"log_{number}.json", text.encode(), {**told, "records": [log]})


def objects_in(text: str) -> list[str]:
    """Split a sequence of JSON objects, keeping the text of each."""
    found, at = [], 0
    while text[at:].strip():
        _, end = json.JSONDecoder().raw_decode(text, at)
        found.append(text[at:end] + "\n")
        at = end + 1
    return found


def record_zipkin() -> None:
    from opentelemetry.exporter.zipkin.json import ZipkinExporter

    with capture_server() as (url, received):
        send_spans(BatchSpanProcessor(ZipkinExporter(endpoint=f"{url}/api/v2/spans", local_node_ipv4="192.0.2.7")))
    [request] = received
    told = told_of("traces", "Zipkin v2 JSON array")
    told["producer"] = f"opentelemetry-exporter-zipkin-json (Python) {version('opentelemetry-exporter-zipkin-json')}"
    told["not_sent"] = ["trace_state", "links", "status_message of UNSET and OK", "types of attributes"]
    record("zipkin", "otel_python.json", request.body, told, kept_headers(request.headers))


def main() -> None:
    done = 0
    for package, folder, form, suffix in (
        ("opentelemetry.exporter.otlp.proto.http", "otel_python", "OTLP protobuf", ".bin"),
        ("opentelemetry.exporter.otlp.json.http", "otel_python_json", "OTLP/JSON", ".json"),
    ):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError:
            print(f"{package} is not installed; skipped")
            continue
        record_otlp(package, folder, form, suffix)
        done += folder == "otel_python"
    if done:
        record_console()
        record_zipkin()


if __name__ == "__main__":
    main()
