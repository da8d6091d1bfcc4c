"""Sample OTLP exports in protobuf, as a collector sends them; each record carries the message number `n`."""

import random

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

_SERVICES = ("checkout", "cart", "payment", "shipping", "frontend")
_ROUTES = ("/api/orders", "/api/orders/{id}", "/api/cart", "/healthz")
_LEVELS = ((9, "INFO"), (9, "INFO"), (9, "INFO"), (13, "WARN"), (17, "ERROR"))


def _attributes(**values: str | int | bool) -> list[KeyValue]:
    attributes = []
    for key, value in values.items():
        if isinstance(value, bool):
            any_value = AnyValue(bool_value=value)
        else:
            any_value = AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)
        attributes.append(KeyValue(key=key.replace("__", "."), value=any_value))
    return attributes


def _resource(rng: random.Random) -> Resource:
    service = rng.choice(_SERVICES)
    return Resource(
        attributes=_attributes(
            service__name=service,
            service__version="1.14.2",
            service__instance__id=f"{service}-{rng.randrange(4)}",
            host__name=f"node-{rng.randrange(12)}",
        )
    )


def traces(rng: random.Random, n: int, now_ns: int, records: int) -> bytes:
    """Return an export of `records` spans of one trace."""
    export = ExportTraceServiceRequest()
    group = export.resource_spans.add(resource=_resource(rng))
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = "io.example.http", "1.2.0"
    trace_id, root = rng.randbytes(16), rng.randbytes(8)
    for at in range(records):
        start_ns = now_ns + at * 1_000_000
        span = scope.spans.add(
            trace_id=trace_id,
            span_id=root if at == 0 else rng.randbytes(8),
            parent_span_id=b"" if at == 0 else root,
            name=f"GET {rng.choice(_ROUTES)}",
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=start_ns + rng.randrange(1_000_000, 400_000_000),
            attributes=_attributes(
                http__method="GET",
                http__route=rng.choice(_ROUTES),
                http__status_code=rng.choice((200, 200, 200, 404, 500)),
                net__peer__name=f"peer-{rng.randrange(50)}",
                retried=False,
                n=n,
            ),
        )
        span.status.code = Status.STATUS_CODE_OK
        if at % 10 == 0:
            span.events.add(time_unix_nano=start_ns + 1000, name="cache.miss", attributes=_attributes(key="cart"))
    return export.SerializeToString()


def metrics(rng: random.Random, n: int, now_ns: int, records: int) -> bytes:
    """Return an export of `records` data points, which belong to a gauge, a counter and a histogram in turn."""
    export = ExportMetricsServiceRequest()
    group = export.resource_metrics.add(resource=_resource(rng))
    scope = group.scope_metrics.add()
    scope.scope.name, scope.scope.version = "io.example.runtime", "1.2.0"
    gauge = scope.metrics.add(name="process.memory.usage", unit="By")
    counter = scope.metrics.add(name="http.server.requests", unit="{request}")
    counter.sum.is_monotonic = True
    counter.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    histogram = scope.metrics.add(name="http.server.duration", unit="ms")
    histogram.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    for at in range(records):
        attributes = _attributes(http__method="GET", http__route=rng.choice(_ROUTES), worker=at, n=n)
        times = {"time_unix_nano": now_ns, "start_time_unix_nano": now_ns - 60_000_000_000}
        if at % 3 == 0:
            gauge.gauge.data_points.add(as_int=rng.randrange(2**30), attributes=attributes, **times)
        elif at % 3 == 1:
            counter.sum.data_points.add(as_int=rng.randrange(10**6), attributes=attributes, **times)
        else:
            counts = [rng.randrange(100) for _ in range(6)]
            histogram.histogram.data_points.add(
                count=sum(counts),
                sum=float(sum(counts) * 12),
                bucket_counts=counts,
                explicit_bounds=[5, 10, 25, 50, 100],
                min=1.0,
                max=180.0,
                attributes=attributes,
                **times,
            )
    return export.SerializeToString()


def logs(rng: random.Random, n: int, now_ns: int, records: int) -> bytes:
    """Return an export of `records` log records."""
    export = ExportLogsServiceRequest()
    group = export.resource_logs.add(resource=_resource(rng))
    scope = group.scope_logs.add()
    scope.scope.name, scope.scope.version = "io.example.log", "1.2.0"
    for at in range(records):
        number, text = rng.choice(_LEVELS)
        scope.log_records.add(
            time_unix_nano=now_ns + at * 1000,
            observed_time_unix_nano=now_ns + at * 1000 + 500,
            severity_number=number,
            severity_text=text,
            body=AnyValue(string_value=f"order {rng.randrange(10**6)} is {rng.choice(('placed', 'paid', 'late'))}"),
            attributes=_attributes(
                logger="orders", thread=rng.randrange(32), http__route=rng.choice(_ROUTES), retried=False, n=n
            ),
            trace_id=rng.randbytes(16),
            span_id=rng.randbytes(8),
            flags=1,
        )
    return export.SerializeToString()
