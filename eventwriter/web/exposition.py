"""
Renders the snapshot in Prometheus's text format, by the table in `observe.metrics`.

The only module that imports prometheus_client. Nothing is counted here: each scrape renders
the newest snapshot of the supervisor.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from eventwriter.model import SlotName
from eventwriter.observe import metrics
from eventwriter.observe.histogram import counts, total
from eventwriter.observe.metrics import Kind

Fields = Mapping[str, Any]
"""Fields of the snapshot, of one of its slots, or of a process."""
Labelled = list[tuple[tuple[str, ...], Fields]]
"""Label values of each subject, and its fields."""
Family = CounterMetricFamily | GaugeMetricFamily


class Exposition(Collector):
    """
    Collector for one snapshot.

    Args:
        snapshot: Result of the command `status`.
        age_s: Its age.
    """

    def __init__(self, snapshot: Fields, age_s: float) -> None:
        self._snapshot, self._age_s = snapshot, age_s

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families in the order of the table."""
        bounds = self._snapshot["histogram_bounds"]
        slots: Labelled = [(slot_labels(slot["name"]), slot_fields(slot)) for slot in self._snapshot["slots"]]
        for metric in metrics.SLOT_METRICS:
            if metric.kind is Kind.HISTOGRAM:
                yield histogram(metric, slots, bounds[metric.source])
            else:
                yield family(metric, metrics.SLOT_LABELS, slots)
        for metric in metrics.PROCESS_METRICS:
            yield family(metric, metrics.PROCESS_LABELS, processes(self._snapshot))
        for metric in metrics.DAEMON_METRICS:
            yield family(metric, (), [((), self._daemon_fields())])

    def _daemon_fields(self) -> Fields:
        """Return the snapshot with the fields that the table expects under other names."""
        web = self._snapshot.get("web") or {}
        return {
            **self._snapshot,
            "build": {self._snapshot["version"]: 1},
            "web_restarts": web.get("restarts"),
            "web_clients": web.get("clients"),
            "snapshot_age_s": self._age_s,
        }


def text(exposition: Exposition, accept: str) -> tuple[bytes, str]:
    """
    Return the text of the exposition and its media type.

    Args:
        accept: Accept header of the request; it selects between Prometheus's text format and OpenMetrics.
    """
    encode, media_type = choose_encoder(accept)
    return encode(exposition), media_type


def slot_labels(name: str) -> tuple[str, ...]:
    """Return the stream entry and the partition of a slot."""
    stream, partition = SlotName.parse(name)
    return stream, str(partition)


def slot_fields(slot: Fields) -> Fields:
    """Return the fields of a slot, with those of its circuit breaker if it has a worker; zeros while it is closed."""
    named = {**slot, "jetstream_stream": slot["stream"]}
    circuit = slot["postgres_circuit"]
    if not circuit:
        return named
    return {
        **named,
        "postgres_circuit_open": circuit["state"] == "open",
        "postgres_circuit_open_s": circuit.get("open_s", 0),
        "postgres_circuit_attempts": circuit.get("attempts", 0),
    }


def processes(snapshot: Fields) -> Labelled:
    """Return the living processes."""
    named = [("supervisor", snapshot.get("supervisor")), ("web", snapshot.get("web"))]
    named += [(slot["name"], slot) for slot in snapshot["slots"] if slot["pid"]]
    return [((name,), usage) for name, usage in named if usage]


def family(metric: metrics.Metric, labels: tuple[str, ...], subjects: Labelled) -> Family:
    """Return a counter or gauge with the samples of all subjects."""
    names = [*labels, *metrics.labels_of(metric)]
    result: Family
    if metric.kind is Kind.COUNTER:
        result = CounterMetricFamily(metric.name, metric.help, labels=names)
    else:
        result = GaugeMetricFamily(metric.name, metric.help, labels=names)
    for values, subject in subjects:
        if metric.kind is Kind.INFO:
            if subject.get(metric.source) is not None:
                result.add_metric([*values, *(str(subject.get(word) or "") for word in metric.words)], 1.0)
            continue
        for label, value in samples(metric, subject.get(metric.source)):
            result.add_metric([*values, *label], value * metric.scale)
    return result


def samples(metric: metrics.Metric, value: Any) -> Iterator[tuple[tuple[str, ...], float]]:
    """
    Yield the samples of one metric of one subject: the value of the additional label, if any, and the number.

    Args:
        value: Value of the field; None yields no sample.
    """
    if metric.kind is Kind.STATES:
        for word in metric.words:
            yield (word,), float(word == value)
    elif metric.label:
        for word, count in {**dict.fromkeys(metric.words, 0), **(value or {})}.items():
            yield (word,), count
    elif value is not None:
        yield (), float(value)


def histogram(metric: metrics.Metric, slots: Labelled, bounds: list[float]) -> HistogramMetricFamily:
    """Return a histogram with cumulative buckets for each slot and label value."""
    names = [*metrics.SLOT_LABELS, metric.label] if metric.label else [*metrics.SLOT_LABELS]
    result = HistogramMetricFamily(metric.name, metric.help, labels=names)
    edges = [*(f"{bound:g}" if bound < 1e6 else repr(bound) for bound in bounds), "+Inf"]
    for values, slot in slots:
        empty = {word: {"sum": 0.0, "counts": [0] * len(edges)} for word in metric.words}
        for word, plain in {**empty, **slot["histograms"].get(metric.source, {})}.items():
            buckets = list(zip(edges, accumulate(counts(plain)), strict=False))
            if len(buckets) == len(edges):
                result.add_metric([*values, word] if metric.label else [*values], buckets, total(plain))
    return result
