"""Tell OpenTelemetry's SDK for Python the scenario's spans; works with every version since 1.5."""

from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState
from recording import scenario

TOLD = scenario()
RESOURCE = Resource(TOLD["resource"])


class ToldIds(IdGenerator):
    """The scenario's span ids, in order; the trace id comes from the remote parent."""

    def __init__(self) -> None:
        self.spans = iter(TOLD["spans"])

    def generate_span_id(self) -> int:
        self.span = next(self.spans)
        return int(self.span["span_id"], 16)

    def generate_trace_id(self) -> int:
        raise AssertionError("every span of the scenario has a parent")


def send_spans(processor: Any) -> None:
    provider = TracerProvider(resource=RESOURCE, id_generator=ToldIds(), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer(TOLD["scope"]["name"], TOLD["scope"]["version"])
    opened: dict[str, Any] = {}
    for told in TOLD["spans"]:
        opened[told["span_id"]] = (told, start_span(tracer, told, opened))
    for told, span in opened.values():
        span.end(int(told["end_ns"]))
    provider.shutdown()


def start_span(tracer: Any, told: dict[str, Any], opened: dict[str, Any]) -> Any:
    _, parent = opened.get(told["parent_span_id"]) or (None, remote_parent(told))
    span = tracer.start_span(
        told["name"],
        context=trace.set_span_in_context(parent, Context()),
        kind=SpanKind[told["kind"]],
        attributes=told["attributes"],
        links=[Link(context_of(link), link["attributes"]) for link in told["links"]],
        start_time=int(told["start_ns"]),
    )
    for event in told["events"]:
        span.add_event(event["name"], event["attributes"], int(event["time_ns"]))
    if told["status"] != "UNSET":
        span.set_status(Status(StatusCode[told["status"]], told["status_message"] or None))
    return span


def remote_parent(told: dict[str, Any]) -> NonRecordingSpan:
    """Return the span of another process that the first one continues; the trace state comes with it."""
    state = TraceState.from_header([told["trace_state"]])
    ids = (int(told["trace_id"], 16), int(told["parent_span_id"], 16))
    return NonRecordingSpan(SpanContext(*ids, True, TraceFlags(1), state))


def context_of(told: dict[str, Any]) -> SpanContext:
    flags = TraceFlags(told.get("trace_flags", 1))
    return SpanContext(int(told["trace_id"], 16), int(told["span_id"], 16), True, flags, TraceState())
