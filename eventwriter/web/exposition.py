"""
The snapshot in Prometheus's text: the table of `observe.metrics`, filled in.

The one place that imports prometheus_client. Nothing is counted here: each scrape
reads the supervisor's picture of that second.
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

Picture = Mapping[str, Any]
Labelled = list[tuple[tuple[str, ...], Picture]]
"""Label values of what a picture is about, and the picture."""
Family = CounterMetricFamily | GaugeMetricFamily


class Exposition(Collector):
    """
    One snapshot, as a collector.

    Args:
        snapshot: As the verb `status` answers.
        age_s: How old it is.
    """

    def __init__(self, snapshot: Picture, age_s: float) -> None:
        self._snapshot, self._age_s = snapshot, age_s

    def collect(self) -> Iterator[Metric]:
        """Yield the families, in the table's order."""
        bounds = self._snapshot["histogram_bounds"]
        slots: Labelled = [(slot_labels(slot["name"]), slot_figures(slot)) for slot in self._snapshot["slots"]]
        for metric in metrics.SLOT_METRICS:
            if metric.kind is Kind.HISTOGRAM:
                yield histogram(metric, slots, bounds[metric.source])
            else:
                yield family(metric, metrics.SLOT_LABELS, slots)
        for metric in metrics.PROCESS_METRICS:
            yield family(metric, metrics.PROCESS_LABELS, processes(self._snapshot))
        for metric in metrics.DAEMON_METRICS:
            yield family(metric, (), [((), self._daemon())])

    def _daemon(self) -> Picture:
        """Return the daemon's picture with what is written otherwise there."""
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
    Return the exposition's text and its media type.

    Args:
        accept: The reader's Accept header; OpenMetrics is given to whom it is asked by.
    """
    encode, media_type = choose_encoder(accept)
    return encode(exposition), media_type


def slot_labels(name: str) -> tuple[str, ...]:
    """Return stream entry and partition of a slot's name."""
    stream, partition = SlotName.parse(name)
    return stream, str(partition)


def slot_figures(slot: Picture) -> Picture:
    """Return a slot's picture with its circuit's as figures: zeros while it is closed, nothing without a worker."""
    circuit = slot["postgres_circuit"]
    if not circuit:
        return slot
    return {
        **slot,
        "postgres_circuit_open": circuit["state"] == "open",
        "postgres_circuit_open_s": circuit.get("open_s", 0),
        "postgres_circuit_attempts": circuit.get("attempts", 0),
    }


def processes(snapshot: Picture) -> Labelled:
    """Return the living processes and their figures."""
    named = [("supervisor", snapshot.get("supervisor")), ("web", snapshot.get("web"))]
    named += [(slot["name"], slot) for slot in snapshot["slots"] if slot["pid"]]
    return [((name,), picture) for name, picture in named if picture]


def family(metric: metrics.Metric, labels: tuple[str, ...], pictures: Labelled) -> Family:
    """Return a counter or gauge with one sample for each picture that knows it, or for each of its words."""
    names = [*labels, metric.label] if metric.label else [*labels]
    made: Family
    if metric.kind is Kind.COUNTER:
        made = CounterMetricFamily(metric.name, metric.help, labels=names)
    else:
        made = GaugeMetricFamily(metric.name, metric.help, labels=names)
    for values, picture in pictures:
        for word, value in samples(metric, picture.get(metric.source)):
            made.add_metric([*values, *word], value * metric.scale)
    return made


def samples(metric: metrics.Metric, found: Any) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield the label's value, where there is a label, and the figure; nothing for what is not known."""
    if metric.kind is Kind.STATES:
        for word in metric.words:
            yield (word,), float(word == found)
    elif metric.label:
        for word, value in (found or {}).items():
            yield (word,), value
    elif found is not None:
        yield (), float(found)


def histogram(metric: metrics.Metric, slots: Labelled, bounds: list[float]) -> HistogramMetricFamily:
    """Return a histogram with one set of buckets for each slot and word."""
    names = [*metrics.SLOT_LABELS, metric.label] if metric.label else [*metrics.SLOT_LABELS]
    made = HistogramMetricFamily(metric.name, metric.help, labels=names)
    edges = [*(f"{bound:g}" if bound < 1e6 else repr(bound) for bound in bounds), "+Inf"]
    for values, slot in slots:
        for word, plain in slot["histograms"].get(metric.source, {}).items():
            buckets = list(zip(edges, accumulate(counts(plain)), strict=False))
            if len(buckets) == len(edges):
                made.add_metric([*values, word] if metric.label else [*values], buckets, total(plain))
    return made
